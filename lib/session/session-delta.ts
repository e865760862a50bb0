import { InvalidOptionError } from '../errors.js'
import type { AttributeWrites } from '../replication/replica-contract.js'

/** Turns attribute values into bytes and back. Equal values must give equal bytes. */
export interface SessionCodec {
  /** Throws when the value cannot be carried. */
  encode(value: unknown): Uint8Array
  /** Throws when the bytes are not a value. */
  decode(bytes: Uint8Array): unknown
}

/**
 * What counts as a change of an attribute (the levels of JEUS's check-level).
 * `set`: only `set` and `delete`. `modified`: also objects that were read and changed in place. `get`: every attribute
 * that was read. `all`: every attribute, always.
 */
export type ChangeDetection = 'set' | 'modified' | 'get' | 'all'

/** Names that begin with this are the library's own; applications neither see nor write them. */
export const RESERVED_PREFIX = '\u0000'

/**
 * What one request changed in a session, against the attributes as they were when that request loaded it (its base).
 * Only names whose bytes differ from the base are written, so two requests that change different attributes of one
 * session at the same time both keep their change: a three-way merge per attribute.
 */
export class SessionDelta {
  readonly #codec: SessionCodec
  readonly #base: Map<string, Uint8Array>
  // Made when first needed: most requests only read.
  /** Values read or set, decoded once. */
  #values: Map<string, unknown> | undefined
  /** Names whose value was decoded from the base. */
  #read: Set<string> | undefined
  #assigned: Set<string> | undefined
  #removed: Set<string> | undefined
  #reserved: Map<string, Uint8Array | undefined> | undefined

  /** A `base` that is a Map is taken over and not copied. */
  constructor(codec: SessionCodec, base: Iterable<readonly [string, Uint8Array]> = []) {
    this.#codec = codec
    this.#base = base instanceof Map ? base : new Map(base)
  }

  has(name: string): boolean {
    if (name.startsWith(RESERVED_PREFIX)) return false
    return this.#values?.has(name) === true || (this.#base.has(name) && this.#removed?.has(name) !== true)
  }

  /** The value, decoded on first use; the same object each time. */
  get(name: string): unknown {
    const known = this.#values?.get(name)
    if (known !== undefined || this.#values?.has(name) === true) return known
    const bytes = this.has(name) ? this.#base.get(name) : undefined
    if (bytes === undefined) return undefined
    const value = this.#codec.decode(bytes)
    this.#read ??= new Set()
    this.#read.add(name)
    this.#values ??= new Map()
    this.#values.set(name, value)
    return value
  }

  set(name: string, value: unknown): void {
    if (name.startsWith(RESERVED_PREFIX)) throw new InvalidOptionError('name', 'without a leading NUL', name)
    this.#values ??= new Map()
    this.#values.set(name, value)
    this.#assigned ??= new Set()
    this.#assigned.add(name)
    this.#removed?.delete(name)
  }

  delete(name: string): boolean {
    const had = this.has(name)
    this.#values?.delete(name)
    this.#assigned?.delete(name)
    if (this.#base.has(name) && !name.startsWith(RESERVED_PREFIX)) {
      this.#removed ??= new Set()
      this.#removed.add(name)
    }
    return had
  }

  /** Names of live attributes: those of the base in their order, then new ones. */
  names(): string[] {
    const names: string[] = []
    for (const name of this.#base.keys()) if (this.has(name)) names.push(name)
    for (const name of this.#values?.keys() ?? []) if (!this.#base.has(name)) names.push(name)
    return names
  }

  /** An attribute's bytes as they were when the session was loaded or last committed. */
  base(name: string): Uint8Array | undefined {
    return this.#base.get(name)
  }

  reserved(name: string): Uint8Array | undefined {
    return this.#reserved?.has(name) === true ? this.#reserved.get(name) : this.#base.get(name)
  }

  setReserved(name: string, bytes: Uint8Array | undefined): void {
    this.#reserved ??= new Map()
    this.#reserved.set(name, bytes)
  }

  /** The attributes to write; empty when nothing changed. Throws what the codec throws. */
  writes(detection: ChangeDetection): AttributeWrites {
    const writes = new Map<string, Uint8Array | undefined>()
    for (const name of this.#removed ?? []) writes.set(name, undefined)
    for (const [name, value] of this.#values ?? []) {
      if (!this.#mayHaveChanged(name, value, detection)) continue
      const bytes = this.#codec.encode(value)
      const before = this.#base.get(name)
      const always = detection === 'get' || detection === 'all'
      if (always || before === undefined || this.#differs(name, value, bytes, before)) writes.set(name, bytes)
    }
    if (detection === 'all') {
      for (const name of this.names()) if (!writes.has(name)) writes.set(name, this.#base.get(name))
    }
    for (const [name, bytes] of this.#reserved ?? []) {
      const before = this.#base.get(name)
      const same = bytes === undefined || before === undefined ? bytes === before : sameBytes(bytes, before)
      if (!same) writes.set(name, bytes)
    }
    return writes
  }

  /** Takes what was written as the new base. */
  rebase(writes: AttributeWrites): void {
    for (const [name, bytes] of writes) {
      if (bytes === undefined) this.#base.delete(name)
      else this.#base.set(name, bytes)
    }
    this.#assigned = undefined
    this.#removed = undefined
    this.#reserved = undefined
  }

  /**
   * Some values encode to other bytes once they have been through the codec (an object without a prototype comes back
   * with one). Taken for a change, a mere read of them would undo what another request wrote.
   */
  #differs(name: string, value: unknown, bytes: Uint8Array, before: Uint8Array): boolean {
    if (sameBytes(bytes, before)) return false
    const wasRead = typeof value === 'object' && value !== null && this.#read?.has(name) === true
    return !wasRead || !sameBytes(bytes, this.#codec.encode(this.#codec.decode(before)))
  }

  #mayHaveChanged(name: string, value: unknown, detection: ChangeDetection): boolean {
    if (this.#assigned?.has(name) === true) return true
    if (detection === 'set') return false
    // A primitive that was only read is still what the base says.
    return detection !== 'modified' || (typeof value === 'object' && value !== null)
  }
}

/** Whether two values have the same bytes. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}
