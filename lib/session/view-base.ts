import type { DeltaWrites } from '../replication/delta.js'
import type { BorrowedAttributes, RecordKey, RecordStore } from '../replication/replica-contract.js'
import { SmallMap } from '../replication/small-map.js'

/** Bytes of attributes, by stored name. */
export type AttributeBytes = ReadonlyMap<string, Uint8Array>

const NO_ATTRIBUTES: AttributeBytes = new Map()

/** Where to get again what was given back. */
interface Source {
  readonly store: RecordStore
  readonly key: RecordKey
  /** Called when the attributes have been had again. */
  readonly reopened: () => void
}

/**
 * The attributes as they were when a view was loaded or last committed: what its changes are told by. It holds on to
 * what the store lent it, which nobody changes meanwhile, until it is given back.
 */
export class ViewBase {
  /** Undefined: given back. */
  #loaded: AttributeBytes | BorrowedAttributes | undefined
  /** What the view has written since, or keeps of what it gave back. */
  #written: DeltaWrites | undefined
  #source: Source | undefined

  constructor(loaded: AttributeBytes | BorrowedAttributes) {
    this.#loaded = loaded
  }

  /** An attribute's bytes. */
  get(name: string): Uint8Array | undefined {
    return this.isWritten(name) ? this.#written?.get(name) : this.open().get(name)
  }

  has(name: string): boolean {
    return this.isWritten(name) ? this.#written?.get(name) !== undefined : this.open().has(name)
  }

  /** Whether the view itself has what it wrote, or keeps it. */
  isWritten(name: string): boolean {
    return this.#written?.has(name) === true
  }

  /** The same, for which alone the rest need not be had again. */
  peek(name: string): Uint8Array | undefined {
    const source = this.#loaded === undefined ? this.#source : undefined
    return source === undefined ? this.get(name) : source.store.attribute(source.key, name)
  }

  /** All in one: made only for views that are used after their commit. */
  whole(): AttributeBytes {
    const loaded = this.open()
    if (this.#written === undefined) return loaded
    const whole = new Map(loaded)
    for (const [name, bytes] of this.#written) {
      if (bytes === undefined) whole.delete(name)
      else whole.set(name, bytes)
    }
    this.#loaded = whole
    this.#written = undefined
    return whole
  }

  /** Goes on from what was written. */
  rebase(writes: DeltaWrites): void {
    if (writes.size === 0) return
    // Or what a view that lives long has written would pile up.
    if (this.#written !== undefined) this.whole()
    this.#written = writes
  }

  /** What was loaded, had again if need be: as it is by then. Of a session that has ended there is nothing. */
  open(): AttributeBytes {
    if (this.#loaded !== undefined) return this.#loaded
    const { store, key, reopened } = this.#source as Source
    const loaded = store.borrow(key)
    this.#loaded = loaded ?? NO_ATTRIBUTES
    if (loaded !== undefined) reopened()
    return this.#loaded
  }

  /** What has been given back is written: of that only this is kept. */
  wentOut(writes: DeltaWrites, kept: DeltaWrites | undefined): void {
    if (this.#written === undefined) {
      this.#written = kept
      return
    }
    const all = new SmallMap(kept)
    for (const [name, bytes] of this.#written) if (!writes.has(name)) all.set(name, bytes)
    this.#written = all
  }

  /** Whether it can be given back. */
  get isBorrowed(): boolean {
    return this.#loaded === undefined || 'giveBack' in this.#loaded
  }

  /** Gives back what the store lent, and keeps this, which is not in its memory. */
  giveBack(source: Source, kept: DeltaWrites | undefined): void {
    if (this.#loaded !== undefined && 'giveBack' in this.#loaded) this.#loaded.giveBack()
    this.#loaded = undefined
    this.#source = source
    this.#written = kept
  }
}
