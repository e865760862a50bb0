import type { Buffer } from 'node:buffer'
import { APART_BYTES } from '../wire/hot-frames.js'
import { decodeNumber } from './attribute-text.js'
import { bucketOf } from './bucket-index.js'
import type { Due } from './due-wheel.js'
import type { Hash64 } from './mix.js'
import { PackedRecord, packedValue } from './packed-record.js'
import { ReplicaRecord } from './record.js'
import { copyBytes, RecordArena } from './record-arena.js'
import { LooseRecord, RecordPacker } from './record-packing.js'
import type { RecordKey } from './replica-contract.js'
import { ShardedMap } from './sharded-map.js'

/** Before a packed record: its hash, the two local times, which do not travel, and when it is due. */
const HEADER_BYTES = 28
/** Records looked at in one go: more than one message can bring, in less than two milliseconds of packing. */
const STEPS_MAX = 512

/** What is asked of records that nobody has in hands. */
export interface Glance extends Due {
  /** Local monotonic time of the last use known. */
  readonly usedAtMs: number
  /** To be looked at only now. */
  value(name: string): Uint8Array | undefined
  /** The number that a value says, 0 without one. */
  number(name: string): number
  /** A value that stays as it is. */
  lend(name: string): Uint8Array | undefined
}

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
  /** The record asked for last: one request asks for one several times. */
  #last: ReplicaRecord | undefined

  constructor(unpackedMax: number) {
    this.#unpackedMax = unpackedMax
  }

  get size(): number {
    return this.#entries.size
  }

  /** How many are objects. */
  get unpacked(): number {
    return this.#unpacked.length
  }

  /** Memory of packed records, in bytes. */
  get packedBytes(): number {
    return this.#arena.heldBytes
  }

  has(key: RecordKey): boolean {
    return this.#last?.key === key || this.#entries.has(key)
  }

  keys(): IterableIterator<RecordKey> {
    return this.#entries.keys()
  }

  /** The record, to be read or changed. */
  get(key: RecordKey): ReplicaRecord | undefined {
    const last = this.#last
    if (last !== undefined && last.key === key) {
      last.used = true
      return last
    }
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (typeof entry !== 'number') {
      entry.used = true
      this.#last = entry
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

  /** A look at a record that leaves it as it is; only for now. */
  glance(key: RecordKey): Glance | undefined {
    const entry = this.#entries.get(key)
    return typeof entry === 'number' ? this.#look(entry) : entry
  }

  /** The record as it travels, to be written at once. Its large values are not copied, nor is what is packed. */
  outgoing(key: RecordKey, nowMs: number): PackedRecord | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    if (typeof entry !== 'number') {
      // What is sent from where it lies must not be written over meanwhile.
      if (entry.bytes >= APART_BYTES) entry.live()
      return new LooseRecord(entry, ageMs(nowMs, entry.usedAtMs), entry.hash)
    }
    const memory = this.#arena.memory(entry)
    const start = this.#arena.start(entry)
    const age = ageMs(nowMs, memory.readDoubleLE(start + 8))
    const end = start + this.#arena.length(entry)
    return new PackedRecord(memory, age, hashAt(memory, start), start + HEADER_BYTES, end)
  }

  /** A record's hash. */
  hash(key: RecordKey): Hash64 | undefined {
    const entry = this.#entries.get(key)
    if (typeof entry !== 'number') return entry?.hash
    return hashAt(this.#arena.memory(entry), this.#arena.start(entry))
  }

  /** Adds a record, or puts one back. */
  set(key: RecordKey, record: ReplicaRecord): void {
    record.used = true
    record.place = this.#unpacked.length
    this.#entries.set(key, record)
    this.#unpacked.push(record)
    this.#last = record
  }

  /** Adds a record that is not here, as it came; its hash is that of its summary. */
  setPacked(key: RecordKey, record: PackedRecord, hash: Hash64, usedAtMs: number): Glance {
    const slot = this.#arena.allocate(HEADER_BYTES + record.length)
    const memory = this.#arena.memory(slot)
    const start = this.#arena.start(slot)
    writeHeader(memory, start, hash, usedAtMs, usedAtMs, 0)
    copyBytes(memory, start + HEADER_BYTES, record.source, record.start, record.end)
    this.#entries.set(key, slot)
    return new ArrivedGlance(record, memory, start)
  }

  delete(key: RecordKey): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    if (typeof entry === 'number') this.#arena.delete(entry)
    else this.#unlist(entry)
  }

  /** Packs what is too many; to be called when nobody has a record in hands. */
  pack(): void {
    const unpacked = this.#unpacked
    // No more than once round: what was used since the last time is to be seen unused in between.
    const steps = Math.min(STEPS_MAX, unpacked.length)
    for (let step = 0; step < steps && unpacked.length > this.#unpackedMax; step++) {
      if (this.#hand >= unpacked.length) this.#hand = 0
      const record = unpacked[this.#hand]!
      if (record.used) {
        record.used = false
        this.#hand++
        continue
      }
      this.#entries.set(record.key, this.#put(record))
      this.#unlist(record)
    }
  }

  #unlist(record: ReplicaRecord): void {
    if (record === this.#last) this.#last = undefined
    const { place } = record
    const last = this.#unpacked.pop()!
    if (place === this.#unpacked.length) return
    this.#unpacked[place] = last
    last.place = place
  }

  #put(record: ReplicaRecord): number {
    const packer = new RecordPacker(record)
    const slot = this.#arena.allocate(HEADER_BYTES + packer.length)
    const memory = this.#arena.memory(slot)
    const start = this.#arena.start(slot)
    writeHeader(memory, start, record.hash, record.usedAtMs, record.announcedAtMs, record.dueSlot)
    packer.write(memory, start + HEADER_BYTES)
    return slot
  }

  #look(slot: number): Glance {
    const start = this.#arena.start(slot)
    return new PackedGlance(this.#arena.memory(slot), start, start + this.#arena.length(slot))
  }
}

function writeHeader(
  memory: Buffer,
  start: number,
  hash: Hash64,
  usedAtMs: number,
  announcedAtMs: number,
  dueSlot: number,
): void {
  memory.writeUInt32LE(hash.high, start)
  memory.writeUInt32LE(hash.low, start + 4)
  memory.writeDoubleLE(usedAtMs, start + 8)
  memory.writeDoubleLE(announcedAtMs, start + 16)
  memory.writeUInt32LE(dueSlot, start + 24)
}

function hashAt(memory: Buffer, start: number): Hash64 {
  return { high: memory.readUInt32LE(start), low: memory.readUInt32LE(start + 4) }
}

function ageMs(nowMs: number, usedAtMs: number): number {
  return Math.max(0, Math.floor(nowMs - usedAtMs))
}

function unpacked(key: RecordKey, block: Buffer): ReplicaRecord {
  const usedAtMs = block.readDoubleLE(8)
  const record = new ReplicaRecord(key, bucketOf(key), usedAtMs)
  record.join(new PackedRecord(block, 0, undefined, HEADER_BYTES).snapshot(), usedAtMs)
  record.announcedAtMs = block.readDoubleLE(16)
  record.dueSlot = block.readUInt32LE(24)
  return record
}

/** A record where it lies; only for now. */
class PackedGlance implements Glance {
  readonly #memory: Buffer
  readonly #start: number
  readonly #end: number

  constructor(memory: Buffer, start: number, end: number) {
    this.#memory = memory
    this.#start = start
    this.#end = end
  }

  get usedAtMs(): number {
    return this.#memory.readDoubleLE(this.#start + 8)
  }

  get dueSlot(): number {
    return this.#memory.readUInt32LE(this.#start + 24)
  }

  set dueSlot(slot: number) {
    this.#memory.writeUInt32LE(slot, this.#start + 24)
  }

  value(name: string): Uint8Array | undefined {
    return this.lend(name)
  }

  number(name: string): number {
    const bytes = this.lend(name)
    return bytes === undefined ? 0 : decodeNumber(bytes)
  }

  lend(name: string): Uint8Array | undefined {
    return packedValue(this.#memory, this.#start + HEADER_BYTES, this.#end, name)
  }
}

/** The same of one that has just come in: its values are known from reading it. */
class ArrivedGlance extends PackedGlance {
  readonly #record: PackedRecord

  constructor(record: PackedRecord, memory: Buffer, start: number) {
    super(memory, start, start + HEADER_BYTES + record.length)
    this.#record = record
  }

  override value(name: string): Uint8Array | undefined {
    return this.#record.value(name)
  }

  override number(name: string): number {
    return this.#record.number(name)
  }
}
