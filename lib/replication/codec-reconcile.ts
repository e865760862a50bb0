import { Buffer } from 'node:buffer'
import protobuf from 'protobufjs/minimal.js'
import { ProtocolError } from '../errors.js'
import { varintBytes, writeVarint } from '../wire/varint.js'
import { BUCKETS } from './bucket-index.js'
import { given, push, readKey, writeKey, writeUint } from './codec-parts.js'
import type { FieldReader } from './codec-reader.js'
import { readTombstone, writeTombstone } from './codec-records.js'
import { MESSAGE_BYTES_MAX } from './fragments.js'
import type { BucketPart, KeyHash, ReplicationMessage } from './messages.js'
import type { Hash64 } from './mix.js'
import { PackedRecord } from './packed-record.js'
import type { Dot, RecordKey } from './replica-contract.js'

type Writer = protobuf.Writer
type ChunkMessage = Extract<ReplicationMessage, { kind: 'reconcileChunk' }>

/** Writes a record key with the hash of its record. */
export function writeKeyHash(writer: Writer, key: RecordKey, hash: Hash64): void {
  writer.uint32((17 << 3) | 2).fork()
  writeKey(writer, 1, key)
  writer
    .uint32((2 << 3) | 5)
    .fixed32(hash.high)
    .uint32((3 << 3) | 5)
    .fixed32(hash.low)
  writer.ldelim()
}

/** Reads a record key with the hash of its record. */
export function readKeyHash(reader: FieldReader): KeyHash {
  const end = reader.nested()
  let key: RecordKey | undefined
  let high = 0
  let low = 0
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field === 1) key = readKey(reader)
    else if (field === 2) high = reader.fixed32()
    else if (field === 3) low = reader.fixed32()
    else reader.skip()
  }
  return { key: given(key), hash: { high, low } }
}

/**
 * A piece of a state transfer: what is sent is mostly records, so small ones are copied once, into their place, and
 * large ones are sent from where they lie, which nobody writes to again.
 */
export function encodeChunk({ parts, ...chunk }: Omit<ChunkMessage, 'kind'>, kind: number): Uint8Array[] {
  const head = protobuf.Writer.create()
  writeUint(head, 1, kind)
  writeUint(head, 12, chunk.id)
  const tail = protobuf.Writer.create()
  writeUint(tail, 19, chunk.last ? 1 : 0)
  writeUint(tail, 7, chunk.number)
  const heads = parts.map(headOf)
  const sizes = parts.map(({ records }, index) => records.reduce(addRecordBytes, heads[index]!.length))
  const [first, last] = [head.finish(), tail.finish()]
  let length = first.length + last.length
  for (const size of sizes) length += 2 + varintBytes(size) + size
  for (const { records } of parts) for (const { apartBytes } of records) length -= apartBytes
  const pieces: Uint8Array[] = []
  const bytes = Buffer.allocUnsafeSlow(length)
  bytes.set(first)
  let from = 0
  const leave = (piece: Uint8Array, at: number): void => {
    pieces.push(bytes.subarray(from, at), piece)
    from = at
  }
  let at = first.length
  for (const [index, { records }] of parts.entries()) {
    at = writeVarint(bytes, writeVarint(bytes, at, (18 << 3) | 2), sizes[index]!)
    bytes.set(heads[index]!, at)
    at += heads[index]!.length
    for (const record of records) {
      at = record.write(bytes, writePackedHead(bytes, at, record), leave)
      bytes[at] = 7 << 3
      at = writeVarint(bytes, at + 1, record.ageMs)
    }
  }
  bytes.set(last, at)
  pieces.push(from === 0 ? bytes : bytes.subarray(from))
  return pieces
}

/** All of a part but its records. */
function headOf({ bucket, after, upTo, keys, tombstones }: BucketPart): Uint8Array {
  const writer = protobuf.Writer.create()
  writeUint(writer, 1, bucket)
  if (after !== undefined) writeKey(writer, 2, after)
  if (upTo !== undefined) writeKey(writer, 3, upTo)
  for (const key of keys) writeKey(writer, 4, key)
  for (const [key, dot] of tombstones) writeTombstone(writer, 5, key, dot)
  return writer.finish()
}

function addRecordBytes(sum: number, { length, ageMs, hash }: PackedRecord): number {
  const prefix = hash === undefined ? 1 : 10
  return sum + prefix + varintBytes(length) + length + 1 + varintBytes(ageMs)
}

/** What stands before a record: its hash, so that reading need not make it anew, and its length. Its age comes behind. */
function writePackedHead(bytes: Buffer, start: number, record: PackedRecord): number {
  const { hash, length } = record
  let at = start
  if (hash !== undefined) {
    bytes[at] = (8 << 3) | 1
    bytes.writeUInt32LE(hash.low, at + 1)
    bytes.writeUInt32LE(hash.high, at + 5)
    at += 9
  }
  bytes[at] = (6 << 3) | 2
  return writeVarint(bytes, at + 1, length)
}

/** Reads a stretch of one bucket. */
export function readPart(reader: FieldReader): BucketPart {
  const end = reader.nested()
  let bucket = 0
  let after: RecordKey | undefined
  let upTo: RecordKey | undefined
  const keys: RecordKey[] = []
  const tombstones: [RecordKey, Dot][] = []
  const starts: number[] = []
  const ends: number[] = []
  const hashes: (Hash64 | undefined)[] = []
  const ages: number[] = []
  let hash: Hash64 | undefined
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    switch (field) {
      case 1:
        bucket = readBucket(reader)
        break
      case 2:
        after = readKey(reader)
        break
      case 3:
        upTo = readKey(reader)
        break
      case 4:
        push(keys, readKey(reader))
        break
      case 5:
        push(tombstones, readTombstone(reader))
        break
      case 6:
        push(starts, reader.pass(MESSAGE_BYTES_MAX))
        ends.push(reader.at)
        hashes.push(hash)
        hash = undefined
        break
      case 7:
        push(ages, reader.uint53())
        break
      case 8:
        hash = reader.fixed64()
        break
      default:
        reader.skip()
    }
  }
  if (ages.length !== starts.length) throw new ProtocolError('Every record has an age')
  const { bytes } = reader
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const records = starts.map((start, index) => {
    const record = new PackedRecord(source, ages[index]!, hashes[index], start, ends[index]!)
    // Here and not when it is merged, so that a piece is taken whole or not at all.
    void record.summary
    return record
  })
  return { bucket, after, upTo, keys, tombstones, records }
}

/** Reads the number of a bucket, checked. */
export function readBucket(reader: FieldReader): number {
  const bucket = reader.uint32()
  if (bucket >= BUCKETS) throw new ProtocolError('No such bucket')
  return bucket
}

/** The hashes of all buckets, eight bytes each. */
export function packHashes(hashes: readonly Hash64[]): Uint8Array {
  const bytes = new Uint8Array(BUCKETS * 8)
  const view = new DataView(bytes.buffer)
  for (const [index, { high, low }] of hashes.entries()) {
    view.setUint32(index * 8, high)
    view.setUint32(index * 8 + 4, low)
  }
  return bytes
}

/** Reads the hashes of all buckets. */
export function unpackHashes(bytes: Uint8Array | undefined): Hash64[] {
  if (bytes?.length !== BUCKETS * 8) throw new ProtocolError('Bucket hashes have another size')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: BUCKETS }, (_, index) => ({
    high: view.getUint32(index * 8),
    low: view.getUint32(index * 8 + 4),
  }))
}

/** Numbers of buckets, a bit each. */
export function packBits(buckets: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(BUCKETS / 8)
  for (const bucket of buckets) bytes[bucket >> 3]! |= 1 << (bucket & 7)
  return bytes
}

/** Reads numbers of buckets. */
export function unpackBits(bytes: Uint8Array | undefined): number[] {
  if (bytes?.length !== BUCKETS / 8) throw new ProtocolError('Bucket marks have another size')
  const result: number[] = []
  for (let bucket = 0; bucket < BUCKETS; bucket++) if ((bytes[bucket >> 3]! >> (bucket & 7)) & 1) result.push(bucket)
  return result
}
