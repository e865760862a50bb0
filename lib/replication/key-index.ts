import { decodeText } from './attribute-text.js'
import type { RecordChange, RecordKey, RecordStore } from './replica-contract.js'
import { compareStamps } from './stamp.js'

/**
 * Finds records by the text in one of their attributes, fed by the changes of a replica. Several records may carry the
 * same text, since members create without asking each other.
 */
export class KeyIndex {
  readonly #attribute: string
  #records = new Map<string, Set<RecordKey>>()
  #texts = new Map<RecordKey, string>()

  constructor(attribute: string) {
    this.#attribute = attribute
  }

  /** Texts some record carries. */
  get size(): number {
    return this.#records.size
  }

  texts(): IterableIterator<string> {
    return this.#records.keys()
  }

  /** The records that carry a text. */
  find(text: string): ReadonlySet<RecordKey> {
    return this.#records.get(text) ?? NONE
  }

  /** The text of a record. */
  text(key: RecordKey): string | undefined {
    return this.#texts.get(key)
  }

  /** Of the records with this text, the one whose attribute `by` was written last; the same on every member. */
  winner(text: string, store: RecordStore, by: string): RecordKey | undefined {
    let best: RecordKey | undefined
    for (const key of this.find(text)) {
      if (best === undefined) {
        best = key
        continue
      }
      const a = store.stamp(key, by)
      const b = store.stamp(best, by)
      if (a !== undefined && (b === undefined || compareStamps(a, b) > 0)) best = key
    }
    return best
  }

  /** Takes a change in; to be called with every one. */
  update(change: RecordChange, store: RecordStore): void {
    if (change.kind === 'removed') {
      this.#remove(change.key)
      return
    }
    if (!change.names.includes(this.#attribute)) return
    const bytes = store.attribute(change.key, this.#attribute)
    const text = bytes === undefined ? undefined : decodeText(bytes)
    if (text === this.#texts.get(change.key)) return
    this.#remove(change.key)
    if (text === undefined) return
    this.#texts.set(change.key, text)
    const keys = this.#records.get(text)
    if (keys === undefined) this.#records.set(text, new Set([change.key]))
    else keys.add(change.key)
  }

  #remove(key: RecordKey): void {
    const text = this.#texts.get(key)
    if (text === undefined) return
    this.#texts.delete(key)
    const keys = this.#records.get(text)!
    keys.delete(key)
    if (keys.size === 0) this.#records.delete(text)
  }
}

const NONE: ReadonlySet<RecordKey> = new Set()
