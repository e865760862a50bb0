import type { RecordKey } from './replica-contract.js'

const NONE: ReadonlySet<RecordKey> = new Set()

/** Which keys fall into each bucket; an empty bucket that never had a key costs nothing. */
export class KeyBuckets {
  #buckets: (Set<RecordKey> | undefined)[]

  constructor(count: number) {
    this.#buckets = new Array(count).fill(undefined)
  }

  add(bucket: number, key: RecordKey): void {
    const keys = this.#buckets[bucket]
    if (keys === undefined) this.#buckets[bucket] = new Set([key])
    else keys.add(key)
  }

  delete(bucket: number, key: RecordKey): void {
    this.#buckets[bucket]?.delete(key)
  }

  keys(bucket: number): ReadonlySet<RecordKey> {
    return this.#buckets[bucket] ?? NONE
  }
}
