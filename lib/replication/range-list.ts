import type { Range } from './seen-set.js'

/** Ranges in one block: what is moved when one comes in between. */
const BLOCK_MAX = 128

/**
 * Whole numbers as ranges, ascending and apart. In blocks: a state transfer brings tens of thousands of numbers in no
 * order, and in one array each would move thousands of ranges.
 */
export class RangeList {
  /** None is empty. */
  #blocks: [from: number, to: number][][] = []
  #size = 0

  /** How many ranges. */
  get size(): number {
    return this.#size
  }

  *[Symbol.iterator](): IterableIterator<Range> {
    for (const block of this.#blocks) yield* block
  }

  /** All ranges that end at a number or above. */
  *startingAt(seq: number): IterableIterator<Range> {
    const first = this.#blockOf(seq)
    for (let index = first; index < this.#blocks.length; index++) {
      const block = this.#blocks[index]!
      for (let at = index === first ? firstUpTo(block, seq) : 0; at < block.length; at++) yield block[at]!
    }
  }

  /** The first range that ends at a number or above. */
  from(seq: number): Range | undefined {
    const block = this.#blocks[this.#blockOf(seq)]
    return block?.[firstUpTo(block, seq)]
  }

  /** Adds a range and joins what touches it; what it is part of then, or undefined when it would be one too many. */
  add(from: number, to: number, sizeMax: number): Range | undefined {
    const index = this.#blockOf(from - 1)
    const block = this.#blocks[index]
    const at = block === undefined ? 0 : firstUpTo(block, from - 1)
    const range = block?.[at]
    // Ranges that end before do not touch, so that is also where it would be inserted.
    if (range === undefined || range[0] > to + 1) return this.#insert(from, to, index, at, sizeMax)
    if (from < range[0]) range[0] = from
    if (to <= range[1]) return range
    range[1] = to
    // What follows may now be touched, in this block or in later ones.
    for (
      let next = this.#next(index, at);
      next !== undefined && next[0] <= range[1] + 1;
      next = this.#next(index, at)
    ) {
      if (next[1] > range[1]) range[1] = next[1]
      this.#removeNext(index, at)
    }
    return range
  }

  /** Takes out all ranges that end at a number or below. */
  removeUpTo(seq: number): void {
    const blocks = this.#blocks
    let whole = 0
    while (whole < blocks.length && blocks[whole]!.at(-1)![1] <= seq) this.#size -= blocks[whole++]!.length
    if (whole > 0) blocks.splice(0, whole)
    const first = blocks[0]
    if (first === undefined) return
    const gone = firstUpTo(first, seq + 1)
    if (gone > 0) first.splice(0, gone)
    this.#size -= gone
  }

  #insert(from: number, to: number, index: number, at: number, sizeMax: number): Range | undefined {
    if (this.#size >= sizeMax) return undefined
    const range: [number, number] = [from, to]
    const blocks = this.#blocks
    this.#size++
    if (blocks.length === 0) blocks.push([])
    // Behind all others it goes to the end of the last block.
    const place = Math.min(index, blocks.length - 1)
    const block = blocks[place]!
    block.splice(index === place ? at : block.length, 0, range)
    if (block.length > BLOCK_MAX) blocks.splice(place + 1, 0, block.splice(BLOCK_MAX / 2))
    return range
  }

  #next(index: number, at: number): [number, number] | undefined {
    return this.#blocks[index]![at + 1] ?? this.#blocks[index + 1]?.[0]
  }

  #removeNext(index: number, at: number): void {
    this.#size--
    const block = this.#blocks[index]!
    if (at + 1 < block.length) {
      block.splice(at + 1, 1)
      return
    }
    const next = this.#blocks[index + 1]!
    next.shift()
    if (next.length === 0) this.#blocks.splice(index + 1, 1)
  }

  /** Index of the first block that ends at a number or above. */
  #blockOf(seq: number): number {
    const blocks = this.#blocks
    let low = 0
    let high = blocks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const block = blocks[middle]!
      if (block[block.length - 1]![1] < seq) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Index of the first of ascending ranges that ends at a number or above. */
export function firstUpTo(ranges: readonly Range[], seq: number): number {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ranges[middle]![1] < seq) low = middle + 1
    else high = middle
  }
  return low
}
