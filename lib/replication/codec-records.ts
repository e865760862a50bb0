import type protobuf from 'protobufjs/minimal.js'
import { ProtocolError } from '../errors.js'
import type { MemberId } from '../membership/member.js'
import { readAccess, readId, readKey, writeId, writeKey, writeStamp, writeUint } from './codec-parts.js'
import type { FieldReader } from './codec-reader.js'
import type { AttributeState, RecordSnapshot } from './delta.js'
import { readContext } from './delta-codec.js'
import { CONTEXT_MAX } from './record.js'
import { NAME_BYTES_MAX, VALUE_BYTES_MAX } from './record-limits.js'
import type { Dot, RecordKey } from './replica-contract.js'
import { isTime, NEVER } from './stamp.js'

type Writer = protobuf.Writer

/** Attributes, or members, in one record: concurrent writers may together exceed what one may write. */
export const RECORD_ENTRIES_MAX: number = 65_536

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
  return readRecordUpTo(reader, reader.nested())
}

/** Reads the fields of a record up to `end`. */
export function readRecordUpTo(reader: FieldReader, end: number): RecordSnapshot {
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
        if (origins.length === RECORD_ENTRIES_MAX) throw new ProtocolError('Too many members in a record')
        origins.push(readId(reader))
        break
      case 3:
        if (attributes.length === RECORD_ENTRIES_MAX) throw new ProtocolError('Too many attributes')
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
        value = reader.copy(VALUE_BYTES_MAX)
        break
      default:
        reader.skip()
    }
  }
  if (!isTime(wallMs, counter)) throw new ProtocolError('A stamp is out of range')
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
