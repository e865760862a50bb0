import { Buffer } from 'node:buffer'
import type protobuf from 'protobufjs/minimal.js'
import { ProtocolError } from '../errors.js'
import type { MemberId } from '../membership/member.js'
import type { FieldReader } from './codec-reader.js'
import type { EndedLife, KnownMember, TouchEntry } from './messages.js'
import type { Dot, RecordKey } from './replica-contract.js'
import { type Digest, type DigestEntry, type MissingDots, type Range, SEEN_RANGES_MAX, SeenSet } from './seen-set.js'
import { type AccessStamp, creationDot, isTime, NEVER } from './stamp.js'

type Writer = protobuf.Writer

const ORIGINS_MAX = 65_536
const MISSING_RANGES_MAX = 8_192

/** A member id is 16 bytes on the wire. */
export function writeId(writer: Writer, field: number, id: MemberId): void {
  writer.uint32((field << 3) | 2).bytes(Buffer.from(id, 'hex'))
}

/** Reads a member id; 16 bytes, or a ProtocolError. */
export function readId(reader: FieldReader): MemberId {
  return reader.id()
}

/** Writes an unsigned number, unless it is 0, the default. */
export function writeUint(writer: Writer, field: number, value: number): void {
  if (value !== 0) writer.uint32(field << 3).uint64(value)
}

/** A record key: id and number. */
export function writeKey(writer: Writer, field: number, key: RecordKey): void {
  const { origin, seq } = creationDot(key)
  writer.uint32((field << 3) | 2).fork()
  writeId(writer, 1, origin)
  writeUint(writer, 2, seq)
  writer.ldelim()
}

/** Reads a record key, written as the dot of its creation. */
export function readKey(reader: FieldReader): RecordKey {
  const { origin, seq } = readDot(reader)
  return checkedKey(origin, seq)
}

/** Reads a dot as it stands there: what is left out is `''` or 0. */
export function readDot(reader: FieldReader): Dot {
  const end = reader.nested()
  let origin = ''
  let seq = 0
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field === 1) origin = readId(reader)
    else if (field === 2) seq = reader.uint53()
    else reader.skip()
  }
  return { origin, seq }
}

/** The record key of a dot that was read; a ProtocolError when it is incomplete. */
export function checkedKey(origin: MemberId, seq: number): RecordKey {
  if (origin === '' || seq === 0) throw new ProtocolError('A record key is incomplete')
  const slot = seq & (RECENT_KEYS - 1)
  const recent = recentKeys[slot]
  if (recent !== undefined && recent.seq === seq && recent.origin === origin) return recent.key
  const key = `${origin}#${seq}`
  recentKeys[slot] = { origin, seq, key }
  return key
}

/** A power of two. */
const RECENT_KEYS = 4_096
/**
 * Keys that were read last: a session is written again and again, and a text that is made anew each time costs a
 * joining and a hashing before any Map finds it.
 */
const recentKeys: ({ readonly origin: MemberId; readonly seq: number; readonly key: RecordKey } | undefined)[] =
  new Array(RECENT_KEYS).fill(undefined)

/** Hybrid time and member; `seq` only where the stamp is a write's. */
export function writeStamp(writer: Writer, field: number, stamp: AccessStamp & { readonly seq?: number }): void {
  writer.uint32((field << 3) | 2).fork()
  if (stamp.origin !== '') writeId(writer, 1, stamp.origin)
  writeUint(writer, 2, stamp.wallMs)
  writeUint(writer, 3, stamp.counter)
  writeUint(writer, 4, stamp.seq ?? 0)
  writer.ldelim()
}

/** Reads a stamp and checks its range. */
export function readStamp(reader: FieldReader): AccessStamp & { readonly seq: number } {
  const end = reader.nested()
  let origin = ''
  let wallMs = 0
  let counter = 0
  let seq = 0
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field === 1) origin = readId(reader)
    else if (field === 2) wallMs = reader.uint53()
    else if (field === 3) counter = reader.uint32()
    else if (field === 4) seq = reader.uint53()
    else reader.skip()
  }
  if (!isTime(wallMs, counter)) throw new ProtocolError('A stamp is out of range')
  return { wallMs, counter, origin, seq }
}

/** Reads when and by whom a record was last used. */
export function readAccess(reader: FieldReader): AccessStamp {
  const { wallMs, counter, origin } = readStamp(reader)
  return { wallMs, counter, origin }
}

/** One digest entry or set of missing dots; base 0 in the latter. */
export function writeDots(
  writer: Writer,
  field: number,
  origin: MemberId,
  base: number,
  ranges: readonly Range[],
): void {
  writer.uint32((field << 3) | 2).fork()
  writeId(writer, 1, origin)
  writeUint(writer, 2, base)
  for (const [from, to] of ranges) {
    writer.uint32((3 << 3) | 2).fork()
    writeUint(writer, 1, from)
    writeUint(writer, 2, to)
    writer.ldelim()
  }
  writer.ldelim()
}

/** Reads a list of dots, bounded. */
export function readDots(reader: FieldReader, rangesMax: number): DigestEntry {
  const end = reader.nested()
  let origin = ''
  let base = 0
  const ranges: Range[] = []
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field === 1) origin = readId(reader)
    else if (field === 2) base = reader.uint53()
    else if (field === 3) {
      if (ranges.length === rangesMax) throw new ProtocolError('Too many ranges')
      ranges.push(readRange(reader))
    } else reader.skip()
  }
  if (origin === '') throw new ProtocolError('Dots without a member')
  return { origin, base, ranges }
}

function readRange(reader: FieldReader): Range {
  const end = reader.nested()
  let from = 0
  let to = 0
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field === 1) from = reader.uint53()
    else if (field === 2) to = reader.uint53()
    else reader.skip()
  }
  if (from === 0 || to < from) throw new ProtocolError('A range is empty')
  return [from, to]
}

/** Gathers the entries of a digest and brings them into canonical form. */
export function addDigestEntry(entries: DigestEntry[], reader: FieldReader): void {
  if (entries.length === ORIGINS_MAX) throw new ProtocolError('Too many members in a digest')
  entries.push(readDots(reader, SEEN_RANGES_MAX))
}

/** A digest in the order in which equal digests have equal bytes. `closedBeforeMs`: 0 for none. */
export function canonicalDigest(entries: DigestEntry[], closedBeforeMs: number): Digest {
  if (closedBeforeMs >= 2 ** 48) throw new ProtocolError('A time is out of range')
  return SeenSet.from(closedBeforeMs === 0 ? entries : Object.assign(entries, { closedBeforeMs })).digest()
}

/** Writes a digest: its entries, and the mark below which all others are closed. */
export function writeDigest(writer: Writer, digest: Digest): void {
  for (const { origin, base, ranges } of digest) writeDots(writer, 8, origin, base, ranges)
  writeUint(writer, 22, digest.closedBeforeMs ?? 0)
}

/** Writes which lives are over. */
export function writeEnded(writer: Writer, lives: readonly EndedLife[]): void {
  for (const { origin, ageMs } of lives) {
    writer.uint32((23 << 3) | 2).fork()
    writeId(writer, 1, origin)
    writeUint(writer, 2, ageMs)
    writer.ldelim()
  }
}

/** Reads a life that is over. */
export function readEnded(reader: FieldReader): EndedLife {
  const { origin, seq } = readDot(reader)
  if (origin === '') throw new ProtocolError('An origin without an id')
  return { origin, ageMs: seq }
}

/** Reads the numbers wanted of each origin, bounded. */
export function readMissing(reader: FieldReader): MissingDots {
  const { origin, ranges } = readDots(reader, MISSING_RANGES_MAX)
  return { origin, ranges }
}

/** Entries of any list in one message. */
const ENTRIES_MAX = 65_536

/** A field that must be there; a ProtocolError when it is not. */
export function given<T>(value: T | undefined): T {
  if (value === undefined) throw new ProtocolError('A replication message lacks its content')
  return value
}

/** Adds to a list that may not grow past what one message holds. */
export function push<T>(list: T[], value: T): void {
  if (list.length === ENTRIES_MAX) throw new ProtocolError('A list is too long')
  list.push(value)
}

/** Writes uses, each as a field 6. */
export function writeTouches(writer: Writer, entries: readonly TouchEntry[]): void {
  for (const entry of entries) writeTouch(writer, entry)
}

/** Writes one use as a field 6. */
export function writeTouch(writer: Writer, { key, access, ageMs }: TouchEntry): void {
  writer.uint32((6 << 3) | 2).fork()
  writeKey(writer, 1, key)
  writeStamp(writer, 2, access)
  writeUint(writer, 3, ageMs)
  writer.ldelim()
}

/** Reads a use. */
export function readTouch(reader: FieldReader): TouchEntry {
  const end = reader.nested()
  let key: RecordKey | undefined
  let access: AccessStamp = NEVER
  let ageMs = 0
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field === 1) key = readKey(reader)
    else if (field === 2) access = readAccess(reader)
    else if (field === 3) ageMs = reader.uint53()
    else reader.skip()
  }
  return { key: given(key), access, ageMs }
}

/** Writes members, each as a field 9. */
export function writeMembers(writer: Writer, members: readonly KnownMember[]): void {
  for (const { id, name, awayMs, gone } of members) {
    writer.uint32((9 << 3) | 2).fork()
    writeId(writer, 1, id)
    writer.uint32((2 << 3) | 2).string(name)
    writeUint(writer, 3, awayMs)
    writeUint(writer, 4, gone ? 1 : 0)
    writer.ldelim()
  }
}

/** Reads a member. */
export function readMember(reader: FieldReader): KnownMember {
  const end = reader.nested()
  let id = ''
  let name = ''
  let awayMs = 0
  let gone = false
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field === 1) id = readId(reader)
    else if (field === 2) name = reader.text(256)
    else if (field === 3) awayMs = reader.uint53()
    else if (field === 4) gone = reader.uint32() !== 0
    else reader.skip()
  }
  if (id === '') throw new ProtocolError('A member without an id')
  return { id, name, awayMs, gone }
}
