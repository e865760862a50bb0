import type { MemberId } from '../membership/member.js'
import { ID_BYTES } from '../wire/id-table.js'
import { lengthAt, lengthBytes, VARINT_END } from '../wire/varint.js'
import { memoryOf, offsetOf } from '../wire/view.js'
import { checkedKey } from './codec-parts.js'
import { IDS, NAMES } from './codec-reader.js'
import { type Context, type Delta, NO_CONTEXT } from './delta.js'
import { KINDS } from './delta-codec.js'
import { NAME_BYTES_MAX, VALUE_BYTES_MAX } from './record-limits.js'
import { SmallMap } from './small-map.js'
import { isTime } from './stamp.js'

/** Tags of fields, in the order in which they are written: see `replication.proto`. */
const DELTA = (2 << 3) | 2
const KIND = 1 << 3
const ORIGIN = (2 << 3) | 2
const SEQ = 3 << 3
const WALL_MS = 4 << 3
const COUNTER = 5 << 3
const KEY_ORIGIN = (6 << 3) | 2
const KEY_SEQ = 7 << 3
const DEP = (8 << 3) | 2
const WRITE = (9 << 3) | 2
/** The first two fields of a dep, and of a written attribute. */
const FIRST = (1 << 3) | 2
const DEP_SEQ = 2 << 3
const VALUE = (2 << 3) | 2

const KIND_WRITE = KINDS.indexOf('write')
/** More are left to others. */
const WRITES_MAX = 64
/** Bytes of a number that is read here; it stays below 2^49. */
const WHOLE_BYTES_MAX = 7
/** Those of its lower half. */
const LOW_BYTES = 4

/** Where the number that was read last ends. */
let next = 0

/**
 * The delta of a message that is a write as every member makes it: each field once, in the order of the writer, with at
 * most one dep. Undefined for whatever else it is, and for all that is wrong, which is left to the rules of `readDelta`.
 * Its values are views of the message. The message must begin as that of a delta, which takes two bytes.
 *
 * By its layout instead of field by field: reading is a third of what a write costs those who only keep a copy.
 */
export function readPlainDelta(bytes: Uint8Array): Delta | undefined {
  const end = bytes.length
  let at = 3 + lengthBytes(bytes, 3)
  if (bytes[2] !== DELTA || at === 3 || at + lengthAt(bytes, 3) !== end) return undefined
  if (bytes[at] !== KIND || bytes[at + 1] !== KIND_WRITE || !isId(bytes, at + 2, ORIGIN, end)) return undefined
  const origin = IDS.at(bytes, at + 4)
  at += 4 + ID_BYTES
  const seq = bytes[at] === SEQ ? wholeAt(bytes, at + 1) : 0
  at = next
  const wallMs = seq > 0 && bytes[at] === WALL_MS ? wholeAt(bytes, at + 1) : 0
  at = next
  let counter = 0
  if (bytes[at] === COUNTER) {
    counter = wholeAt(bytes, at + 1)
    at = next
  }
  if (wallMs <= 0 || counter < 0 || !isTime(wallMs, counter)) return undefined
  let creator = origin
  if (isId(bytes, at, KEY_ORIGIN, end)) {
    creator = IDS.at(bytes, at + 2)
    at += 2 + ID_BYTES
  }
  const createdAs = bytes[at] === KEY_SEQ ? wholeAt(bytes, at + 1) : 0
  at = next
  // A write of what it creates itself is none.
  if (createdAs <= 0 || (createdAs === seq && creator === origin)) return undefined
  let deps: Context = NO_CONTEXT
  if (bytes[at] === DEP) {
    const depEnd = at + 2 + (bytes[at + 1] as number)
    if (!isId(bytes, at + 2, FIRST, end) || bytes[at + 4 + ID_BYTES] !== DEP_SEQ) return undefined
    const member: MemberId = IDS.at(bytes, at + 4)
    const last = wholeAt(bytes, at + 5 + ID_BYTES)
    if (last <= 0 || next !== depEnd) return undefined
    deps = [[member, last]]
    at = depEnd
  }
  const writes = readWrites(bytes, at)
  if (writes === undefined) return undefined
  const stamp = { wallMs, counter, origin, seq }
  return { kind: 'write', key: checkedKey(creator, createdAs), stamp, deps, writes, isLent: true }
}

/** All that is written, from a place to the end. */
function readWrites(bytes: Uint8Array, start: number): SmallMap<Uint8Array | undefined> | undefined {
  const end = bytes.length
  const writes = new SmallMap<Uint8Array | undefined>()
  for (let at = start; at < end; ) {
    const inner = at + 1 + lengthBytes(bytes, at + 1)
    const innerEnd = inner + lengthAt(bytes, at + 1)
    if (bytes[at] !== WRITE || inner === at + 1 || innerEnd > end || writes.size === WRITES_MAX) return undefined
    const nameAt = inner + 2
    const nameEnd = nameAt + (bytes[inner + 1] ?? 128)
    // A longer name has a longer length.
    if (bytes[inner] !== FIRST || nameEnd - nameAt > Math.min(127, NAME_BYTES_MAX) || nameEnd > innerEnd)
      return undefined
    const name = NAMES.utf8(bytes, nameAt, nameEnd)
    let value: Uint8Array | undefined
    if (nameEnd < innerEnd) {
      const valueAt = nameEnd + 1 + lengthBytes(bytes, nameEnd + 1)
      const length = lengthAt(bytes, nameEnd + 1)
      if (bytes[nameEnd] !== VALUE || valueAt === nameEnd + 1 || length > VALUE_BYTES_MAX) return undefined
      if (valueAt + length !== innerEnd) return undefined
      value = new Uint8Array(memoryOf(bytes), offsetOf(bytes) + valueAt, length)
    }
    writes.set(name, value)
    at = innerEnd
  }
  return writes
}

/** Whether the field of an id stands at a place, all of it. */
function isId(bytes: Uint8Array, at: number, tag: number, end: number): boolean {
  return bytes[at] === tag && bytes[at + 1] === ID_BYTES && at + 2 + ID_BYTES <= end
}

/** The number at a place; `next` is where it ends. -1 if it is too long. */
function wholeAt(bytes: Uint8Array, start: number): number {
  // In two halves that stay small integers: the engine reads those several times as fast.
  let low = 0
  for (let n = 0; n < LOW_BYTES; n++) {
    const byte = bytes[start + n] ?? 128
    low |= (byte & 127) << (7 * n)
    if (byte < 128) {
      next = start + n + 1
      return low
    }
  }
  let high = 0
  for (let n = LOW_BYTES; n < WHOLE_BYTES_MAX; n++) {
    const byte = bytes[start + n] ?? 128
    high |= (byte & 127) << (7 * (n - LOW_BYTES))
    if (byte < 128) {
      next = start + n + 1
      return high * VARINT_END + low
    }
  }
  next = start
  return -1
}
