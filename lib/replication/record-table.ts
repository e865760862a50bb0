import protobuf from 'protobufjs/minimal.js'
import { bucketOf } from './bucket-index.js'
import { FieldReader } from './codec-reader.js'
import { readRecord, writeRecord } from './codec-records.js'
import type { Hash64 } from './mix.js'
import { ReplicaRecord } from './record.js'
import { RecordArena } from './record-arena.js'
import type { RecordKey } from './replica-contract.js'
import { ShardedMap } from './sharded-map.js'

/** Before a packed record: its hash and the two local times, which do not travel. */
const HEADER_BYTES = 24
/** Records looked at in one go: more than one message can bring, in less than two milliseconds of packing. */
const STEPS_MAX = 512

/**
 * The records by key. At most so many are objects, ready to be read and changed; beyond that those not used for the
 * longest time are packed into one block of bytes each and unpacked when they are asked for (second chance, as in a
 * page cache). What `get` returns may be changed until `pack` is called, and not kept.
 */
export class RecordTable {
  readonly #unpackedMax: number
  readonly #entries = new ShardedMap<ReplicaRecord | number>()
  readonly #arena = new RecordArena()
  #unpacked: ReplicaRecord[] = []
  #hand = 0

  constructor(unpackedMax: number) {
    this.#unpackedMax = unpackedMax
  }

  get size(): number {
    return this.#entries.size
  }

  /** Memory of packed records, in bytes. */
  get packedBytes(): number {
    return this.#arena.heldBytes
  }

  has(key: RecordKey): boolean {
    return this.#entries.has(key)
  }

  keys(): IterableIterator<RecordKey> {
    return this.#entries.keys()
  }

  /** The record, to be read or changed. */
  get(key: RecordKey): ReplicaRecord | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (typeof entry !== 'number') {
      entry.used = true
      return entry
    }
    const record = unpacked(key, this.#arena.get(entry))
    this.#arena.delete(entry)
    this.set(key, record)
    return record
  }

  /** The record, only to be looked at: what is packed stays so. */
  peek(key: RecordKey): ReplicaRecord | undefined {
    const entry = this.#entries.get(key)
    return typeof entry === 'number' ? unpacked(key, this.#arena.get(entry)) : entry
  }

  /** A record's hash. */
  hash(key: RecordKey): Hash64 | undefined {
    const entry = this.#entries.get(key)
    if (typeof entry !== 'number') return entry?.hash
    const block = this.#arena.get(entry)
    return { high: block.readUInt32LE(0), low: block.readUInt32LE(4) }
  }

  /** Adds a record, or puts one back. */
  set(key: RecordKey, record: ReplicaRecord): void {
    record.used = true
    this.#entries.set(key, record)
    this.#unpacked.push(record)
  }

  delete(key: RecordKey): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    if (typeof entry === 'number') this.#arena.delete(entry)
  }

  /** Packs what is too many; to be called when nobody has a record in hands. */
  pack(): void {
    const unpacked = this.#unpacked
    // No more than once round: what was used since the last time is to be seen unused in between.
    const steps = Math.min(STEPS_MAX, unpacked.length)
    for (let step = 0; step < steps && unpacked.length > this.#unpackedMax; step++) {
      if (this.#hand >= unpacked.length) this.#hand = 0
      const record = unpacked[this.#hand]!
      const isHeld = this.#entries.get(record.key) === record
      if (isHeld && record.used) {
        record.used = false
        this.#hand++
        continue
      }
      if (isHeld) this.#entries.set(record.key, this.#arena.put(packed(record)))
      const last = unpacked.pop()!
      if (this.#hand < unpacked.length) unpacked[this.#hand] = last
    }
  }
}

function packed(record: ReplicaRecord): Uint8Array {
  const writer = protobuf.Writer.create()
  writeRecord(writer, 1, record.snapshot(record.usedAtMs))
  const body = writer.finish()
  const block = Buffer.allocUnsafe(HEADER_BYTES + body.length)
  block.writeUInt32LE(record.hash.high, 0)
  block.writeUInt32LE(record.hash.low, 4)
  block.writeDoubleLE(record.usedAtMs, 8)
  block.writeDoubleLE(record.announcedAtMs, 16)
  block.set(body, HEADER_BYTES)
  return block
}

function unpacked(key: RecordKey, block: Buffer): ReplicaRecord {
  const usedAtMs = block.readDoubleLE(8)
  const reader = new FieldReader(block.subarray(HEADER_BYTES))
  reader.next(reader.length)
  const record = new ReplicaRecord(key, bucketOf(key), usedAtMs)
  record.join(readRecord(reader), usedAtMs)
  record.announcedAtMs = block.readDoubleLE(16)
  return record
}
