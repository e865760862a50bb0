import { BUCKETS, bucketOf } from './bucket-index.js'
import type { Dot, RecordKey } from './replica-contract.js'
import { type AccessStamp, compareAccess } from './stamp.js'

/** That a record is gone. With `limit` it expired, and a use later than the limit brings it back. */
export interface Tombstone {
  /** The delta that removed it. */
  readonly dot: Dot
  readonly limit?: AccessStamp
}

/** The removals remembered, by key and by bucket. Whoever adds keeps the bound; see TombstoneCollector. */
export class Tombstones {
  #byKey = new Map<RecordKey, Tombstone>()
  #buckets: (Set<RecordKey> | undefined)[] = new Array(BUCKETS).fill(undefined)

  get size(): number {
    return this.#byKey.size
  }

  get(key: RecordKey): Tombstone | undefined {
    return this.#byKey.get(key)
  }

  has(key: RecordKey): boolean {
    return this.#byKey.has(key)
  }

  /** Remembers a removal. An invalidation is never weakened to an expiry; of two expiries the later limit stays. */
  set(key: RecordKey, tombstone: Tombstone): void {
    const before = this.#byKey.get(key)
    if (before !== undefined && !isStronger(tombstone, before)) return
    this.#byKey.set(key, tombstone)
    const bucket = bucketOf(key)
    const keys = this.#buckets[bucket]
    if (keys === undefined) this.#buckets[bucket] = new Set([key])
    else keys.add(key)
  }

  delete(key: RecordKey): void {
    if (!this.#byKey.delete(key)) return
    this.#buckets[bucketOf(key)]?.delete(key)
  }

  entries(): IterableIterator<[RecordKey, Tombstone]> {
    return this.#byKey.entries()
  }

  /** The keys in a bucket. */
  keys(bucket: number): ReadonlySet<RecordKey> {
    return this.#buckets[bucket] ?? NONE
  }
}

const NONE: ReadonlySet<RecordKey> = new Set()

function isStronger(next: Tombstone, before: Tombstone): boolean {
  if (before.limit === undefined) return false
  return next.limit === undefined || compareAccess(next.limit, before.limit) > 0
}
