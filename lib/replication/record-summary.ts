import { ProtocolError } from '../errors.js'
import type { MemberId } from '../membership/member.js'
import { readDot } from './codec-parts.js'
import type { FieldReader } from './codec-reader.js'
import { nonZero, originAt, RECORD_ENTRIES_MAX, readIndexed } from './codec-records.js'
import type { HybridTime } from './hybrid-clock.js'
import { keyText } from './key-text.js'
import { attributeMix, type Hash64, keyMix, presenceMix, ZERO_HASH } from './mix.js'
import { CONTEXT_MAX } from './record.js'
import { NAME_BYTES_MAX, VALUE_BYTES_MAX } from './record-limits.js'
import type { RecordKey } from './replica-contract.js'
import { isTime } from './stamp.js'

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
  /** The attributes that have a value. */
  readonly names: readonly string[]
  /** All attributes, and where in the record's source their values begin, or -1, and end. */
  readonly all: readonly string[]
  readonly starts: readonly number[]
  readonly ends: readonly number[]
}

/** Where an attribute ends that has no value. */
const NONE = -1

/**
 * What is gathered while a record is read. Kept from one record to the next, since lists that grow anew each time are
 * most of what reading a record would leave to the garbage collector.
 */
const ORIGINS: MemberId[] = []
const NAMES: string[] = []
const STARTS: number[] = []
const ENDS: number[] = []
/** The names of the record before, none of them twice: sessions of one application mostly have the same. */
let before: readonly string[] = []
/** More than this is let go afterwards. */
const KEPT_MAX = 256

/**
 * Checks all that `readRecordUpTo` checks; undefined for what is valid and not plain, or not valid at all. `known`: the
 * record's hash, where its holder has told it; making it is most of the work otherwise.
 *
 * @throws {ProtocolError}
 */
export function summarize(reader: FieldReader, end: number, known: Hash64 | undefined): RecordSummary | undefined {
  if (reader.next(end) !== 1) return undefined
  const { origin, seq } = readDot(reader)
  if (origin === '' || seq === 0) throw new ProtocolError('A record key is incomplete')
  const key = keyText(origin, seq)
  const ofKey = known === undefined ? keyMix(key) : ZERO_HASH
  let { high, low } = known ?? presenceMix(key)
  let origins = 0
  let attributes = 0
  let removed = 0
  let context: [MemberId, number][] | undefined
  let latestMs = 0
  let latestCounter = 0
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    // A stamp: of an attribute, or of the last use.
    let wallMs = 0
    let counter = 0
    if (field === 3) {
      if (attributes === RECORD_ENTRIES_MAX) throw new ProtocolError('Too many attributes')
      const inner = reader.nested()
      let name = ''
      let index = 0
      let number = 0
      let start = NONE
      for (let part = reader.next(inner); part !== 0; part = reader.next(inner)) {
        if (part === 1) name = reader.text(NAME_BYTES_MAX)
        else if (part === 2) index = reader.uint32()
        else if (part === 3) wallMs = reader.uint53()
        else if (part === 4) counter = reader.uint32()
        else if (part === 5) number = reader.uint53()
        else if (part === 6 && start === NONE) start = reader.pass(VALUE_BYTES_MAX)
        else return undefined
        // The value is what an attribute ends with, or its end would have to be remembered too.
        if (start !== NONE && part !== 6) return undefined
      }
      const writer = originAt(ORIGINS, index, origins)
      nonZero(number)
      NAMES[attributes] = name
      STARTS[attributes] = start
      ENDS[attributes++] = inner
      if (start === NONE) removed++
      if (known === undefined) {
        const mix = attributeMix(ofKey, name, { wallMs, counter, origin: writer, seq: number })
        high ^= mix.high
        low ^= mix.low
      }
    } else if (field === 2) {
      if (origins === RECORD_ENTRIES_MAX) throw new ProtocolError('Too many members in a record')
      ORIGINS[origins++] = reader.id()
    } else if (field === 4) {
      if (context?.length === CONTEXT_MAX) throw new ProtocolError('Too long a context')
      const dot = readIndexed(reader, ORIGINS, origins)
      if (context === undefined) context = [dot]
      else context.push(dot)
    } else if (field === 5) {
      const inner = reader.nested()
      for (let part = reader.next(inner); part !== 0; part = reader.next(inner)) {
        if (part === 1) reader.id()
        else if (part === 2) wallMs = reader.uint53()
        else if (part === 3) counter = reader.uint32()
        else if (part === 4) reader.uint53()
        else reader.skip()
      }
    } else return undefined
    if (!isTime(wallMs, counter)) throw new ProtocolError('A stamp is out of range')
    if (wallMs > latestMs || (wallMs === latestMs && counter > latestCounter)) {
      latestMs = wallMs
      latestCounter = counter
    }
  }
  const isAsBefore = areAsBefore(attributes)
  const all = isAsBefore ? before : NAMES.slice(0, attributes)
  const starts = STARTS.slice(0, attributes)
  const ends = ENDS.slice(0, attributes)
  if (NAMES.length > KEPT_MAX) for (const list of [NAMES, STARTS, ENDS]) list.length = 0
  if (ORIGINS.length > KEPT_MAX) ORIGINS.length = 0
  if (!isAsBefore) {
    if (hasTwice(all)) return undefined
    if (attributes <= KEPT_MAX) before = all
  }
  return {
    key,
    origin,
    seq,
    hash: known ?? { high: high >>> 0, low: low >>> 0 },
    latest: { wallMs: latestMs, counter: latestCounter },
    context: context ?? [],
    names: removed === 0 ? all : all.filter((_, index) => starts[index] !== NONE),
    all,
    starts,
    ends,
  }
}

function areAsBefore(count: number): boolean {
  if (before.length !== count) return false
  for (let i = 0; i < count; i++) if (before[i] !== NAMES[i]) return false
  return true
}

function hasTwice(names: readonly string[]): boolean {
  if (names.length > 16) return new Set(names).size !== names.length
  for (let i = 1; i < names.length; i++) if (names.lastIndexOf(names[i]!, i - 1) !== -1) return true
  return false
}
