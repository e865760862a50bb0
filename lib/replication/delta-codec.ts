import type { Buffer } from 'node:buffer'
import type { AckMode } from '../channel/topic.js'
import { ProtocolError } from '../errors.js'
import type { MemberId } from '../membership/member.js'
import { FrameRoom } from '../wire/frame-space.js'
import { APART_BYTES } from '../wire/hot-frames.js'
import { varintBytes, writeVarint } from '../wire/varint.js'
import { checkedKey, readAccess, readDot, readId } from './codec-parts.js'
import type { FieldReader } from './codec-reader.js'
import {
  ID_FIELD_BYTES,
  seqOf,
  textBytes,
  uintBytes,
  writeBytes,
  writeId,
  writeText,
  writeUint,
} from './codec-writer.js'
import type { Delta, DeltaKind } from './delta.js'
import { CONTEXT_MAX } from './record.js'
import { NAME_BYTES_MAX, VALUE_BYTES_MAX } from './record-limits.js'
import type { RecordKey } from './replica-contract.js'
import { SmallMap } from './small-map.js'
import { type AccessStamp, isTime } from './stamp.js'

/** By their numbers. */
export const KINDS: readonly DeltaKind[] = ['create', 'write', 'renew', 'invalidate', 'expire']
/** Concurrent writers may together exceed what one may write. */
const ATTRIBUTES_MAX = 65_536

/** Gives out memory to write a message of so many bytes into, which will be sent with this acknowledgement. */
export type RoomFor = (length: number, ack: AckMode) => FrameRoom

/**
 * A delta as a message, byte for byte what protobuf makes of it, in one piece or two that belong one behind the other: a
 * large value at the end is left where it lies. The one message that is written by hand, since each write of a session
 * makes one: lengths are summed up first, so that everything is written once and in its place.
 */
export function encodeDelta(delta: Delta, roomFor: RoomFor = ownRoom, ack: AckMode = 'none'): readonly Uint8Array[] {
  const { isOwn, seq } = knownKey(delta.key, delta.stamp.origin)
  const bodyBytes = deltaBytes(delta, isOwn, seq)
  const apart = valueApart(delta)
  const length = 3 + varintBytes(bodyBytes) + bodyBytes - (apart === undefined ? 0 : apart.length)
  const room = roomFor(length, ack)
  const { bytes, at } = room
  // The kind of the message, then the delta.
  bytes[at] = 1 << 3
  bytes[at + 1] = 1
  bytes[at + 2] = (2 << 3) | 2
  const end = writeDelta(bytes, writeVarint(bytes, at + 3, bodyBytes), delta, isOwn, seq, apart)
  if (end !== at + length) throw new RangeError(`A delta of ${length} bytes came out as ${end - at}`)
  const written = room.view(length)
  return apart === undefined ? [written] : [written, apart]
}

/** Memory of its own. */
export function ownRoom(length: number): FrameRoom {
  return new FrameRoom(length)
}

/** The value that the message ends with, if it is too large to be copied. */
function valueApart({ writes, limit }: Delta): Uint8Array | undefined {
  if (writes.size === 0 || limit !== undefined) return undefined
  const last = writes.valueAt(writes.size - 1)
  return last !== undefined && last.length >= APART_BYTES ? last : undefined
}

function deltaBytes({ kind, stamp, deps, writes, limit }: Delta, isOwn: boolean, keySeq: number): number {
  const { seq, wallMs, counter } = stamp
  let bytes = (kind === 'create' ? 0 : 2) + ID_FIELD_BYTES + uintBytes(seq) + uintBytes(wallMs) + uintBytes(counter)
  if (!isOwn) bytes += ID_FIELD_BYTES + uintBytes(keySeq)
  else if (keySeq !== seq) bytes += uintBytes(keySeq)
  for (const dep of deps) bytes += 2 + ID_FIELD_BYTES + uintBytes(dep[1])
  for (let place = 0; place < writes.size; place++) {
    const inner = pairBytes(writes.nameAt(place), writes.valueAt(place))
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

function writeDelta(
  bytes: Buffer,
  start: number,
  delta: Delta,
  isOwn: boolean,
  keySeq: number,
  apart: Uint8Array | undefined,
): number {
  const { kind, key, stamp, deps, writes, limit } = delta
  const { origin, seq, wallMs, counter } = stamp
  let at = writeUint(bytes, start, 1, KINDS.indexOf(kind))
  at = writeId(bytes, at, 2, origin)
  at = writeUint(bytes, at, 3, seq)
  at = writeUint(bytes, at, 4, wallMs)
  at = writeUint(bytes, at, 5, counter)
  if (!isOwn) at = writeUint(bytes, writeId(bytes, at, 6, key), 7, keySeq)
  else if (keySeq !== seq) at = writeUint(bytes, at, 7, keySeq)
  for (const dep of deps) {
    const last = dep[1]
    bytes[at++] = (8 << 3) | 2
    bytes[at++] = ID_FIELD_BYTES + uintBytes(last)
    at = writeUint(bytes, writeId(bytes, at, 1, dep[0]), 2, last)
  }
  for (let place = 0; place < writes.size; place++) {
    const name = writes.nameAt(place)
    const value = writes.valueAt(place)
    bytes[at++] = (9 << 3) | 2
    at = writeVarint(bytes, at, pairBytes(name, value))
    bytes[at++] = (1 << 3) | 2
    at = writeText(bytes, at, name)
    if (value === undefined) continue
    bytes[at++] = (2 << 3) | 2
    at = writeVarint(bytes, at, value.length)
    if (value !== apart || place < writes.size - 1) at = writeBytes(bytes, at, value)
  }
  if (limit === undefined) return at
  bytes[at++] = (10 << 3) | 2
  bytes[at++] = limitBytes(limit)
  if (limit.origin !== '') at = writeId(bytes, at, 1, limit.origin)
  return writeUint(bytes, writeUint(bytes, at, 2, limit.wallMs), 3, limit.counter)
}

/** A record's key, as a member's deltas name it. */
interface KnownKey {
  readonly key: RecordKey
  readonly writer: MemberId
  /** Whether the writer created it. */
  readonly isOwn: boolean
  readonly seq: number
}

/** A power of two. */
const KNOWN_KEYS = 1_024
/** Keys that were written last: taking one apart costs more than writing it. Those that end alike replace each other. */
const knownKeys: (KnownKey | undefined)[] = new Array(KNOWN_KEYS).fill(undefined)

function knownKey(key: RecordKey, writer: MemberId): KnownKey {
  const last = key.length - 1
  const tail = 100 * key.charCodeAt(last) + 10 * key.charCodeAt(last - 1) + key.charCodeAt(last - 2)
  const known = knownKeys[tail & (KNOWN_KEYS - 1)]
  if (known !== undefined && known.key === key && known.writer === writer) return known
  const isOwn = key.charCodeAt(writer.length) === 35 && key.startsWith(writer)
  const made = { key, writer, isOwn, seq: seqOf(key) }
  knownKeys[tail & (KNOWN_KEYS - 1)] = made
  return made
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
  if (origin === '' || seq === 0 || !isTime(wallMs, counter)) throw new ProtocolError('Bad delta stamp')
  const createdBy = keyOrigin || origin
  const createdAs = keySeq || seq
  const isCreation = createdBy === origin && createdAs === seq
  if ((name === 'create') !== isCreation) throw new ProtocolError('Only a creation names its own dot')
  const key = checkedKey(createdBy, createdAs)
  const stamp = { wallMs, counter, origin, seq }
  const isLent = reader.lease === 'lent'
  const delta: Delta = isLent
    ? { kind: name, key, stamp, deps, writes, isLent }
    : { kind: name, key, stamp, deps, writes }
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
    else if (field === 2) value = reader.lease === 'lent' ? reader.view(VALUE_BYTES_MAX) : reader.copy(VALUE_BYTES_MAX)
    else reader.skip()
  }
  writes.set(name, value)
}
