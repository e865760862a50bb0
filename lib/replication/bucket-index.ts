import { type Hash64, hashText, xor, ZERO_HASH } from './mix.js'
import type { RecordKey } from './replica-contract.js'

/** Buckets a scope's records fall into. */
export const BUCKETS = 1_024

/** The bucket of a key, the same on every member. */
export function bucketOf(key: RecordKey): number {
  return (hashText(key, 0x51ed270b) >>> 0) % BUCKETS
}

/** Which records each bucket holds, and the XOR of their hashes, kept up to date in constant time per write. */
export class BucketIndex {
  #keys: (Set<RecordKey> | undefined)[] = new Array(BUCKETS).fill(undefined)
  #hashes: Hash64[] = new Array(BUCKETS).fill(ZERO_HASH)
  #total: Hash64 = ZERO_HASH

  /** XOR over all buckets. */
  get total(): Hash64 {
    return this.#total
  }

  get hashes(): readonly Hash64[] {
    return this.#hashes
  }

  add(bucket: number, key: RecordKey, hash: Hash64): void {
    const keys = this.#keys[bucket]
    if (keys === undefined) this.#keys[bucket] = new Set([key])
    else keys.add(key)
    this.replace(bucket, ZERO_HASH, hash)
  }

  remove(bucket: number, key: RecordKey, hash: Hash64): void {
    this.#keys[bucket]?.delete(key)
    this.replace(bucket, hash, ZERO_HASH)
  }

  /** A record's hash changed. */
  replace(bucket: number, before: Hash64, after: Hash64): void {
    const change = xor(before, after)
    this.#hashes[bucket] = xor(this.#hashes[bucket]!, change)
    this.#total = xor(this.#total, change)
  }

  keys(bucket: number): ReadonlySet<RecordKey> {
    return this.#keys[bucket] ?? NONE
  }
}

const NONE: ReadonlySet<RecordKey> = new Set()
