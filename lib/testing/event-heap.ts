/** One thing that will happen. `node` is empty for the simulator's own events. */
export interface SimEvent {
  readonly atMs: number
  readonly order: number
  readonly kind: string
  readonly node: string
  /** Cleared when cancelled. */
  run: (() => void) | undefined
}

/** A binary heap of events: earliest first; of equal times the one scheduled first. */
export class EventHeap {
  readonly #heap: SimEvent[] = []

  get size(): number {
    return this.#heap.length
  }

  peek(): SimEvent | undefined {
    return this.#heap[0]
  }

  push(event: SimEvent): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as SimEvent
      if (!before(event, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = event
  }

  pop(): SimEvent | undefined {
    const heap = this.#heap
    const top = heap[0]
    const last = heap.pop()
    if (heap.length === 0 || last === undefined) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as SimEvent, heap[child] as SimEvent)) child++
      const below = heap[child] as SimEvent
      if (!before(below, last)) break
      heap[at] = below
      at = child
    }
    heap[at] = last
    return top
  }
}

function before(a: SimEvent, b: SimEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
