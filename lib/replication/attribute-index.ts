import type { RecordKey } from './replica-contract.js'
import { ShardedMap } from './sharded-map.js'

const NONE: readonly RecordKey[] = []

/**
 * Records by a text they bear, and back. Several records may bear one text, since members create without asking each
 * other; most texts are borne by one. Costs nothing for records that bear none.
 */
export class AttributeIndex {
  /** Made when first needed: its shards are not for nothing. */
  #texts: ShardedMap<string> | undefined
  readonly #keys = new Map<string, RecordKey | Set<RecordKey>>()

  /** How many records bear a text. */
  get size(): number {
    return this.#texts?.size ?? 0
  }

  /** How many texts are borne by a record. */
  get textCount(): number {
    return this.#keys.size
  }

  /** What a record bears. */
  text(key: RecordKey): string | undefined {
    return this.#texts?.get(key)
  }

  /** The records that bear it, the first filed first; a list of the caller's own. */
  keys(text: string): readonly RecordKey[] {
    const found = this.#keys.get(text)
    if (found === undefined) return NONE
    return typeof found === 'string' ? [found] : [...found]
  }

  /** How many records bear it. */
  count(text: string): number {
    const found = this.#keys.get(text)
    return found === undefined ? 0 : typeof found === 'string' ? 1 : found.size
  }

  /** Every text that a record bears, once. */
  texts(): IterableIterator<string> {
    return this.#keys.keys()
  }

  /** A record bears this text now, or none; what it bore before. */
  file(key: RecordKey, text: string | undefined): string | undefined {
    const before = this.#texts?.get(key)
    if (before === text) return before
    if (before !== undefined) this.#remove(key, before)
    if (text === undefined) this.#texts?.delete(key)
    else this.#add(key, text)
    return before
  }

  clear(): void {
    this.#texts = undefined
    this.#keys.clear()
  }

  #add(key: RecordKey, text: string): void {
    this.#texts ??= new ShardedMap()
    this.#texts.set(key, text)
    const found = this.#keys.get(text)
    if (found === undefined) this.#keys.set(text, key)
    else if (typeof found === 'string') this.#keys.set(text, new Set([found, key]))
    else found.add(key)
  }

  #remove(key: RecordKey, text: string): void {
    const found = this.#keys.get(text)
    if (typeof found !== 'object') this.#keys.delete(text)
    else {
      found.delete(key)
      if (found.size === 1) for (const last of found) this.#keys.set(text, last)
    }
  }
}
