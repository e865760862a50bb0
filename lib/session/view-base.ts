import { type ReadonlySmallMap, SmallMap } from '../replication/small-map.js'

/** Bytes of attributes, by stored name. */
export type AttributeBytes = ReadonlyMap<string, Uint8Array>

/** Bytes that were written and that nobody has kept, made when somebody asks for them. */
export interface BytesAgain {
  /** Whether they would be those. */
  readonly isCertain: boolean
  make(): Uint8Array
}

/** What was written, by stored name; undefined: removed. */
export type Written = ReadonlySmallMap<Uint8Array | BytesAgain | undefined>

/** The attributes as they were when a view was loaded or last committed: what its changes are told by. */
export class ViewBase {
  /** Not changed, by anybody. */
  #loaded: AttributeBytes
  /** What the view has written since. */
  #written: Written | undefined

  constructor(loaded: AttributeBytes) {
    this.#loaded = loaded
  }

  /** As it was loaded; what was written since may lie where some of it did. */
  get loaded(): AttributeBytes {
    return this.#loaded
  }

  /** An attribute's bytes. */
  get(name: string): Uint8Array | undefined {
    const written = this.#written
    if (written === undefined || !written.has(name)) return this.#loaded.get(name)
    const bytes = written.get(name)
    if (bytes === undefined || !('make' in bytes)) return bytes
    const again = bytes.make()
    this.#written = new SmallMap(written).set(name, again)
    return again
  }

  has(name: string): boolean {
    return this.#written?.has(name) === true ? this.#written.get(name) !== undefined : this.#loaded.has(name)
  }

  /** Whether `get` would tell for certain what was written. */
  isCertain(name: string): boolean {
    const bytes = this.#written?.get(name)
    return bytes === undefined || !('make' in bytes) || bytes.isCertain
  }

  /** All in one: made only for views that are used after their commit. */
  whole(): AttributeBytes {
    if (this.#written === undefined) return this.#loaded
    const whole = new Map(this.#loaded)
    for (const name of this.#written.keys()) {
      const bytes = this.get(name)
      if (bytes === undefined) whole.delete(name)
      else whole.set(name, bytes)
    }
    this.#loaded = whole
    this.#written = undefined
    return whole
  }

  /** Goes on from what was written. */
  rebase(writes: Written): void {
    if (writes.size === 0) return
    if (this.#written === undefined) {
      this.#written = writes
      return
    }
    const all = new SmallMap(this.#written)
    for (let place = 0; place < writes.size; place++) all.set(writes.nameAt(place), writes.valueAt(place))
    this.#written = all
  }
}
