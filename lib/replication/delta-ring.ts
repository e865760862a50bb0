import { Buffer } from 'node:buffer'
import type { MemberId } from '../membership/member.js'
import { decodeMessage } from './codec.js'
import type { Delta } from './delta.js'
import { bytesOf } from './fragments.js'
import { firstUpTo } from './range-list.js'
import type { Dot } from './replica-contract.js'
import type { MissingDots, Range } from './seen-set.js'

/** The ring grows and forgets by this much, or by a sixteenth of its limit if that is less. */
const SEGMENT_BYTES = 262_144
/** Values of an entry: its origin, its number there, where its message ends. */
const ENTRY = 3

/** Deltas applied one after another: their messages end to end, and whose they are. */
interface Segment {
  readonly bytes: Uint8Array
  used: number
  /** End to end as well, and only so many of them: a segment is filled again and again without being made anew. */
  readonly entries: (MemberId | number)[]
  count: number
}

/** What a ring has of the dots somebody asked for. */
export interface KeptDeltas {
  /** The first of them, in the order they were applied here, which respects their causes. */
  readonly deltas: readonly Delta[]
  /** How many it has, those beyond the first included. */
  readonly count: number
  /** Whether that is all that was asked for. */
  readonly complete: boolean
}

/**
 * The deltas applied last, of all origins, so that a member slightly behind need not compare everything. Bounded by
 * bytes; the oldest leave first. They are kept as the messages they travel in and decoded again when somebody lacks
 * them, which is rare: an object for each would cost four times the memory, and the collector's time with every write.
 * For the same reason nothing is indexed; a look-up goes through all.
 */
export class DeltaRing {
  readonly #limitBytes: number
  readonly #segmentBytes: number
  readonly #segments: Segment[] = []
  #spare: Segment | undefined
  #bytes = 0
  #size = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
    this.#segmentBytes = Math.min(SEGMENT_BYTES, Math.ceil(limitBytes / 16))
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    return this.#bytes
  }

  /** Number of deltas. */
  get size(): number {
    return this.#size
  }

  /** Keeps a copy of a delta's message, in its pieces. Each dot is to be added once: the seen-set sees to that. */
  add({ origin, seq }: Dot, message: readonly Uint8Array[]): void {
    const segment = this.#segmentFor(bytesOf(message))
    if (segment === undefined) return
    for (const piece of message) {
      segment.bytes.set(piece, segment.used)
      segment.used += piece.length
    }
    const { entries } = segment
    const at = ENTRY * segment.count++
    entries[at] = origin
    entries[at + 1] = seq
    entries[at + 2] = segment.used
    this.#size++
  }

  /** What it has of these dots, at most `most` of them decoded. */
  find(missing: readonly MissingDots[], most: number): KeptDeltas {
    const wanted = new Map<MemberId, readonly Range[]>()
    let wantedCount = 0
    let complete = true
    for (const { origin, ranges } of missing) {
      // A range that cannot be here as a whole: who lacks so much compares states instead.
      const possible = ranges.filter(([from, to]) => to - from < this.#size)
      if (possible.length < ranges.length) complete = false
      for (const [from, to] of possible) wantedCount += to - from + 1
      wanted.set(origin, possible)
    }
    const deltas: Delta[] = []
    let count = 0
    for (const { bytes, entries, count: held } of this.#segments) {
      for (let at = 0; at < ENTRY * held; at += ENTRY) {
        const ranges = wanted.get(entries[at] as MemberId)
        if (ranges === undefined || !contains(ranges, entries[at + 1] as number)) continue
        if (count++ >= most) continue
        const start = at === 0 ? 0 : (entries[at - 1] as number)
        const message = decodeMessage(bytes.subarray(start, entries[at + 2] as number))
        if (message.kind === 'delta') deltas.push(message.delta)
      }
    }
    return { deltas, count, complete: complete && count === wantedCount }
  }

  /** One with room for so many bytes; undefined when the whole ring has not. */
  #segmentFor(length: number): Segment | undefined {
    const last = this.#segments[this.#segments.length - 1]
    if (last !== undefined && last.bytes.length - last.used >= length) return last
    const size = Math.max(this.#segmentBytes, length)
    if (size > this.#limitBytes) return undefined
    while (this.#bytes + size > this.#limitBytes) this.#dropOldest()
    const spare = this.#spare?.bytes.length === size ? this.#spare : undefined
    const segment = spare ?? { bytes: Buffer.allocUnsafeSlow(size), used: 0, entries: [], count: 0 }
    this.#spare = undefined
    this.#segments.push(segment)
    this.#bytes += size
    return segment
  }

  #dropOldest(): void {
    const oldest = this.#segments.shift()!
    this.#bytes -= oldest.bytes.length
    this.#size -= oldest.count
    oldest.used = 0
    oldest.count = 0
    this.#spare = oldest
  }
}

function contains(ranges: readonly Range[], seq: number): boolean {
  const range = ranges[firstUpTo(ranges, seq)]
  return range !== undefined && range[0] <= seq
}
