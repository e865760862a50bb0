import type { MemberId } from '../membership/member.js'
import { hashText, mixNumber } from './mix.js'
import { RangeList } from './range-list.js'

/** Whole numbers from `from` to `to`, both included. */
export type Range = readonly [from: number, to: number]

/** What is known of one origin: all of 1..base, and the ranges above. */
export interface DigestEntry {
  readonly origin: MemberId
  readonly base: number
  readonly ranges: readonly Range[]
}

/** A seen-set as data: sorted by origin, ranges ascending, apart, and above base + 1. */
export type Digest = readonly DigestEntry[]

/** Dots one side lacks. */
export interface MissingDots {
  readonly origin: MemberId
  readonly ranges: readonly Range[]
}

/**
 * Ranges per origin above the gap-free prefix that anything may bring about. Single deltas stay well below it (option
 * `seenRangesMax`), so that a state transfer always has room for what its donor has seen.
 */
export const SEEN_RANGES_MAX = 16_384

interface Origin {
  base: number
  readonly ranges: RangeList
}

/**
 * Which deltas this member has, node-wide (the idea of DottedDB's server-wide clocks). It is never ahead of the data,
 * nor behind: what there is no room to mark is not merged either, or equal sets would stand over different records.
 * Nothing once marked is ever unmarked, for "seen but absent means removed" rests on it.
 */
export class SeenSet {
  #origins = new Map<MemberId, Origin>()
  #digest: Digest | undefined
  #bases: Digest | undefined

  static from(digest: Digest): SeenSet {
    const set = new SeenSet()
    set.claim(digest)
    return set
  }

  has(origin: MemberId, seq: number): boolean {
    const entry = this.#origins.get(origin)
    if (entry === undefined) return false
    if (seq <= entry.base) return true
    const range = entry.ranges.from(seq)
    return range !== undefined && range[0] <= seq
  }

  /** Whether a dot can be marked with at most `limit` ranges of its origin. */
  fits(origin: MemberId, seq: number, limit: number): boolean {
    const entry = this.#origins.get(origin)
    if (entry === undefined || entry.ranges.size < limit || seq <= entry.base + 1) return true
    const range = entry.ranges.from(seq - 1)
    return range !== undefined && range[0] <= seq + 1
  }

  /** The end of the gap-free prefix. */
  base(origin: MemberId): number {
    return this.#origins.get(origin)?.base ?? 0
  }

  /** Marks one dot; `false` beyond SEEN_RANGES_MAX. */
  add(origin: MemberId, seq: number): boolean {
    return this.addRange(origin, seq, seq)
  }

  /** Marks a range; `false` beyond SEEN_RANGES_MAX. */
  addRange(origin: MemberId, from: number, to: number): boolean {
    let entry = this.#origins.get(origin)
    if (entry === undefined) {
      entry = { base: 0, ranges: new RangeList() }
      this.#origins.set(origin, entry)
    }
    if (to <= entry.base) return true
    const { ranges } = entry
    if (from <= entry.base + 1) {
      entry.base = to
      if (ranges.size > 0) {
        ranges.removeUpTo(to)
        const next = ranges.from(to)
        if (next !== undefined && next[0] <= to + 1) {
          entry.base = next[1]
          ranges.removeUpTo(next[1])
        }
      }
    } else if (ranges.add(from, to, SEEN_RANGES_MAX) === undefined) return false
    this.#digest = undefined
    this.#bases = undefined
    return true
  }

  /** Adds all of another set, as far as there is room. Only for what the data already contain. */
  claim(digest: Digest): void {
    for (const { origin, base, ranges } of digest) {
      if (base > 0) this.addRange(origin, 1, base)
      for (const [from, to] of ranges) this.addRange(origin, from, to)
    }
  }

  /** The canonical form; the same array until the set changes. Without ranges it hides what lies behind holes. */
  digest(withRanges = true): Digest {
    if (!withRanges) return (this.#bases ??= this.#canonical(false))
    return (this.#digest ??= this.#canonical(true))
  }

  #canonical(withRanges: boolean): Digest {
    const entries: DigestEntry[] = []
    for (const [origin, { base, ranges }] of this.#origins) {
      const shown = withRanges ? Array.from(ranges, ([from, to]): Range => [from, to]) : []
      if (base > 0 || shown.length > 0) entries.push({ origin, base, ranges: shown })
    }
    return entries.sort((a, b) => (a.origin < b.origin ? -1 : 1))
  }

  /** Whether every dot of `digest` is here. */
  covers(digest: Digest): boolean {
    return this.missing(digest, 1).length === 0
  }

  /** What `digest` has and this set lacks, up to `limit` ranges. */
  missing(digest: Digest, limit = 4_096): MissingDots[] {
    const result: MissingDots[] = []
    let room = limit
    for (const { origin, base, ranges } of digest) {
      if (room <= 0) break
      const gaps: Range[] = []
      if (base > 0) this.#subtract(origin, 1, base, gaps)
      for (const [from, to] of ranges) this.#subtract(origin, from, to, gaps)
      if (gaps.length === 0) continue
      result.push({ origin, ranges: gaps.slice(0, room) })
      room -= gaps.length
    }
    return result
  }

  #subtract(origin: MemberId, from: number, to: number, gaps: Range[]): void {
    const entry = this.#origins.get(origin)
    let next = Math.max(from, (entry?.base ?? 0) + 1)
    for (const [low, high] of entry?.ranges.startingAt(next) ?? []) {
      if (next > to || low > to) break
      if (low > next) gaps.push([next, low - 1])
      next = Math.max(next, high + 1)
    }
    if (next <= to) gaps.push([next, to])
  }
}

/** 64-bit hash of a digest, as 16 hex digits: equal sets, equal hashes. */
export function digestHash(digest: Digest): string {
  let high = 0x9e3779b9
  let low = 0x85ebca6b
  for (const { origin, base, ranges } of digest) {
    high = mixNumber(hashText(origin, high), base)
    low = mixNumber(hashText(origin, low), base)
    for (const [from, to] of ranges) {
      high = mixNumber(mixNumber(high, from), to)
      low = mixNumber(mixNumber(low, from), to)
    }
  }
  return hex(high) + hex(low)
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0')
}
