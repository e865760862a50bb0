import { ProtocolError } from '../errors.js'
import type { MemberId } from '../membership/member.js'
import { checkedKey, readAccess, readDot } from './codec-parts.js'
import { FieldReader } from './codec-reader.js'
import { nonZero, originAt, RECORD_ENTRIES_MAX, readIndexed, readRecordUpTo } from './codec-records.js'
import type { RecordSnapshot } from './delta.js'
import type { HybridTime } from './hybrid-clock.js'
import { attributeMix, type Hash64, keyMix, presenceMix } from './mix.js'
import { CONTEXT_MAX } from './record.js'
import { NAME_BYTES_MAX, VALUE_BYTES_MAX } from './record-limits.js'
import type { RecordKey } from './replica-contract.js'

/** What can be told of a record without unpacking it. */
export interface RecordSummary {
  readonly key: RecordKey
  /** The delta that created it. */
  readonly origin: MemberId
  readonly seq: number
  readonly hash: Hash64
  /** The latest of its stamps. */
  readonly latest: HybridTime
  /** The deltas it contains, besides its creation. */
  readonly context: readonly (readonly [origin: MemberId, seq: number])[]
  /** The attributes that have a value, and where that begins and ends. */
  readonly names: readonly string[]
  readonly starts: readonly number[]
  readonly ends: readonly number[]
}

/**
 * A record as it travels in a state transfer and lies in memory: the bytes of a `Record` without its age. They are
 * copied, not unpacked and packed again: a state transfer is mostly that. The bytes belong to somebody else.
 */
export class PackedRecord {
  readonly bytes: Buffer
  /** Since its last use, in milliseconds. */
  readonly ageMs: number
  #summary: RecordSummary | undefined
  #checked = false

  constructor(bytes: Buffer, ageMs: number) {
    this.bytes = bytes
    this.ageMs = ageMs
  }

  /**
   * Undefined for what is better merged by attributes: what an expiry has judged, what this version does not write.
   * @throws {ProtocolError} for what is no record
   */
  get summary(): RecordSummary | undefined {
    if (!this.#checked) {
      this.#summary = summarize(this.bytes)
      // What is no plain record has to be one at least.
      if (this.#summary === undefined) this.snapshot()
      this.#checked = true
    }
    return this.#summary
  }

  get key(): RecordKey {
    return this.summary?.key ?? this.snapshot().key
  }

  /** The record itself. */
  snapshot(): RecordSnapshot {
    const reader = new FieldReader(this.bytes)
    return { ...readRecordUpTo(reader, reader.length), ageMs: this.ageMs }
  }

  /** A value of a record that has a summary; to be looked at only now. */
  value(name: string): Uint8Array | undefined {
    const summary = this.summary
    const index = summary?.names.indexOf(name) ?? -1
    return index === -1 ? undefined : this.bytes.subarray(summary!.starts[index], summary!.ends[index])
  }
}

/** A value in a packed record, copied. */
export function packedValue(bytes: Uint8Array, wanted: string): Uint8Array | undefined {
  const reader = new FieldReader(bytes)
  const end = reader.length
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field !== 3) {
      reader.skip()
      continue
    }
    const inner = reader.nested()
    let isWanted = false
    for (let part = reader.next(inner); part !== 0; part = reader.next(inner)) {
      if (part === 1) isWanted = reader.text(NAME_BYTES_MAX) === wanted
      else if (part === 6 && isWanted) return reader.copy(VALUE_BYTES_MAX)
      else reader.skip()
    }
    if (isWanted) return undefined
  }
  return undefined
}

/** Checks all that `readRecordUpTo` checks; undefined for what is valid and not plain, or not valid at all. */
function summarize(bytes: Uint8Array): RecordSummary | undefined {
  const reader = new FieldReader(bytes)
  const end = reader.length
  if (reader.next(end) !== 1) return undefined
  const { origin, seq } = readDot(reader)
  const key = checkedKey(origin, seq)
  const origins: MemberId[] = []
  const all: string[] = []
  const names: string[] = []
  const starts: number[] = []
  const ends: number[] = []
  const context: [MemberId, number][] = []
  const ofKey = keyMix(key)
  let { high, low } = presenceMix(key)
  let wallMs = 0
  let counter = 0
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field === 2) {
      if (origins.length === RECORD_ENTRIES_MAX) throw new ProtocolError('Too many members in a record')
      origins.push(reader.id())
    } else if (field === 3) {
      if (all.length === RECORD_ENTRIES_MAX) throw new ProtocolError('Too many attributes')
      const inner = reader.nested()
      let name = ''
      let index = 0
      const stamp = { wallMs: 0, counter: 0, origin: '', seq: 0 }
      let start = -1
      for (let part = reader.next(inner); part !== 0; part = reader.next(inner)) {
        if (part === 1) name = reader.text(NAME_BYTES_MAX)
        else if (part === 2) index = reader.uint32()
        else if (part === 3) stamp.wallMs = reader.uint53()
        else if (part === 4) stamp.counter = reader.uint32()
        else if (part === 5) stamp.seq = reader.uint53()
        else if (part === 6 && start === -1) start = reader.pass(VALUE_BYTES_MAX)
        else return undefined
        // The value is what an attribute ends with, or its end would have to be remembered too.
        if (start !== -1 && part !== 6) return undefined
      }
      if (stamp.counter > 65_535 || stamp.wallMs >= 2 ** 48) throw new ProtocolError('A stamp is out of range')
      stamp.origin = originAt(origins, index)
      nonZero(stamp.seq)
      all.push(name)
      if (start !== -1) {
        names.push(name)
        starts.push(start)
        ends.push(inner)
      }
      const mix = attributeMix(ofKey, name, stamp)
      high ^= mix.high
      low ^= mix.low
      if (stamp.wallMs > wallMs || (stamp.wallMs === wallMs && stamp.counter > counter)) {
        wallMs = stamp.wallMs
        counter = stamp.counter
      }
    } else if (field === 4) {
      if (context.length === CONTEXT_MAX) throw new ProtocolError('Too long a context')
      context.push(readIndexed(reader, origins))
    } else if (field === 5) {
      const access = readAccess(reader)
      if (access.wallMs > wallMs || (access.wallMs === wallMs && access.counter > counter)) {
        wallMs = access.wallMs
        counter = access.counter
      }
    } else return undefined
  }
  if (hasTwice(all)) return undefined
  const hash = { high: high >>> 0, low: low >>> 0 }
  return { key, origin, seq, hash, latest: { wallMs, counter }, context, names, starts, ends }
}

function hasTwice(names: readonly string[]): boolean {
  if (names.length > 16) return new Set(names).size !== names.length
  for (let i = 1; i < names.length; i++) if (names.lastIndexOf(names[i]!, i - 1) !== -1) return true
  return false
}
