import type protobuf from 'protobufjs/minimal.js'
import { ProtocolError } from '../errors.js'
import type { MemberId } from '../membership/member.js'
import {
  checkedKey,
  readAccess,
  readDot,
  readId,
  readKey,
  writeId,
  writeKey,
  writeStamp,
  writeUint,
} from './codec-parts.js'
import type { FieldReader } from './codec-reader.js'
import type { AttributeState, Delta, DeltaKind, RecordSnapshot } from './delta.js'
import { CONTEXT_MAX } from './record.js'
import { NAME_BYTES_MAX, VALUE_BYTES_MAX } from './record-limits.js'
import type { Dot, RecordKey } from './replica-contract.js'
import { type AccessStamp, creationDot, NEVER } from './stamp.js'

type Writer = protobuf.Writer

const KINDS: readonly DeltaKind[] = ['create', 'write', 'renew', 'invalidate', 'expire']
/** Concurrent writers may together exceed what one may write. */
const ATTRIBUTES_MAX = 65_536

/** The hot path: a delta, its own member's id written once. */
export function writeDelta(writer: Writer, field: number, delta: Delta): void {
  const { stamp, limit } = delta
  const key = creationDot(delta.key)
  writer.uint32((field << 3) | 2).fork()
  writeUint(writer, 1, KINDS.indexOf(delta.kind))
  writeId(writer, 2, stamp.origin)
  writeUint(writer, 3, stamp.seq)
  writeUint(writer, 4, stamp.wallMs)
  writeUint(writer, 5, stamp.counter)
  if (key.origin !== stamp.origin) writeId(writer, 6, key.origin)
  if (key.origin !== stamp.origin || key.seq !== stamp.seq) writeUint(writer, 7, key.seq)
  for (const [origin, seq] of delta.deps) writeDot(writer, 8, origin, seq)
  for (const [name, value] of delta.writes) {
    writer
      .uint32((9 << 3) | 2)
      .fork()
      .uint32((1 << 3) | 2)
      .string(name)
    if (value !== undefined) writer.uint32((2 << 3) | 2).bytes(value)
    writer.ldelim()
  }
  if (limit !== undefined) writeStamp(writer, 10, limit)
  writer.ldelim()
}

/** Reads one delta. */
export function readDelta(reader: FieldReader): Delta {
  const end = reader.nested()
  let kind = 0
  let origin = ''
  let seq = 0
  let wallMs = 0
  let counter = 0
  let keyOrigin = ''
  let keySeq = 0
  const deps: [MemberId, number][] = []
  const writes = new Map<string, Uint8Array | undefined>()
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
        readContext(reader, deps)
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
  const key = checkedKey(keyOrigin || origin, keySeq || seq)
  if ((name === 'create') !== (key === `${origin}#${seq}`)) throw new ProtocolError('Only a creation names its own dot')
  const delta = { kind: name, key, stamp: { wallMs, counter, origin, seq }, deps, writes }
  return limit === undefined ? delta : { ...delta, limit }
}

/** A whole record; member ids are written once and referred to by position. */
export function writeRecord(writer: Writer, field: number, record: RecordSnapshot): void {
  const origins = new Map<MemberId, number>()
  const indexOf = (id: MemberId): number => {
    const known = origins.get(id)
    if (known !== undefined) return known
    origins.set(id, origins.size)
    return origins.size - 1
  }
  for (const [, { stamp }] of record.attributes) indexOf(stamp.origin)
  for (const [origin] of record.context) indexOf(origin)
  writer.uint32((field << 3) | 2).fork()
  writeKey(writer, 1, record.key)
  for (const origin of origins.keys()) writeId(writer, 2, origin)
  for (const [name, { stamp, value }] of record.attributes) {
    writer
      .uint32((3 << 3) | 2)
      .fork()
      .uint32((1 << 3) | 2)
      .string(name)
    writeUint(writer, 2, indexOf(stamp.origin))
    writeUint(writer, 3, stamp.wallMs)
    writeUint(writer, 4, stamp.counter)
    writeUint(writer, 5, stamp.seq)
    if (value !== undefined) writer.uint32((6 << 3) | 2).bytes(value)
    writer.ldelim()
  }
  for (const [origin, seq] of record.context) {
    writer.uint32((4 << 3) | 2).fork()
    writeUint(writer, 1, indexOf(origin))
    writeUint(writer, 2, seq)
    writer.ldelim()
  }
  writeStamp(writer, 5, record.access)
  writeUint(writer, 6, record.ageMs)
  if (record.limit !== NEVER) writeStamp(writer, 7, record.limit)
  writer.ldelim()
}

/** Reads one whole record. */
export function readRecord(reader: FieldReader): RecordSnapshot {
  const end = reader.nested()
  let key = ''
  let access = NEVER
  let ageMs = 0
  let limit = NEVER
  const origins: MemberId[] = []
  const attributes: [string, AttributeState][] = []
  const context: [MemberId, number][] = []
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    switch (field) {
      case 1:
        key = readKey(reader)
        break
      case 2:
        if (origins.length === ATTRIBUTES_MAX) throw new ProtocolError('Too many members in a record')
        origins.push(readId(reader))
        break
      case 3:
        if (attributes.length === ATTRIBUTES_MAX) throw new ProtocolError('Too many attributes')
        attributes.push(readAttribute(reader, origins))
        break
      case 4:
        if (context.length === CONTEXT_MAX) throw new ProtocolError('Too long a context')
        context.push(readIndexed(reader, origins))
        break
      case 5:
        access = readAccess(reader)
        break
      case 6:
        ageMs = reader.uint53()
        break
      case 7:
        limit = readAccess(reader)
        break
      default:
        reader.skip()
    }
  }
  if (key === '') throw new ProtocolError('A record without a key')
  return { key, attributes, context, access, ageMs, limit }
}

/** Writes which delta invalidated a record. */
export function writeTombstone(writer: Writer, field: number, key: RecordKey, { origin, seq }: Dot): void {
  writer.uint32((field << 3) | 2).fork()
  writeKey(writer, 1, key)
  writeDot(writer, 2, origin, seq)
  writer.ldelim()
}

/** Reads which delta invalidated a record. */
export function readTombstone(reader: FieldReader): [RecordKey, Dot] {
  const end = reader.nested()
  let key = ''
  const dots: [MemberId, number][] = []
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field === 1) key = readKey(reader)
    else if (field === 2) readContext(reader, dots)
    else reader.skip()
  }
  const dot = dots[0]
  if (key === '' || dot === undefined) throw new ProtocolError('A tombstone is incomplete')
  return [key, { origin: dot[0], seq: dot[1] }]
}

function writeDot(writer: Writer, field: number, origin: MemberId, seq: number): void {
  writer.uint32((field << 3) | 2).fork()
  writeId(writer, 1, origin)
  writeUint(writer, 2, seq)
  writer.ldelim()
}

function readContext(reader: FieldReader, context: [MemberId, number][]): void {
  if (context.length === CONTEXT_MAX) throw new ProtocolError('Too long a context')
  const { origin, seq } = readDot(reader)
  if (origin === '' || seq === 0) throw new ProtocolError('A dot is incomplete')
  context.push([origin, seq])
}

function readIndexed(reader: FieldReader, origins: readonly MemberId[]): [MemberId, number] {
  const end = reader.nested()
  let index = 0
  let seq = 0
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field === 1) index = reader.uint32()
    else if (field === 2) seq = reader.uint53()
    else reader.skip()
  }
  return [originAt(origins, index), nonZero(seq)]
}

// Values are copied, or one small value would keep a whole frame in memory.
function readWrite(reader: FieldReader, writes: Map<string, Uint8Array | undefined>): void {
  if (writes.size === ATTRIBUTES_MAX) throw new ProtocolError('Too many attributes')
  const end = reader.nested()
  let name = ''
  let value: Uint8Array | undefined
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field === 1) name = reader.text(NAME_BYTES_MAX)
    else if (field === 2) value = new Uint8Array(reader.bytes(VALUE_BYTES_MAX))
    else reader.skip()
  }
  writes.set(name, value)
}

function readAttribute(reader: FieldReader, origins: readonly MemberId[]): [string, AttributeState] {
  const end = reader.nested()
  let name = ''
  let index = 0
  let wallMs = 0
  let counter = 0
  let seq = 0
  let value: Uint8Array | undefined
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    switch (field) {
      case 1:
        name = reader.text(NAME_BYTES_MAX)
        break
      case 2:
        index = reader.uint32()
        break
      case 3:
        wallMs = reader.uint53()
        break
      case 4:
        counter = reader.uint32()
        break
      case 5:
        seq = reader.uint53()
        break
      case 6:
        value = new Uint8Array(reader.bytes(VALUE_BYTES_MAX))
        break
      default:
        reader.skip()
    }
  }
  if (counter > 65_535 || wallMs >= 2 ** 48) throw new ProtocolError('A stamp is out of range')
  const stamp = { wallMs, counter, origin: originAt(origins, index), seq: nonZero(seq) }
  return [name, value === undefined ? { stamp } : { stamp, value }]
}

function originAt(origins: readonly MemberId[], index: number): MemberId {
  const id = origins[index]
  if (id === undefined || id === '') throw new ProtocolError('A member is referred to that is not listed')
  return id
}

function nonZero(seq: number): number {
  if (seq === 0) throw new ProtocolError('Numbers start at 1')
  return seq
}
