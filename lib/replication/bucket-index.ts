import { KeyBuckets } from './key-buckets.js'
import { type Hash64, hashText, ZERO_HASH } from './mix.js'
import type { RecordKey } from './replica-contract.js'

/** Buckets a scope's records fall into. */
export const BUCKETS = 1_024

/** The bucket of a key, the same on every member. */
export function bucketOf(key: RecordKey): number {
  return (hashText(key, 0x51ed270b) >>> 0) % BUCKETS
}

/** Records remembered as changed; then they are looked at, whoever asks. */
const CHANGED_MAX = 4_096

/** What the index is to know of a record that changes. */
interface ChangedRecord {
  readonly bucket: number
  readonly hash: Hash64
  counted: Hash64 | undefined
}

/** Which records each bucket holds, and the XOR of their hashes, kept up to date in constant time per write. */
export class BucketIndex {
  readonly #keys: KeyBuckets
  /** High and low half of each bucket's hash, and of all together behind them: written by every change, rarely read. */
  readonly #halves = new Uint32Array(2 * (BUCKETS + 1))
  /** Records whose hash may be another than the one counted. */
  #changed: ChangedRecord[] = []

  /** `holds`: whether a record is here, as far as `add` and `remove` have told. */
  constructor(holds: (key: RecordKey) => boolean) {
    this.#keys = new KeyBuckets(BUCKETS, holds)
  }

  /** XOR over all buckets. */
  get total(): Hash64 {
    return this.hash(BUCKETS)
  }

  /** The hash of every bucket, as they are now. */
  get hashes(): readonly Hash64[] {
    return Array.from({ length: BUCKETS }, (_, bucket) => this.hash(bucket))
  }

  /** XOR over the records in a bucket. */
  hash(bucket: number): Hash64 {
    if (this.#changed.length > 0) this.#count()
    return { high: this.#halves[2 * bucket]!, low: this.#halves[2 * bucket + 1]! }
  }

  add(bucket: number, key: RecordKey, hash: Hash64): void {
    this.#keys.add(bucket, key)
    this.replace(bucket, ZERO_HASH, hash)
  }

  remove(bucket: number, key: RecordKey, hash: Hash64): void {
    if (this.#changed.length > 0) this.#count()
    this.#keys.delete(bucket, key)
    this.replace(bucket, hash, ZERO_HASH)
  }

  /**
   * A record is about to change. Its hash is looked at again when somebody asks for hashes, so that a session written
   * many times between two heartbeats is hashed once, and no write waits for it.
   */
  changing(record: ChangedRecord): void {
    if (record.counted !== undefined) return
    // Before it is among them: what is counted now has not changed yet.
    if (this.#changed.length >= CHANGED_MAX) this.#count()
    record.counted = record.hash
    this.#changed.push(record)
  }

  #count(): void {
    const changed = this.#changed
    this.#changed = []
    for (const record of changed) {
      this.replace(record.bucket, record.counted!, record.hash)
      record.counted = undefined
    }
  }

  /** A record's hash changed. */
  replace(bucket: number, before: Hash64, after: Hash64): void {
    const high = before.high ^ after.high
    const low = before.low ^ after.low
    const halves = this.#halves
    halves[2 * bucket]! ^= high
    halves[2 * bucket + 1]! ^= low
    halves[2 * BUCKETS]! ^= high
    halves[2 * BUCKETS + 1]! ^= low
  }

  keys(bucket: number): readonly RecordKey[] {
    return this.#keys.keys(bucket)
  }

  /** The same, ascending. */
  sortedKeys(bucket: number): readonly RecordKey[] {
    return this.#keys.sorted(bucket)
  }
}
