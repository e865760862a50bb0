import type { Buffer } from 'node:buffer'
import type { MemberId } from '../membership/member.js'
import { ID_BYTES } from '../wire/id-table.js'
import { isText } from '../wire/text-table.js'
import { IDS, NAMES } from './codec-reader.js'
import { RECORD_ENTRIES_MAX } from './codec-records.js'
import { type Context, NO_CONTEXT } from './delta.js'
import type { HybridTime } from './hybrid-clock.js'
import { keyText } from './key-text.js'
import { attributeMix, type Hash64, keyMix, presenceMix, ZERO_HASH } from './mix.js'
import { CONTEXT_MAX } from './record.js'
import { NAME_BYTES_MAX, VALUE_BYTES_MAX } from './record-limits.js'
import type { RecordKey } from './replica-contract.js'
import { isTime } from './stamp.js'

/** What can be told of a record without unpacking it; as a time it is the latest of the record's stamps. */
export interface RecordSummary extends HybridTime {
  readonly key: RecordKey
  /** The delta that created it. */
  readonly origin: MemberId
  readonly seq: number
  readonly hash: Hash64
  /** The deltas it contains, besides its creation. */
  readonly context: Context
  /** The attributes that have a value. */
  readonly names: readonly string[]
  /** All attributes, and for each where in the record's source its value begins, or -1, and ends, or 0. */
  readonly all: readonly string[]
  readonly places: readonly number[]
}

/** Where the value of an attribute begins that has none. */
const NONE = -1

/**
 * What is gathered while a record is read. Kept from one record to the next, since lists that grow anew each time are
 * most of what reading a record would leave to the garbage collector.
 */
const ORIGINS: MemberId[] = []
const ATTRIBUTES: string[] = []
const PLACES: number[] = []
/** The attributes of the record before, none of them twice: sessions of one application mostly have the same. */
let before: readonly string[] = []
/** More than this is let go afterwards. */
const KEPT_MAX = 256

/**
 * Where reading stands, and by number the fields of the message read last: of a number its lower 28 bits and those
 * above, of bytes where they begin and end. Small integers all of them: a large one would be an object each time.
 */
let at = 0
const LOWER = new Int32Array(8)
const UPPER = new Int32Array(8)
const UPPER_UNIT = 2 ** 28
/** Behind everything: where reading stands after a number that is none. */
const LOST = 2 ** 30

/** Messages in a record: their tag, how many fields they have, and a bit for each of these that is bytes. */
const KEY = { tag: (1 << 3) | 2, fields: 2, spans: 1 << 1 } as const
const ATTRIBUTE = { tag: (3 << 3) | 2, fields: 6, spans: (1 << 1) | (1 << 6) } as const
const CONTEXT = { tag: (4 << 3) | 2, fields: 2, spans: 0 } as const
const ACCESS = { tag: (5 << 3) | 2, fields: 3, spans: 1 << 1 } as const
const ORIGIN_TAG = (2 << 3) | 2

/**
 * Reads a record as members write it, every field in its place. Undefined for anything else, valid or not, which is for
 * the reader of whole records to tell. `known`: the record's hash, where its holder has told it; making it is most of
 * the work otherwise.
 */
export function summarize(
  source: Buffer,
  start: number,
  end: number,
  known: Hash64 | undefined,
): RecordSummary | undefined {
  at = start
  if (!read(KEY, source, end) || !isId(1)) return undefined
  const origin = IDS.at(source, LOWER[1]!)
  const seq = number(2)
  if (seq === 0) return undefined
  const key = keyText(origin, seq)
  const ofKey = known === undefined ? keyMix(key) : ZERO_HASH
  let { high, low } = known ?? presenceMix(key)
  let origins = 0
  for (; source[at] === ORIGIN_TAG && source[at + 1] === ID_BYTES; at += 2 + ID_BYTES) {
    if (at + 2 + ID_BYTES > end || origins === RECORD_ENTRIES_MAX) return undefined
    ORIGINS[origins++] = IDS.at(source, at + 2)
  }
  let latestMs = 0
  let latestCounter = 0
  let attributes = 0
  let removed = 0
  let isAsBefore = true
  for (; at < end && source[at] === ATTRIBUTE.tag; attributes++) {
    if (attributes === RECORD_ENTRIES_MAX || !read(ATTRIBUTE, source, end)) return undefined
    const index = LOWER[2]!
    const wallMs = number(3)
    const counter = number(4)
    const last = number(5)
    const nameAt = LOWER[1]!
    const nameEnd = UPPER[1]!
    const valueEnd = UPPER[6]!
    const valueAt = valueEnd === 0 ? NONE : LOWER[6]!
    if (UPPER[2] !== 0 || index >= origins || last === 0 || !isTime(wallMs, counter)) return undefined
    if (nameEnd === 0 || nameEnd - nameAt > NAME_BYTES_MAX || valueEnd - valueAt > VALUE_BYTES_MAX) return undefined
    const usual = attributes < before.length ? before[attributes]! : ''
    const name = isText(usual, source, nameAt, nameEnd) ? usual : NAMES.utf8(source, nameAt, nameEnd)
    if (name !== usual) isAsBefore = false
    ATTRIBUTES[attributes] = name
    PLACES[2 * attributes] = valueAt
    PLACES[2 * attributes + 1] = valueEnd
    if (valueEnd === 0) removed++
    if (wallMs > latestMs || (wallMs === latestMs && counter > latestCounter)) {
      latestMs = wallMs
      latestCounter = counter
    }
    if (known === undefined) {
      const mix = attributeMix(ofKey, name, { wallMs, counter, origin: ORIGINS[index]!, seq: last })
      high ^= mix.high
      low ^= mix.low
    }
  }
  let context: [MemberId, number][] | undefined
  for (let count = 0; at < end && source[at] === CONTEXT.tag; count++) {
    if (count === CONTEXT_MAX || !read(CONTEXT, source, end)) return undefined
    const index = LOWER[1]!
    const last = number(2)
    if (UPPER[1] !== 0 || index >= origins || last === 0) return undefined
    const writer = ORIGINS[index]!
    if (last === seq && writer === origin) continue
    if (context === undefined) context = [[writer, last]]
    else context.push([writer, last])
  }
  if (!read(ACCESS, source, end) || at !== end || (UPPER[1] !== 0 && !isId(1))) return undefined
  const wallMs = number(2)
  const counter = number(3)
  if (!isTime(wallMs, counter)) return undefined
  if (wallMs > latestMs || (wallMs === latestMs && counter > latestCounter)) {
    latestMs = wallMs
    latestCounter = counter
  }
  let all = before
  if (!isAsBefore || attributes !== before.length) {
    all = ATTRIBUTES.slice(0, attributes)
    if (hasTwice(all)) return undefined
    before = attributes > KEPT_MAX ? [] : all
  }
  const places = PLACES.slice(0, 2 * attributes)
  if (PLACES.length > 2 * KEPT_MAX) for (const list of [ATTRIBUTES, PLACES]) list.length = 0
  if (ORIGINS.length > KEPT_MAX) ORIGINS.length = 0
  return {
    key,
    origin,
    seq,
    hash: known ?? { high: high >>> 0, low: low >>> 0 },
    wallMs: latestMs,
    counter: latestCounter,
    context: context ?? NO_CONTEXT,
    names: removed === 0 ? all : all.filter((_, index) => places[2 * index] !== NONE),
    all,
    places,
  }
}

/** Reads a message with fields in ascending order, each at most once; whether that is what stands there. */
function read(message: { tag: number; fields: number; spans: number }, source: Buffer, end: number): boolean {
  if (at >= end || source[at] !== message.tag) return false
  at++
  readNumber(0, source, end)
  const inner = at + LOWER[0]!
  if (UPPER[0] !== 0 || inner > end) return false
  for (let field = 1; field <= message.fields; field++) {
    LOWER[field] = 0
    UPPER[field] = 0
  }
  for (let previous = 0; at < inner; ) {
    const tag = source[at++]!
    const field = tag >> 3
    if (field <= previous || field > message.fields) return false
    previous = field
    const isSpan = ((message.spans >> field) & 1) === 1
    if ((tag & 7) !== (isSpan ? 2 : 0)) return false
    readNumber(field, source, inner)
    if (!isSpan) continue
    const length = LOWER[field]!
    if (UPPER[field] !== 0 || length > inner - at) return false
    LOWER[field] = at
    at += length
    UPPER[field] = at
  }
  return at === inner
}

function readNumber(field: number, source: Buffer, end: number): void {
  let lower = 0
  let upper = 0
  for (let shift = 0; shift < 56 && at < end; shift += 7) {
    const byte = source[at++]!
    if (shift < 28) lower |= (byte & 127) << shift
    else upper |= (byte & 127) << (shift - 28)
    if (byte > 127) continue
    LOWER[field] = lower
    UPPER[field] = upper
    if (upper >= 2 ** 25) at = LOST
    return
  }
  at = LOST
}

function number(field: number): number {
  return UPPER[field]! * UPPER_UNIT + LOWER[field]!
}

function isId(field: number): boolean {
  return UPPER[field]! - LOWER[field]! === ID_BYTES
}

function hasTwice(names: readonly string[]): boolean {
  if (names.length > 16) return new Set(names).size !== names.length
  for (let i = 1; i < names.length; i++) if (names.lastIndexOf(names[i]!, i - 1) !== -1) return true
  return false
}
