import protobuf from 'protobufjs/minimal.js'
import { ProtocolError } from '../errors.js'
import type { MemberId } from '../membership/member.js'
import { BUCKETS } from './bucket-index.js'
import {
  addDigestEntry,
  canonicalDigest,
  given,
  push,
  readEnded,
  readId,
  readKey,
  readMember,
  readMissing,
  readTouch,
  writeDigest,
  writeDots,
  writeEnded,
  writeId,
  writeKey,
  writeMembers,
  writeTouch,
  writeTouches,
  writeUint,
} from './codec-parts.js'
import { FieldReader, type ValueLease } from './codec-reader.js'
import {
  encodeChunk,
  packBits,
  packHashes,
  readBucket,
  readKeyHash,
  readPart,
  unpackBits,
  unpackHashes,
  writeKeyHash,
} from './codec-reconcile.js'
import { readRecord, readTombstone, writeRecord, writeTombstone } from './codec-records.js'
import type { Delta, RecordSnapshot } from './delta.js'
import { encodeDelta, readDelta } from './delta-codec.js'
import { joined } from './fragments.js'
import type {
  BucketPart,
  EndedLife,
  KeyHash,
  KnownMember,
  MessageKind,
  ReplicationMessage,
  TouchEntry,
} from './messages.js'
import { readPlainDelta } from './plain-delta.js'
import type { Dot, RecordKey } from './replica-contract.js'
import type { DigestEntry, MissingDots } from './seen-set.js'

/** Numbers on the wire; never reused. */
const KIND_NUMBERS: Readonly<Record<MessageKind, number>> = {
  delta: 1,
  fetch: 2,
  record: 3,
  tombstone: 4,
  touches: 5,
  check: 6,
  checked: 7,
  askDigest: 8,
  digest: 9,
  pull: 10,
  notKept: 11,
  reconcileStart: 12,
  reconcileBusy: 13,
  reconcileHeader: 14,
  reconcileRequest: 15,
  reconcileChunk: 16,
}
const KIND_NAMES: ReadonlyMap<number, MessageKind> = new Map(
  Object.entries(KIND_NUMBERS).map(([name, number]) => [number, name as MessageKind]),
)

/** Bytes of a message, in pieces that belong one behind the other: what is large is left where it lies. */
export function encodePieces(message: ReplicationMessage): readonly Uint8Array[] {
  if (message.kind === 'delta') return message.encoded ?? encodeDelta(message.delta)
  if (message.kind === 'reconcileChunk') return encodeChunk(message, KIND_NUMBERS.reconcileChunk)
  return [encodeMessage(message)]
}

/** Bytes of a message; field numbers are those of `replication.proto`. */
export function encodeMessage(message: ReplicationMessage): Uint8Array {
  if (message.kind === 'delta' || message.kind === 'reconcileChunk') return joined(encodePieces(message))
  const writer = protobuf.Writer.create()
  writeUint(writer, 1, KIND_NUMBERS[message.kind])
  switch (message.kind) {
    case 'fetch':
      writeKey(writer, 3, message.key)
      break
    case 'record':
      writeRecord(writer, 4, message.record)
      break
    case 'tombstone':
      writeTombstone(writer, 5, message.key, message.dot)
      break
    case 'touches':
      writeTouches(writer, message.entries)
      break
    case 'check':
      writeUint(writer, 7, message.round)
      for (const { key, access } of message.entries) writeTouch(writer, { key, access, ageMs: 0 })
      break
    case 'checked':
      writeUint(writer, 7, message.round)
      writeTouches(writer, message.later)
      break
    case 'digest':
      writeDigest(writer, message.digest)
      writeMembers(writer, message.members)
      writeUint(writer, 10, message.ready ? 1 : 0)
      writeUint(writer, 7, message.round ?? 0)
      writeUint(writer, 20, message.fenced === true ? 1 : 0)
      if (message.origin !== undefined) writeId(writer, 24, message.origin)
      break
    case 'pull':
      for (const { origin, ranges } of message.missing) writeDots(writer, 11, origin, 0, ranges)
      writeUint(writer, 21, message.hint === true ? 1 : 0)
      break
    case 'reconcileStart':
    case 'reconcileBusy':
      writeUint(writer, 12, message.id)
      break
    case 'reconcileHeader':
      writeDigest(writer, message.digest)
      writeMembers(writer, message.members)
      writeEnded(writer, message.ended ?? [])
      for (const id of message.open ?? []) writeId(writer, 26, id)
      writeUint(writer, 12, message.id)
      writer.uint32((13 << 3) | 2).bytes(packHashes(message.hashes))
      writer.uint32((14 << 3) | 2).bytes(packBits(message.buried))
      break
    case 'reconcileRequest':
      writeUint(writer, 12, message.id)
      for (const bucket of message.buckets) writer.uint32(15 << 3).uint32(bucket)
      if (message.after !== undefined) writeKey(writer, 16, message.after)
      for (const { key, hash } of message.have) writeKeyHash(writer, key, hash)
      writeUint(writer, 7, message.number)
      writeUint(writer, 25, message.wholeBytes ?? 0)
      break
    case 'askDigest':
      writeUint(writer, 7, message.round ?? 0)
      break
    case 'notKept':
  }
  return writer.finish()
}

/**
 * Reads a message; nothing of it refers to `bytes` afterwards, but the packed records of a state transfer, and the
 * values of a delta that are not copied.
 * @throws {ProtocolError} and nothing else, whatever the bytes are.
 */
export function decodeMessage(bytes: Uint8Array, values: ValueLease = 'copied'): ReplicationMessage {
  try {
    // A delta, told by its first field: nearly all traffic, and it needs none of the lists below.
    if (bytes[0] === 1 << 3 && bytes[1] === KIND_NUMBERS.delta) {
      const plain = values === 'lent' ? readPlainDelta(bytes) : undefined
      return { kind: 'delta', delta: plain ?? onlyDelta(new FieldReader(bytes, 0, values)) }
    }
    return assemble(readFields(new FieldReader(bytes, 0, values)))
  } catch (error) {
    if (error instanceof ProtocolError) throw error
    throw new ProtocolError(`Unreadable replication message: ${error instanceof Error ? error.message : 'unknown'}`)
  }
}

function onlyDelta(reader: FieldReader): Delta {
  const end = reader.length
  let delta: Delta | undefined
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field === 2) delta = readDelta(reader)
    else if (field === 1 && reader.uint32() !== KIND_NUMBERS.delta) throw new ProtocolError('Two kinds in one message')
    else if (field !== 1) reader.skip()
  }
  return given(delta)
}

/** All fields any message has; what does not belong to the kind is ignored. */
interface Fields {
  kind: number
  delta: Delta | undefined
  key: RecordKey | undefined
  record: RecordSnapshot | undefined
  tombstone: [RecordKey, Dot] | undefined
  readonly touches: TouchEntry[]
  number: number
  readonly digest: DigestEntry[]
  readonly members: KnownMember[]
  ready: boolean
  readonly missing: MissingDots[]
  id: number
  hashes: Uint8Array | undefined
  buried: Uint8Array | undefined
  readonly buckets: number[]
  after: RecordKey | undefined
  readonly have: KeyHash[]
  readonly parts: BucketPart[]
  last: boolean
  fenced: boolean
  hint: boolean
  closedBeforeMs: number
  readonly ended: EndedLife[]
  readonly open: MemberId[]
  origin: MemberId
  wholeBytes: number
}

function readFields(reader: FieldReader): Fields {
  const fields: Fields = {
    kind: 0,
    delta: undefined,
    key: undefined,
    record: undefined,
    tombstone: undefined,
    touches: [],
    number: 0,
    digest: [],
    members: [],
    ready: false,
    missing: [],
    id: 0,
    hashes: undefined,
    buried: undefined,
    buckets: [],
    after: undefined,
    have: [],
    parts: [],
    last: false,
    fenced: false,
    hint: false,
    closedBeforeMs: 0,
    ended: [],
    open: [],
    origin: '',
    wholeBytes: 0,
  }
  const end = reader.length
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    switch (field) {
      case 1:
        fields.kind = reader.uint32()
        break
      case 2:
        fields.delta = readDelta(reader)
        break
      case 3:
        fields.key = readKey(reader)
        break
      case 4:
        fields.record = readRecord(reader)
        break
      case 5:
        fields.tombstone = readTombstone(reader)
        break
      case 6:
        push(fields.touches, readTouch(reader))
        break
      case 7:
        fields.number = reader.uint53()
        break
      case 8:
        addDigestEntry(fields.digest, reader)
        break
      case 9:
        push(fields.members, readMember(reader))
        break
      case 10:
        fields.ready = reader.uint32() !== 0
        break
      case 11:
        push(fields.missing, readMissing(reader))
        break
      case 12:
        fields.id = reader.uint53()
        break
      case 13:
        fields.hashes = reader.view(BUCKETS * 8)
        break
      case 14:
        fields.buried = reader.view(BUCKETS / 8)
        break
      case 15:
        push(fields.buckets, readBucket(reader))
        break
      case 16:
        fields.after = readKey(reader)
        break
      case 17:
        push(fields.have, readKeyHash(reader))
        break
      case 18:
        push(fields.parts, readPart(reader))
        break
      case 19:
        fields.last = reader.uint32() !== 0
        break
      case 20:
        fields.fenced = reader.uint32() !== 0
        break
      case 21:
        fields.hint = reader.uint32() !== 0
        break
      case 22:
        fields.closedBeforeMs = reader.uint53()
        break
      case 23:
        push(fields.ended, readEnded(reader))
        break
      case 24:
        fields.origin = readId(reader)
        break
      case 25:
        fields.wholeBytes = reader.uint53()
        break
      case 26:
        push(fields.open, readId(reader))
        break
      default:
        reader.skip()
    }
  }
  return fields
}

function assemble(fields: Fields): ReplicationMessage {
  const kind = KIND_NAMES.get(fields.kind)
  const { id, members } = fields
  switch (kind) {
    case 'delta':
      return { kind, delta: given(fields.delta) }
    case 'fetch':
      return { kind, key: given(fields.key) }
    case 'record':
      return { kind, record: given(fields.record) }
    case 'tombstone': {
      const [key, dot] = given(fields.tombstone)
      return { kind, key, dot }
    }
    case 'touches':
      return { kind, entries: fields.touches }
    case 'check': {
      const entries = fields.touches.map(({ key, access }) => ({ key, access }))
      return { kind, round: fields.number, entries }
    }
    case 'checked':
      return { kind, round: fields.number, later: fields.touches }
    case 'askDigest':
      return fields.number === 0 ? { kind } : { kind, round: fields.number }
    case 'digest': {
      const { number: round, ready, fenced, origin } = fields
      const digest = canonicalDigest(fields.digest, fields.closedBeforeMs)
      const message = { kind, digest, members, ready, ...(origin !== '' && { origin }) }
      return round === 0 ? message : { ...message, round, fenced }
    }
    case 'pull':
      return fields.hint ? { kind, missing: fields.missing, hint: true } : { kind, missing: fields.missing }
    case 'notKept':
      return { kind }
    case 'reconcileStart':
    case 'reconcileBusy':
      return { kind, id }
    case 'reconcileHeader': {
      const digest = canonicalDigest(fields.digest, fields.closedBeforeMs)
      const header = {
        kind,
        id,
        digest,
        members,
        hashes: unpackHashes(fields.hashes),
        buried: unpackBits(fields.buried),
      }
      const { ended, open } = fields
      return { ...header, ...(ended.length > 0 && { ended }), ...(open.length > 0 && { open }) }
    }
    case 'reconcileRequest':
      return {
        kind,
        id,
        buckets: fields.buckets,
        after: fields.after,
        have: fields.have,
        number: fields.number,
        ...(fields.wholeBytes !== 0 && { wholeBytes: fields.wholeBytes }),
      }
    case 'reconcileChunk':
      return { kind, id, parts: fields.parts, last: fields.last, number: fields.number }
    default:
      throw new ProtocolError(`Unknown replication message ${fields.kind}`)
  }
}
