import type { RecordKey } from './replica-contract.js'

const NONE: readonly RecordKey[] = []
/** What a bucket may list in vain beside as many keys as it holds. */
const STALE_MAX = 16

/**
 * Which keys fall into each bucket; an empty bucket that never had a key costs nothing. A bucket is a list that is only
 * added to: what is no longer held goes when the list is read, or is half in vain. So a key costs a tenth of what it
 * would in a Set, in time and in memory.
 */
export class KeyBuckets {
  readonly #lists: (RecordKey[] | undefined)[]
  readonly #sizes: Uint32Array
  /** 1 where nothing was added since the list was sorted. */
  readonly #isSorted: Uint8Array
  readonly #holds: (key: RecordKey) => boolean

  /** `holds`: whether a key is here, as far as `add` and `delete` have told. */
  constructor(count: number, holds: (key: RecordKey) => boolean) {
    this.#lists = new Array(count).fill(undefined)
    this.#sizes = new Uint32Array(count)
    this.#isSorted = new Uint8Array(count)
    this.#holds = holds
  }

  /** How many keys a bucket holds. */
  size(bucket: number): number {
    return this.#sizes[bucket]!
  }

  /** Adds a key that is not there. */
  add(bucket: number, key: RecordKey): void {
    const list = this.#lists[bucket]
    if (list === undefined) this.#lists[bucket] = [key]
    else list.push(key)
    this.#sizes[bucket]!++
    this.#isSorted[bucket] = 0
  }

  /** Takes out a key that was there. */
  delete(bucket: number, key: RecordKey): void {
    const list = this.#lists[bucket]!
    const size = --this.#sizes[bucket]!
    if (list[size] === key && list.length === size + 1) list.pop()
    else if (list.length > 2 * size + STALE_MAX) this.#clean(bucket)
  }

  /** The keys in a bucket. */
  keys(bucket: number): readonly RecordKey[] {
    const list = this.#lists[bucket]
    if (list === undefined) return NONE
    return list.length === this.#sizes[bucket] ? list : this.#clean(bucket)
  }

  /** The same, ascending: a bucket is sorted once, however many ask for parts of it. */
  sorted(bucket: number): readonly RecordKey[] {
    const list = this.keys(bucket)
    if (list.length < 2 || this.#isSorted[bucket] === 1) return list
    this.#isSorted[bucket] = 1
    return this.#lists[bucket]!.sort()
  }

  #clean(bucket: number): readonly RecordKey[] {
    // Twice where a key came back.
    const list = [...new Set(this.#lists[bucket])].filter(this.#holds)
    this.#lists[bucket] = list
    return list
  }
}
