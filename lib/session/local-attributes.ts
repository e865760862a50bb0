import type { RecordKey } from '../replication/replica-contract.js'

/** Sessions of which one member keeps values to itself; beyond, the one that began it first loses them. */
const SESSIONS_MAX = 100_000

/**
 * Values that stay on this member, by record and stored name: the objects themselves, neither encoded nor sent. They
 * end with their session, and with this process.
 */
export class LocalAttributes {
  readonly #records = new Map<RecordKey, Map<string, unknown>>()
  readonly #dropped: () => void

  /** `dropped`: a session's values gave way. */
  constructor(dropped: () => void) {
    this.#dropped = dropped
  }

  /** Number of sessions with values here. */
  get size(): number {
    return this.#records.size
  }

  /** The values of a record; the same map as long as it has any. */
  of(key: RecordKey): ReadonlyMap<string, unknown> | undefined {
    return this.#records.size === 0 ? undefined : this.#records.get(key)
  }

  keep(key: RecordKey, values: ReadonlyMap<string, unknown>): void {
    const kept = this.#records.get(key) ?? new Map<string, unknown>()
    for (const [name, value] of values) kept.set(name, value)
    this.#records.set(key, kept)
    if (this.#records.size <= SESSIONS_MAX) return
    for (const oldest of this.#records.keys()) {
      this.#records.delete(oldest)
      this.#dropped()
      return
    }
  }

  /** The attributes have other values now, or none. */
  drop(key: RecordKey, names: Iterable<string>): void {
    const kept = this.#records.get(key)
    if (kept === undefined) return
    for (const name of names) kept.delete(name)
    if (kept.size === 0) this.#records.delete(key)
  }

  /** The record is gone. */
  forget(key: RecordKey): void {
    this.#records.delete(key)
  }
}
