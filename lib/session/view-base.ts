import { type ReadonlySmallMap, SmallMap } from '../replication/small-map.js'

/** Bytes of attributes, by stored name. */
export type AttributeBytes = ReadonlyMap<string, Uint8Array>

/** Bytes that were written and not kept. */
export interface BytesAgain {
  /** Those; undefined: nobody has them any more. */
  make(): Uint8Array | undefined
  /** Those they would be, had the value not changed. */
  assume(): Uint8Array
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

  /** An attribute's bytes; undefined: it was not there, or nobody knows any more. */
  get(name: string): Uint8Array | undefined {
    const written = this.#written
    if (written === undefined || !written.has(name)) return this.#loaded.get(name)
    const known = written.get(name)
    const bytes = bytesOf(known)
    // Once had they stay.
    if (bytes !== undefined && bytes !== known) this.#written = new SmallMap(written).set(name, bytes)
    return bytes
  }

  has(name: string): boolean {
    return this.#written?.has(name) === true ? this.#written.get(name) !== undefined : this.#loaded.has(name)
  }

  /** Takes what was written for unchanged where nobody knows any more. */
  assume(name: string): void {
    const written = this.#written?.get(name)
    if (written === undefined || !('make' in written)) return
    this.#written = new SmallMap(this.#written).set(name, written.make() ?? written.assume())
  }

  /** All in one, but for what nobody knows any more: made only for views that are used after their commit. */
  whole(): AttributeBytes {
    if (this.#written === undefined) return this.#loaded
    const whole = new Map(this.#loaded)
    const unknown = new SmallMap<Uint8Array | BytesAgain | undefined>()
    for (const [name, written] of this.#written) {
      const bytes = bytesOf(written)
      if (bytes !== undefined) whole.set(name, bytes)
      else whole.delete(name)
      if (bytes === undefined && written !== undefined) unknown.set(name, written)
    }
    this.#loaded = whole
    this.#written = unknown.size === 0 ? undefined : unknown
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

function bytesOf(written: Uint8Array | BytesAgain | undefined): Uint8Array | undefined {
  return written !== undefined && 'make' in written ? written.make() : written
}
