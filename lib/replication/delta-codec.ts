import type { AckMode } from '../channel/topic.js'
import { ProtocolError } from '../errors.js'
import type { MemberId } from '../membership/member.js'
import type { FrameRoom } from '../wire/frame-space.js'
import { checkedKey, readAccess, readDot, readId } from './codec-parts.js'
import type { FieldReader } from './codec-reader.js'
import type { Delta, DeltaKind } from './delta.js'
import { CONTEXT_MAX } from './record.js'
import { NAME_BYTES_MAX, VALUE_BYTES_MAX } from './record-limits.js'
import type { RecordKey } from './replica-contract.js'
import { SmallMap } from './small-map.js'
import type { AccessStamp } from './stamp.js'

const KINDS: readonly DeltaKind[] = ['create', 'write', 'renew', 'invalidate', 'expire']
/** Concurrent writers may together exceed what one may write. */
const ATTRIBUTES_MAX = 65_536
const ID_BYTES = 16
/** Tag, length and bytes of an id. */
export const ID_FIELD_BYTES: number = 2 + ID_BYTES

/** Gives out memory to write a message of so many bytes into, which will be sent with this acknowledgement. */
export type RoomFor = (length: number, ack: AckMode) => FrameRoom

/**
 * A delta as a message, byte for byte what protobuf makes of it. The one message that is written by hand, since each
 * write of a session makes one: lengths are summed up first, so that everything is written once and in its place.
 */
export function encodeDelta(delta: Delta, roomFor: RoomFor = ownRoom, ack: AckMode = 'none'): Uint8Array {
  const { key, stamp } = delta
  const isOwn = hasOrigin(key, stamp.origin)
  const keySeq = seqOf(key)
  const bodyBytes = deltaBytes(delta, isOwn, keySeq)
  const length = 3 + varintBytes(bodyBytes) + bodyBytes
  const { bytes, at } = roomFor(length, ack)
  // The kind of the message, then the delta.
  bytes[at] = 1 << 3
  bytes[at + 1] = 1
  bytes[at + 2] = (2 << 3) | 2
  const end = writeDelta(bytes, writeVarint(bytes, at + 3, bodyBytes), delta, isOwn, keySeq)
  if (end !== at + length) throw new RangeError(`A delta of ${length} bytes came out as ${end - at}`)
  return new Uint8Array(bytes.buffer, bytes.byteOffset + at, length)
}

/** Memory of its own. */
export function ownRoom(length: number): FrameRoom {
  return { bytes: Buffer.allocUnsafeSlow(length), at: 0 }
}

function deltaBytes({ kind, stamp, deps, writes, limit }: Delta, isOwn: boolean, keySeq: number): number {
  const { seq, wallMs, counter } = stamp
  let bytes = (kind === 'create' ? 0 : 2) + ID_FIELD_BYTES + uintBytes(seq) + uintBytes(wallMs) + uintBytes(counter)
  if (!isOwn) bytes += ID_FIELD_BYTES + uintBytes(keySeq)
  else if (keySeq !== seq) bytes += uintBytes(keySeq)
  for (const dep of deps) bytes += 2 + ID_FIELD_BYTES + uintBytes(dep[1])
  for (const [name, value] of writes) {
    const inner = pairBytes(name, value)
    bytes += 1 + varintBytes(inner) + inner
  }
  return limit === undefined ? bytes : bytes + 2 + limitBytes(limit)
}

function pairBytes(name: string, value: Uint8Array | undefined): number {
  const nameBytes = textBytes(name)
  const bytes = 1 + varintBytes(nameBytes) + nameBytes
  return value === undefined ? bytes : bytes + 1 + varintBytes(value.length) + value.length
}

function limitBytes({ origin, wallMs, counter }: AccessStamp): number {
  return (origin === '' ? 0 : ID_FIELD_BYTES) + uintBytes(wallMs) + uintBytes(counter)
}

function writeDelta(bytes: Buffer, start: number, delta: Delta, isOwn: boolean, keySeq: number): number {
  const { kind, key, stamp, deps, writes, limit } = delta
  const { origin, seq, wallMs, counter } = stamp
  let at = writeUint(bytes, start, 1, KINDS.indexOf(kind))
  at = writeId(bytes, at, 2, origin)
  at = writeUint(bytes, at, 3, seq)
  at = writeUint(bytes, at, 4, wallMs)
  at = writeUint(bytes, at, 5, counter)
  if (!isOwn) at = writeUint(bytes, writeId(bytes, at, 6, key), 7, keySeq)
  else if (keySeq !== seq) at = writeUint(bytes, at, 7, keySeq)
  for (const [id, last] of deps) {
    bytes[at++] = (8 << 3) | 2
    bytes[at++] = ID_FIELD_BYTES + uintBytes(last)
    at = writeUint(bytes, writeId(bytes, at, 1, id), 2, last)
  }
  for (const [name, value] of writes) {
    bytes[at++] = (9 << 3) | 2
    at = writeVarint(bytes, at, pairBytes(name, value))
    bytes[at++] = (1 << 3) | 2
    at = writeText(bytes, at, name)
    if (value === undefined) continue
    bytes[at++] = (2 << 3) | 2
    at = writeVarint(bytes, at, value.length)
    writeBytes(bytes, at, value)
    at += value.length
  }
  if (limit === undefined) return at
  bytes[at++] = (10 << 3) | 2
  bytes[at++] = limitBytes(limit)
  if (limit.origin !== '') at = writeId(bytes, at, 1, limit.origin)
  return writeUint(bytes, writeUint(bytes, at, 2, limit.wallMs), 3, limit.counter)
}

/** Whether the record was created by this member. */
function hasOrigin(key: RecordKey, origin: MemberId): boolean {
  return key.charCodeAt(origin.length) === 35 && key.startsWith(origin)
}

/** The number in a record's key: behind the last `#`. */
export function seqOf(key: RecordKey): number {
  let at = key.length - 1
  while (at > 0 && key.charCodeAt(at) !== 35) at--
  let seq = 0
  for (at++; at < key.length; at++) seq = seq * 10 + (key.charCodeAt(at) - 48)
  return seq
}

/** Bytes of a number's field; those that are 0 are left out. */
export function uintBytes(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value)
}

/** Bytes of a number of variable length. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x20_0000) return 3
  if (value < FOUR_BYTES) return 4
  return 4 + varintBytes(Math.floor(value / FOUR_BYTES))
}

/** What four bytes of seven bits do not hold any more. */
const FOUR_BYTES = 0x1000_0000

/** Writes a number's field, unless it is 0; where it ends. */
export function writeUint(bytes: Uint8Array, at: number, field: number, value: number): number {
  if (value === 0) return at
  bytes[at] = field << 3
  return writeVarint(bytes, at + 1, value)
}

/** Writes a number of variable length; where it ends. */
export function writeVarint(bytes: Uint8Array, start: number, value: number): number {
  let at = start
  let rest = value
  if (rest > 0x7fff_ffff) {
    // Four bytes at once: remainders of what is no 32-bit integer cost a call each.
    const high = Math.floor(rest / FOUR_BYTES)
    const low = rest - high * FOUR_BYTES
    bytes[at] = (low & 127) | 128
    bytes[at + 1] = ((low >>> 7) & 127) | 128
    bytes[at + 2] = ((low >>> 14) & 127) | 128
    bytes[at + 3] = (low >>> 21) | 128
    at += 4
    rest = high
  }
  while (rest > 127) {
    bytes[at++] = (rest & 127) | 128
    rest >>>= 7
  }
  bytes[at++] = rest
  return at
}

/** Writes the field of the id that `text` is or begins with; where it ends. */
export function writeId(bytes: Uint8Array, start: number, field: number, text: string): number {
  bytes[start] = (field << 3) | 2
  bytes[start + 1] = ID_BYTES
  if (text.length > 2 * ID_BYTES) readHex(text, bytes, start + 2)
  else {
    const id = idBytes(text)
    for (let i = 0; i < ID_BYTES; i++) bytes[start + 2 + i] = id[i] as number
  }
  return start + ID_FIELD_BYTES
}

/** The bytes of ids written last: members are few, and their ids in every delta. */
const knownIds = new Map<MemberId, Uint8Array>()
const KNOWN_IDS_MAX = 1_024
let lastId: MemberId = ''
let lastIdBytes: Uint8Array = new Uint8Array(ID_BYTES)

function idBytes(id: MemberId): Uint8Array {
  if (id === lastId) return lastIdBytes
  let bytes = knownIds.get(id)
  if (bytes === undefined) {
    bytes = new Uint8Array(ID_BYTES)
    readHex(id, bytes, 0)
    if (knownIds.size >= KNOWN_IDS_MAX) knownIds.clear()
    knownIds.set(id, bytes)
  }
  lastId = id
  lastIdBytes = bytes
  return bytes
}

/** Writes the 16 bytes that a text's first 32 digits stand for. */
function readHex(text: string, bytes: Uint8Array, at: number): void {
  for (let i = 0; i < ID_BYTES; i++) {
    bytes[at + i] = (digit(text.charCodeAt(2 * i)) << 4) | digit(text.charCodeAt(2 * i + 1))
  }
}

/** The value of a hexadecimal digit in lower case. */
function digit(code: number): number {
  return code < 58 ? code - 48 : code - 87
}

/** Writes a text with its length; where it ends. */
export function writeText(bytes: Buffer, start: number, text: string): number {
  const length = textBytes(text)
  const at = writeVarint(bytes, start, length)
  if (length === text.length && length <= SHORT_TEXT) {
    for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i)
  } else bytes.write(text, at, length, 'utf8')
  return at + length
}

/** Up to here going through a text is cheaper than a call into the engine. */
const SHORT_TEXT = 32

/** Up to here copying byte by byte is cheaper than a call into the engine. */
const SHORT_VALUE = 96

function writeBytes(bytes: Uint8Array, at: number, value: Uint8Array): void {
  const { length } = value
  if (length > SHORT_VALUE) bytes.set(value, at)
  else for (let i = 0; i < length; i++) bytes[at + i] = value[i] as number
}

function textBytes(text: string): number {
  const { length } = text
  if (length > SHORT_TEXT) return Buffer.byteLength(text)
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) > 127) return Buffer.byteLength(text)
  return length
}

/** Reads a delta where the reader stands. */
export function readDelta(reader: FieldReader): Delta {
  const end = reader.nested()
  let kind = 0
  let origin = ''
  let seq = 0
  let wallMs = 0
  let counter = 0
  let keyOrigin = ''
  let keySeq = 0
  let deps: [MemberId, number][] = NO_DEPS
  const writes = new SmallMap<Uint8Array | undefined>()
  let limit: AccessStamp | undefined
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    switch (field) {
      case 1:
        kind = reader.uint32()
        break
      case 2:
        origin = readId(reader)
        break
      case 3:
        seq = reader.uint53()
        break
      case 4:
        wallMs = reader.uint53()
        break
      case 5:
        counter = reader.uint32()
        break
      case 6:
        keyOrigin = readId(reader)
        break
      case 7:
        keySeq = reader.uint53()
        break
      case 8:
        // A literal: a list that grows makes room for seventeen, and most have one.
        if (deps.length === 0) deps = [readContextDot(reader)]
        else readContext(reader, deps)
        break
      case 9:
        readWrite(reader, writes)
        break
      case 10:
        limit = readAccess(reader)
        break
      default:
        reader.skip()
    }
  }
  const name = KINDS[kind]
  if (name === undefined || (name === 'expire') !== (limit !== undefined)) throw new ProtocolError('Bad delta kind')
  if (origin === '' || seq === 0 || counter > 65_535 || wallMs >= 2 ** 48) throw new ProtocolError('Bad delta stamp')
  const createdBy = keyOrigin || origin
  const createdAs = keySeq || seq
  const isCreation = createdBy === origin && createdAs === seq
  if ((name === 'create') !== isCreation) throw new ProtocolError('Only a creation names its own dot')
  const key = checkedKey(createdBy, createdAs)
  const delta = { kind: name, key, stamp: { wallMs, counter, origin, seq }, deps, writes }
  return limit === undefined ? delta : { ...delta, limit }
}

/** Adds a dot to a context, bounded. */
export function readContext(reader: FieldReader, context: [MemberId, number][]): void {
  if (context.length === CONTEXT_MAX) throw new ProtocolError('Too long a context')
  context.push(readContextDot(reader))
}

const NO_DEPS: [MemberId, number][] = []

function readContextDot(reader: FieldReader): [MemberId, number] {
  const { origin, seq } = readDot(reader)
  if (origin === '' || seq === 0) throw new ProtocolError('A dot is incomplete')
  return [origin, seq]
}

function readWrite(reader: FieldReader, writes: SmallMap<Uint8Array | undefined>): void {
  if (writes.size === ATTRIBUTES_MAX) throw new ProtocolError('Too many attributes')
  const end = reader.nested()
  let name = ''
  let value: Uint8Array | undefined
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field === 1) name = reader.text(NAME_BYTES_MAX)
    else if (field === 2) value = reader.copy(VALUE_BYTES_MAX)
    else reader.skip()
  }
  writes.set(name, value)
}
