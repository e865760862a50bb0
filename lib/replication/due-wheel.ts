import type { RecordKey } from './replica-contract.js'

/** What is filed: it remembers for when. 0: it is not filed. */
export interface Due {
  dueSlot: number
}

/** Entries that may be in vain, beside as many as there are keys. */
const STALE_MAX = 4_096

/**
 * Keys by the time they are to be looked at again, moved only to earlier times. A slot is a list that is only added
 * to, and the record itself tells which of its entries counts: filing is nothing but that, and what is gone or was moved
 * is passed over when its slot is reached, or when there is more of it than of the others.
 */
export class DueWheel {
  readonly #slotMs: number
  readonly #of: (key: RecordKey) => Due | undefined
  readonly #count: () => number
  #slots = new Map<number, RecordKey[]>()
  #entries = 0
  #next = 1
  /** How far into the slot that is next. */
  #position = 0

  /** `of` finds what was filed under a key, `count` tells how many there are at most. */
  constructor(slotMs: number, of: (key: RecordKey) => Due | undefined, count: () => number) {
    this.#slotMs = slotMs
    this.#of = of
    this.#count = count
  }

  /** Entries, those in vain included. */
  get entries(): number {
    return this.#entries
  }

  /** Files a key for a time, unless it is filed for an earlier one. */
  file(key: RecordKey, due: Due, atMs: number): void {
    const slot = Math.max(Math.ceil(atMs / this.#slotMs), this.#next)
    if (due.dueSlot !== 0 && due.dueSlot <= slot) return
    due.dueSlot = slot
    const keys = this.#slots.get(slot)
    if (keys === undefined) this.#slots.set(slot, [key])
    else keys.push(key)
    if (++this.#entries > 2 * this.#count() + STALE_MAX) this.#clean()
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
      const keys = this.#slots.get(this.#next) ?? []
      while (this.#position < keys.length) {
        if (result.length === limit) return result
        const key = keys[this.#position++]!
        const due = this.#of(key)
        if (due?.dueSlot !== this.#next) continue
        due.dueSlot = 0
        result.push(key)
      }
      this.#entries -= keys.length
      this.#position = 0
      this.#slots.delete(this.#next++)
    }
    return result
  }

  #clean(): void {
    this.#entries = 0
    this.#position = 0
    for (const [slot, keys] of this.#slots) {
      const kept = [...new Set(keys)].filter(key => this.#of(key)?.dueSlot === slot)
      this.#entries += kept.length
      if (kept.length === 0) this.#slots.delete(slot)
      else this.#slots.set(slot, kept)
    }
  }
}
