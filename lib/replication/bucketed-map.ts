import { BUCKETS, bucketOf } from './bucket-index.js'
import { KeyBuckets } from './key-buckets.js'
import type { RecordKey } from './replica-contract.js'

/** A map of record keys that also tells which of them fall into a bucket. */
export class BucketedMap<V> {
  #values = new Map<RecordKey, V>()
  readonly #buckets = new KeyBuckets(BUCKETS, key => this.#values.has(key))

  get size(): number {
    return this.#values.size
  }

  get(key: RecordKey): V | undefined {
    return this.#values.get(key)
  }

  has(key: RecordKey): boolean {
    // Mostly there is none at all: not even the hash is looked at then.
    return this.#values.size > 0 && this.#values.has(key)
  }

  set(key: RecordKey, value: V): void {
    if (!this.#values.has(key)) this.#buckets.add(bucketOf(key), key)
    this.#values.set(key, value)
  }

  delete(key: RecordKey): boolean {
    if (!this.#values.delete(key)) return false
    this.#buckets.delete(bucketOf(key), key)
    return true
  }

  /** The key that has been here longest. */
  oldest(): RecordKey | undefined {
    for (const key of this.#values.keys()) return key
    return undefined
  }

  entries(): IterableIterator<[RecordKey, V]> {
    return this.#values.entries()
  }

  /** How many keys fall into a bucket. */
  sizeOf(bucket: number): number {
    return this.#buckets.size(bucket)
  }

  /** The keys in a bucket. */
  keys(bucket: number): readonly RecordKey[] {
    return this.#buckets.keys(bucket)
  }
}
