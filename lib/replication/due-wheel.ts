import type { RecordKey } from './replica-contract.js'
import { ShardedMap } from './sharded-map.js'

/** Keys by the time they are to be looked at again: one slot each, moved only to earlier times. */
export class DueWheel {
  readonly #slotMs: number
  #slots = new Map<number, Set<RecordKey>>()
  #filed = new ShardedMap<number>()
  #next = 0

  constructor(slotMs: number) {
    this.#slotMs = slotMs
  }

  get size(): number {
    return this.#filed.size
  }

  /** Files a key for a time, unless it is filed for an earlier one. */
  file(key: RecordKey, atMs: number): void {
    const slot = Math.max(Math.ceil(atMs / this.#slotMs), this.#next)
    const before = this.#filed.get(key)
    if (before !== undefined && before <= slot) return
    if (before !== undefined) this.remove(key)
    this.#filed.set(key, slot)
    const keys = this.#slots.get(slot)
    if (keys === undefined) this.#slots.set(slot, new Set([key]))
    else keys.add(key)
  }

  remove(key: RecordKey): void {
    const slot = this.#filed.get(key)
    if (slot === undefined) return
    this.#filed.delete(key)
    const keys = this.#slots.get(slot)!
    keys.delete(key)
    if (keys.size === 0) this.#slots.delete(slot)
  }

  /** Takes out up to `limit` keys whose time has come. */
  take(nowMs: number, limit: number): RecordKey[] {
    const result: RecordKey[] = []
    const current = Math.floor(nowMs / this.#slotMs)
    if (this.#slots.size === 0) this.#next = Math.max(this.#next, current)
    else if (current - this.#next > this.#slots.size) {
      let first = current
      for (const slot of this.#slots.keys()) first = Math.min(first, slot)
      this.#next = Math.max(this.#next, first)
    }
    while (this.#next <= current) {
      for (const key of this.#slots.get(this.#next) ?? []) {
        if (result.length === limit) return result
        result.push(key)
        this.remove(key)
      }
      this.#next++
    }
    return result
  }
}
