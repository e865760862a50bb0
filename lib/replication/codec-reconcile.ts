import type protobuf from 'protobufjs/minimal.js'
import { ProtocolError } from '../errors.js'
import { BUCKETS } from './bucket-index.js'
import { given, push, readKey, writeKey, writeUint } from './codec-parts.js'
import type { FieldReader } from './codec-reader.js'
import { readTombstone, writeTombstone } from './codec-records.js'
import { MESSAGE_BYTES_MAX } from './fragments.js'
import type { BucketPart, KeyHash } from './messages.js'
import type { Hash64 } from './mix.js'
import { PackedRecord } from './packed-record.js'
import type { Dot, RecordKey } from './replica-contract.js'

type Writer = protobuf.Writer

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

/** Writes a stretch of one bucket. */
export function writePart(writer: Writer, part: BucketPart): void {
  writer.uint32((18 << 3) | 2).fork()
  writeUint(writer, 1, part.bucket)
  if (part.after !== undefined) writeKey(writer, 2, part.after)
  if (part.upTo !== undefined) writeKey(writer, 3, part.upTo)
  for (const key of part.keys) writeKey(writer, 4, key)
  for (const [key, dot] of part.tombstones) writeTombstone(writer, 5, key, dot)
  for (const { bytes, ageMs } of part.records) {
    writer
      .uint32((6 << 3) | 2)
      .bytes(bytes)
      .uint32(7 << 3)
      .uint64(ageMs)
  }
  writer.ldelim()
}

/** Reads a stretch of one bucket. */
export function readPart(reader: FieldReader): BucketPart {
  const end = reader.nested()
  let bucket = 0
  let after: RecordKey | undefined
  let upTo: RecordKey | undefined
  const keys: RecordKey[] = []
  const tombstones: [RecordKey, Dot][] = []
  const bodies: Uint8Array[] = []
  const ages: number[] = []
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
        push(bodies, reader.bytes(MESSAGE_BYTES_MAX))
        break
      case 7:
        push(ages, reader.uint53())
        break
      default:
        reader.skip()
    }
  }
  if (ages.length !== bodies.length) throw new ProtocolError('Every record has an age')
  const records = bodies.map((bytes, index) => new PackedRecord(viewOf(bytes), ages[index]!))
  // Here and not when they are merged, so that a piece is taken whole or not at all.
  for (const record of records) void record.summary
  return { bucket, after, upTo, keys, tombstones, records }
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
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
