import type { MemberId } from '../membership/member.js'
import { type Delta, deltaBytes } from './delta.js'

/**
 * The deltas applied last, of all origins, so that a member slightly behind need not compare everything. Bounded by
 * bytes; the oldest leave first. Handed out in the order they were applied here, which respects their causes.
 */
export class DeltaRing {
  readonly #limitBytes: number
  #byOrigin = new Map<MemberId, Map<number, { readonly order: number; readonly delta: Delta }>>()
  #queue: (Delta | undefined)[] = []
  #head = 0
  #order = 0
  #bytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  get size(): number {
    return this.#queue.length - this.#head
  }

  add(delta: Delta): void {
    const { origin, seq } = delta.stamp
    let deltas = this.#byOrigin.get(origin)
    if (deltas === undefined) {
      deltas = new Map()
      this.#byOrigin.set(origin, deltas)
    }
    if (deltas.has(seq)) return
    deltas.set(seq, { order: this.#order++, delta })
    this.#queue.push(delta)
    this.#bytes += deltaBytes(delta)
    while (this.#bytes > this.#limitBytes && this.size > 0) this.#dropOldest()
  }

  get(origin: MemberId, seq: number): Delta | undefined {
    return this.#byOrigin.get(origin)?.get(seq)?.delta
  }

  /** Where a delta stands in the order of application, for sorting. */
  order(delta: Delta): number {
    return this.#byOrigin.get(delta.stamp.origin)?.get(delta.stamp.seq)?.order ?? -1
  }

  #dropOldest(): void {
    const delta = this.#queue[this.#head]!
    this.#queue[this.#head++] = undefined
    this.#bytes -= deltaBytes(delta)
    const deltas = this.#byOrigin.get(delta.stamp.origin)
    deltas?.delete(delta.stamp.seq)
    if (deltas?.size === 0) this.#byOrigin.delete(delta.stamp.origin)
    if (this.#head > 1_024 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
  }
}
