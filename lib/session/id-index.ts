import type { RecordKey } from '../replication/replica-contract.js'
import { ShardedMap } from '../replication/sharded-map.js'

/** Whether record `a` goes before record `b` when both claim one id. The same answer on every member. */
export type Precedence = (a: RecordKey, b: RecordKey) => boolean

/**
 * From public id to record and back. Several records may claim one id after a partition; every member picks the same
 * one and hides the others, whatever the order in which they came.
 */
export class IdIndex {
  readonly #precedes: Precedence
  readonly #keys = new ShardedMap<RecordKey>()
  /** All claimants, only of ids that have more than one. */
  readonly #rivals = new Map<string, Set<RecordKey>>()
  readonly #ids = new ShardedMap<string>()
  /** The record asked for last, and its id: a change of a record asks several times. */
  #lastKey: RecordKey | undefined
  #lastId: string | undefined

  constructor(precedes: Precedence) {
    this.#precedes = precedes
  }

  /** Number of ids. */
  get size(): number {
    return this.#keys.size
  }

  /** The record that has the id. */
  key(id: string): RecordKey | undefined {
    return this.#keys.get(id)
  }

  /** The id a record claims, also when another has it. */
  id(key: RecordKey): string | undefined {
    if (key !== this.#lastKey) {
      this.#lastId = this.#ids.get(key)
      this.#lastKey = key
    }
    return this.#lastId
  }

  /** Whether the record is the one that has its id. */
  shows(key: RecordKey): boolean {
    const id = this.id(key)
    return id !== undefined && this.#keys.get(id) === key
  }

  /** Every record that claims the id, the one that has it first. */
  claimants(id: string): RecordKey[] {
    const shown = this.#keys.get(id)
    if (shown === undefined) return []
    return [shown, ...[...(this.#rivals.get(id) ?? [])].filter(key => key !== shown)]
  }

  ids(): IterableIterator<string> {
    return this.#keys.keys()
  }

  /** Records that `key` claims `id`. Returns the record that lost the id by it (possibly `key` itself), if any. */
  claim(key: RecordKey, id: string): RecordKey | undefined {
    const before = this.id(key)
    if (before === id) return undefined
    if (before !== undefined) this.release(key)
    this.#ids.set(key, id)
    this.#lastKey = key
    this.#lastId = id
    const holder = this.#keys.get(id)
    if (holder === undefined) {
      this.#keys.set(id, key)
      return undefined
    }
    const rivals = this.#rivals.get(id) ?? new Set([holder])
    this.#rivals.set(id, rivals.add(key))
    if (!this.#precedes(key, holder)) return key
    this.#keys.set(id, key)
    return holder
  }

  /** Forgets a record. The best of the remaining claimants has the id then. */
  release(key: RecordKey): void {
    const id = this.id(key)
    if (id === undefined) return
    this.#ids.delete(key)
    this.#lastKey = undefined
    const rivals = this.#rivals.get(id)
    rivals?.delete(key)
    if (rivals !== undefined && rivals.size <= 1) this.#rivals.delete(id)
    if (this.#keys.get(id) !== key) return
    let best: RecordKey | undefined
    for (const rival of rivals ?? []) if (best === undefined || this.#precedes(rival, best)) best = rival
    if (best === undefined) this.#keys.delete(id)
    else this.#keys.set(id, best)
  }

  clear(): void {
    this.#keys.clear()
    this.#rivals.clear()
    this.#ids.clear()
    this.#lastKey = undefined
  }
}
