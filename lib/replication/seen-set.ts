import { firstIdAt, type MemberId, startedAtMs } from '../membership/member.js'
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
export interface Digest extends ReadonlyArray<DigestEntry> {
  /**
   * Lives that started before this (milliseconds since the epoch, as their ids say) and have no entry are closed: all
   * they ever wrote counts as seen. Absent: none is.
   */
  readonly closedBeforeMs?: number
}

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
 *
 * A closed origin needs no entry: one mark stands for all that started before it. The marks of two members join like
 * the rest: closed by one is closed.
 */
export class SeenSet {
  #origins = new Map<MemberId, Origin>()
  /** The origin asked for last, which with every delta is asked for several times. */
  #lastOrigin: MemberId = ''
  #lastEntry: Origin | undefined
  #digest: Digest | undefined
  #bases: Digest | undefined
  #closedBeforeMs = 0
  /** The first id that is not below the mark. */
  #firstOpenId: MemberId = ''

  static from(digest: Digest): SeenSet {
    const set = new SeenSet()
    set.claim(digest)
    return set
  }

  has(origin: MemberId, seq: number): boolean {
    const entry = this.#entry(origin)
    if (entry === undefined) return origin < this.#firstOpenId
    return seq <= entry.base || entry.ranges.has(seq)
  }

  /** How many origins have an entry. */
  get size(): number {
    return this.#origins.size
  }

  /** Lives that started before this and have no entry are closed; 0: none. */
  get closedBeforeMs(): number {
    return this.#closedBeforeMs
  }

  /** Whether all that an origin ever wrote counts as seen. */
  isClosed(origin: MemberId): boolean {
    return origin < this.#firstOpenId && !this.#origins.has(origin)
  }

  /** Gives an origin an entry, so that the mark can pass it; whether it has one now: what is closed stays closed. */
  open(origin: MemberId): boolean {
    if (this.#origins.has(origin)) return true
    if (origin < this.#firstOpenId) return false
    this.#origins.set(origin, { base: 0, ranges: new RangeList() })
    return true
  }

  /** All origins that have an entry. */
  origins(): IterableIterator<MemberId> {
    return this.#origins.keys()
  }

  /** Origins with an entry of which nothing is seen: what a digest tells only of those below the mark. */
  unwritten(): MemberId[] {
    return [...this.#origins]
      .filter(([, { base, ranges }]) => base === 0 && ranges.size === 0)
      .map(([origin]) => origin)
  }

  /** Closes origins, and all without an entry that started no later than the last of them. */
  close(origins: readonly MemberId[]): void {
    if (origins.length === 0) return
    this.#raise(Math.max(...origins.map(origin => startedAtMs(origin) + 1)))
    for (const origin of origins) this.#delete(origin)
  }

  /** The origins that have an entry here and are closed in another set. */
  closedBy(digest: Digest): MemberId[] {
    const { closedBeforeMs = 0 } = digest
    if (closedBeforeMs === 0) return []
    const open = new Set(digest.map(({ origin }) => origin))
    const firstOpenId = firstIdAt(closedBeforeMs)
    return [...this.#origins.keys()].filter(origin => origin < firstOpenId && !open.has(origin))
  }

  /** Whether one of two sets has closed an origin of which the other knows something. */
  isAtOdds(digest: Digest): boolean {
    const isWritten = (entry: DigestEntry | undefined): boolean => !sameEntry(entry, undefined)
    return (
      this.closedBy(digest).some(origin => isWritten(this.entry(origin))) ||
      digest.some(entry => isWritten(entry) && this.isClosed(entry.origin))
    )
  }

  /** Closes what another set has closed, and adds nothing else of it. */
  closeAs(digest: Digest): void {
    const { closedBeforeMs = 0 } = digest
    if (closedBeforeMs === 0) return
    for (const origin of this.closedBy(digest)) this.#delete(origin)
    const firstOpenId = firstIdAt(closedBeforeMs)
    for (const { origin } of digest) if (origin < firstOpenId) this.open(origin)
    this.#raise(closedBeforeMs)
  }

  #entry(origin: MemberId): Origin | undefined {
    if (origin === this.#lastOrigin) return this.#lastEntry
    const entry = this.#origins.get(origin)
    if (entry !== undefined) {
      this.#lastOrigin = origin
      this.#lastEntry = entry
    }
    return entry
  }

  #delete(origin: MemberId): void {
    this.#origins.delete(origin)
    this.#lastOrigin = ''
    this.#lastEntry = undefined
  }

  #raise(closedBeforeMs: number): void {
    this.#closedBeforeMs = Math.max(this.#closedBeforeMs, closedBeforeMs)
    this.#firstOpenId = firstIdAt(this.#closedBeforeMs)
    this.#digest = undefined
    this.#bases = undefined
  }

  /** Whether a dot can be marked with at most `limit` ranges of its origin. */
  fits(origin: MemberId, seq: number, limit: number): boolean {
    const entry = this.#entry(origin)
    if (entry === undefined || entry.ranges.size < limit || seq <= entry.base + 1) return true
    const range = entry.ranges.from(seq - 1)
    return range !== undefined && range[0] <= seq + 1
  }

  /** The end of the gap-free prefix. */
  base(origin: MemberId): number {
    return this.#origins.get(origin)?.base ?? 0
  }

  /** Marks one dot; `false` beyond so many ranges. */
  add(origin: MemberId, seq: number, rangesMax: number = SEEN_RANGES_MAX): boolean {
    return this.addRange(origin, seq, seq, rangesMax)
  }

  /** Marks a range; `false` beyond so many ranges. */
  addRange(origin: MemberId, from: number, to: number, rangesMax: number = SEEN_RANGES_MAX): boolean {
    let entry = this.#entry(origin)
    if (entry === undefined) {
      if (origin < this.#firstOpenId) return true
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
    } else if (ranges.add(from, to, rangesMax) === undefined) return false
    this.#digest = undefined
    this.#bases = undefined
    return true
  }

  /** Adds all of another set; `false`: not all had room. Only for what the data already contain. */
  claim(digest: Digest): boolean {
    this.closeAs(digest)
    let isWhole = true
    for (const { origin, base, ranges } of digest) {
      if (base > 0) this.addRange(origin, 1, base)
      for (const [from, to] of ranges) if (!this.addRange(origin, from, to)) isWhole = false
    }
    return isWhole
  }

  /** What is known of one origin, as digests tell it. */
  entry(origin: MemberId): DigestEntry | undefined {
    const entry = this.#origins.get(origin)
    return entry && { origin, base: entry.base, ranges: rangesOf(entry) }
  }

  /** The canonical form; the same array until the set changes. Without ranges it hides what lies behind holes. */
  digest(withRanges = true): Digest {
    if (!withRanges) return (this.#bases ??= this.#canonical(false))
    return (this.#digest ??= this.#canonical(true))
  }

  #canonical(withRanges: boolean): Digest {
    const entries: DigestEntry[] = []
    for (const [origin, entry] of this.#origins) {
      const { base } = entry
      const ranges = withRanges ? rangesOf(entry) : []
      // Below the mark even an empty one says something: that it is not closed.
      if (base > 0 || ranges.length > 0 || origin < this.#firstOpenId) entries.push({ origin, base, ranges })
    }
    entries.sort((a, b) => (a.origin < b.origin ? -1 : 1))
    const { closedBeforeMs } = this
    return closedBeforeMs === 0 ? entries : Object.assign(entries, { closedBeforeMs })
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
    if (entry === undefined && origin < this.#firstOpenId) return
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
  if (digest.closedBeforeMs !== undefined) {
    high = mixNumber(high, digest.closedBeforeMs)
    low = mixNumber(low, digest.closedBeforeMs)
  }
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

/** Whether two sets know the same of an origin; without an entry they know nothing. */
export function sameEntry(a: DigestEntry | undefined, b: DigestEntry | undefined): boolean {
  const [left, right] = [a?.ranges ?? [], b?.ranges ?? []]
  if ((a?.base ?? 0) !== (b?.base ?? 0) || left.length !== right.length) return false
  return left.every(([from, to], index) => from === right[index]![0] && to === right[index]![1])
}

function rangesOf({ ranges }: Origin): Range[] {
  return Array.from(ranges, ([from, to]): Range => [from, to])
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0')
}
