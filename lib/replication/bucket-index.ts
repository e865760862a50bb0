import { KeyBuckets } from './key-buckets.js'
import { type Hash64, hashText, ZERO_HASH } from './mix.js'
import type { RecordKey } from './replica-contract.js'

/** Buckets a scope's records fall into. */
export const BUCKETS = 1_024

/** The bucket of a key, the same on every member. */
export function bucketOf(key: RecordKey): number {
  return (hashText(key, 0x51ed270b) >>> 0) % BUCKETS
}

/** Which records each bucket holds, and the XOR of their hashes, kept up to date in constant time per write. */
export class BucketIndex {
  readonly #keys = new KeyBuckets(BUCKETS)
  /** High and low half of each bucket's hash, and of all together behind them: written by every change, rarely read. */
  readonly #halves = new Uint32Array(2 * (BUCKETS + 1))

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
    return { high: this.#halves[2 * bucket]!, low: this.#halves[2 * bucket + 1]! }
  }

  add(bucket: number, key: RecordKey, hash: Hash64): void {
    this.#keys.add(bucket, key)
    this.replace(bucket, ZERO_HASH, hash)
  }

  remove(bucket: number, key: RecordKey, hash: Hash64): void {
    this.#keys.delete(bucket, key)
    this.replace(bucket, hash, ZERO_HASH)
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

  keys(bucket: number): ReadonlySet<RecordKey> {
    return this.#keys.keys(bucket)
  }
}
