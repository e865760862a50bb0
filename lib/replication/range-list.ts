import type { Range } from './seen-set.js'

/** Ranges in one block: what is moved when one comes in between. */
const BLOCK_MAX = 128

/** Ranges one behind the other: where each begins and ends. Numbers side by side are looked through in no time. */
interface Block {
  readonly from: Float64Array
  readonly to: Float64Array
  count: number
}

/**
 * Whole numbers as ranges, ascending and apart. In blocks: a state transfer brings tens of thousands of numbers in no
 * order, and in one array each would move thousands of ranges.
 */
export class RangeList {
  /** None is empty. */
  #blocks: Block[] = []
  #size = 0

  /** How many ranges. */
  get size(): number {
    return this.#size
  }

  *[Symbol.iterator](): IterableIterator<Range> {
    for (const block of this.#blocks) for (let at = 0; at < block.count; at++) yield rangeAt(block, at)
  }

  /** All ranges that end at a number or above. */
  *startingAt(seq: number): IterableIterator<Range> {
    const first = this.#blockOf(seq)
    for (let index = first; index < this.#blocks.length; index++) {
      const block = this.#blocks[index]!
      for (let at = index === first ? placeOf(block, seq) : 0; at < block.count; at++) yield rangeAt(block, at)
    }
  }

  /** Whether a number is in one of the ranges. */
  has(seq: number): boolean {
    const block = this.#blocks[this.#blockOf(seq)]
    return block !== undefined && block.from[placeOf(block, seq)]! <= seq
  }

  /** The first range that ends at a number or above. */
  from(seq: number): Range | undefined {
    const block = this.#blocks[this.#blockOf(seq)]
    return block && rangeAt(block, placeOf(block, seq))
  }

  /** Adds a range and joins what touches it; what it is part of then, or undefined when it would be one too many. */
  add(from: number, to: number, sizeMax: number): Range | undefined {
    const index = this.#blockOf(from - 1)
    const block = this.#blocks[index]
    const at = block === undefined ? 0 : placeOf(block, from - 1)
    // Ranges that end before do not touch, so that is also where it would be inserted.
    if (block === undefined || block.from[at]! > to + 1) return this.#insert(from, to, index, at, sizeMax)
    if (from < block.from[at]!) block.from[at] = from
    if (to <= block.to[at]!) return rangeAt(block, at)
    block.to[at] = to
    // What follows may now be touched, in this block or in later ones.
    for (;;) {
      const isHere = at + 1 < block.count
      const next = isHere ? block : this.#blocks[index + 1]
      const place = isHere ? at + 1 : 0
      if (next === undefined || next.from[place]! > block.to[at]! + 1) return rangeAt(block, at)
      block.to[at] = Math.max(block.to[at]!, next.to[place]!)
      this.#remove(next, place)
    }
  }

  /** Takes out all ranges that end at a number or below. */
  removeUpTo(seq: number): void {
    const blocks = this.#blocks
    let whole = 0
    while (whole < blocks.length && lastOf(blocks[whole]!) <= seq) this.#size -= blocks[whole++]!.count
    if (whole > 0) blocks.splice(0, whole)
    const first = blocks[0]
    if (first === undefined) return
    const gone = placeOf(first, seq + 1)
    move(first, gone, 0)
    first.count -= gone
    this.#size -= gone
  }

  #insert(from: number, to: number, index: number, at: number, sizeMax: number): Range | undefined {
    if (this.#size >= sizeMax) return undefined
    const blocks = this.#blocks
    this.#size++
    if (blocks.length === 0) blocks.push(newBlock())
    // Behind all others it goes to the end of the last block.
    const place = Math.min(index, blocks.length - 1)
    const block = blocks[place]!
    const here = index === place ? at : block.count
    move(block, here, here + 1)
    block.from[here] = from
    block.to[here] = to
    if (++block.count > BLOCK_MAX) blocks.splice(place + 1, 0, halfOf(block))
    return [from, to]
  }

  #remove(block: Block, at: number): void {
    this.#size--
    move(block, at + 1, at)
    if (--block.count === 0) this.#blocks.splice(this.#blocks.indexOf(block), 1)
  }

  /** Index of the first block that ends at a number or above. */
  #blockOf(seq: number): number {
    const blocks = this.#blocks
    let low = 0
    let high = blocks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (lastOf(blocks[middle]!) < seq) low = middle + 1
      else high = middle
    }
    return low
  }
}

function newBlock(): Block {
  return { from: new Float64Array(BLOCK_MAX + 1), to: new Float64Array(BLOCK_MAX + 1), count: 0 }
}

function rangeAt({ from, to }: Block, at: number): Range {
  return [from[at]!, to[at]!]
}

function lastOf({ to, count }: Block): number {
  return to[count - 1]!
}

/** Moves the ranges from a place on to another. */
function move({ from, to, count }: Block, start: number, target: number): void {
  if (start === target || start === count) return
  from.copyWithin(target, start, count)
  to.copyWithin(target, start, count)
}

/** Takes the second half out. */
function halfOf(block: Block): Block {
  const half = newBlock()
  const first = block.count >>> 1
  half.from.set(block.from.subarray(first, block.count))
  half.to.set(block.to.subarray(first, block.count))
  half.count = block.count - first
  block.count = first
  return half
}

/** Index of the first range of a block that ends at a number or above; one must. */
function placeOf({ to, count }: Block, seq: number): number {
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if (to[middle]! < seq) low = middle + 1
    else high = middle
  }
  return low
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
