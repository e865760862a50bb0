import { Buffer } from 'node:buffer'
import { InvalidOptionError, SessionValueError } from '../errors.js'
import type { DeltaWrites } from '../replication/delta.js'
import { SmallMap } from '../replication/small-map.js'
import { AttributeScope } from './attribute-scope.js'
import type { Loan } from './loan.js'
import type { LocalRule } from './local-rule.js'
import type { SessionCodec } from './session-codec.js'
import { type AttributeBytes, ViewBase, type Written } from './view-base.js'

/**
 * What counts as a change of an attribute (the levels of JEUS's check-level).
 * `set`: only `set` and `delete`. `modified`: also objects that were read and changed in place. `get`: every attribute
 * that was read. `all`: every attribute, always.
 */
export type ChangeDetection = 'set' | 'modified' | 'get' | 'all'

/** A value, and whether it was set since the last commit. */
interface Cell {
  value: unknown
  assigned: boolean
}

const NO_CELLS: SmallMap<Cell> = new SmallMap()
const NO_TERMS: DeltaTerms = {}

/** What a delta reads and writes its attributes by. */
export interface DeltaTerms {
  /** The application's names. Default: {@link AttributeScope.whole}. */
  readonly scope?: AttributeScope | undefined
  /** Which values stay on this member. Default: none. */
  readonly rule?: LocalRule | undefined
  /** Those that do, by stored name; followed, not copied. */
  readonly local?: ReadonlyMap<string, unknown> | undefined
}

/**
 * What one request changed in a session, against the attributes as they were when that request loaded it (its base).
 * Only names whose bytes differ from the base are written, so two requests that change different attributes of one
 * session at the same time both keep their change: a three-way merge per attribute.
 *
 * `has`, `get`, `set`, `delete` and `names` take the application's names; everything else speaks of stored ones.
 */
export class SessionDelta {
  readonly #codec: SessionCodec
  readonly #scope: AttributeScope
  readonly #rule: LocalRule | undefined
  readonly #base: ViewBase
  #local: ReadonlyMap<string, unknown> | undefined
  // Made when first needed: most requests only read.
  /** Values read or set, decoded once. */
  #values: SmallMap<Cell> | undefined
  /** Names whose value was decoded from the base, and may have changed since. */
  #read: Set<string> | undefined
  #removed: Set<string> | undefined
  #reserved: SmallMap<Uint8Array | undefined> | undefined
  #kept: Map<string, unknown> | undefined
  /** The attributes as `takeAll` gave them out, while they are still so. */
  #taken: { readonly names: string[]; readonly values: unknown[] } | undefined
  #isTaken = false

  /** A `base` that is a map is not copied, so it must stay as it is. */
  constructor(
    codec: SessionCodec,
    base: AttributeBytes | Iterable<readonly [string, Uint8Array]> = [],
    terms: DeltaTerms = NO_TERMS,
  ) {
    this.#codec = codec
    this.#base = new ViewBase('get' in base ? base : new Map(base))
    this.#scope = terms.scope ?? AttributeScope.whole
    this.#rule = terms.rule
    this.#local = terms.local
  }

  /** The names it takes. */
  get scope(): AttributeScope {
    return this.#scope
  }

  has(name: string): boolean {
    const stored = this.#scope.stored(name)
    return stored !== undefined && this.#has(stored)
  }

  /** The value, decoded on first use; the same object each time. */
  get(name: string): unknown {
    const stored = this.#scope.stored(name)
    return stored === undefined ? undefined : this.value(stored)
  }

  set(name: string, value: unknown): void {
    const stored = this.#scope.stored(name)
    if (stored === undefined) throw new InvalidOptionError('name', 'without a leading NUL', name)
    this.#values ??= new SmallMap()
    const cell = this.#values.get(stored)
    if (cell === undefined) this.#values.set(stored, { value, assigned: true })
    else {
      cell.value = value
      cell.assigned = true
    }
    this.#removed?.delete(stored)
    this.#taken = undefined
  }

  delete(name: string): boolean {
    const stored = this.#scope.stored(name)
    if (stored === undefined || !this.#has(stored)) return false
    this.#base.assume(stored)
    this.#values?.delete(stored)
    this.#taken = undefined
    if (this.#base.has(stored) || this.#local?.has(stored) === true) {
      this.#removed ??= new Set()
      this.#removed.add(stored)
    }
    return true
  }

  /**
   * Gives out all attributes in one go, and keeps none of them decoded. For whoever hands all of them back to
   * {@link putAll}.
   */
  takeAll(tell: (name: string, value: unknown) => void): void {
    this.#isTaken = true
    const isPlain = this.#local === undefined && this.#rule === undefined
    if (!isPlain || this.#values !== undefined || this.#removed !== undefined) {
      for (const name of this.names()) tell(name, this.get(name))
      return
    }
    const names: string[] = []
    const values: unknown[] = []
    this.#base.whole().forEach((bytes, stored) => {
      const name = this.#scope.name(stored)
      if (name === undefined) return
      const value = this.#codec.decode(bytes)
      if (isObject(value)) this.#markRead(stored)
      names.push(name)
      values.push(value)
      tell(name, value)
    })
    this.#taken = { names, values }
  }

  /**
   * Takes over a whole object: what differs is set, what it does not have is deleted. `except` is no attribute, and
   * neither is a function.
   */
  putAll(data: Readonly<Record<string, unknown>>, except: string): void {
    const { names, values } = this.#taken ?? { names: this.names(), values: undefined }
    let next = 0
    let met = 0
    for (const name of Object.keys(data)) {
      if (name === except) continue
      const value = data[name]
      // Mostly it has the same names in the same order, and one of them another value.
      if (name !== names[next] && name === names[next + 1]) next++
      const isNext = name === names[next]
      if (isNext) {
        met++
        next++
      }
      if (typeof value === 'function') continue
      const mayDiffer = isObject(value)
      const before = isNext && values !== undefined ? values[next - 1] : mayDiffer ? undefined : this.get(name)
      // What is as it was given out need not be encoded to be found unchanged.
      if (mayDiffer || value !== before || (value === undefined && !this.has(name))) this.set(name, value)
    }
    if (met === names.length) return
    // A name that the object's class uses could not be shown in it, so it was nobody who removed that.
    for (const name of names) if (!(name in data)) this.delete(name)
  }

  /** Names of live attributes: those of the base in their order, then new ones. */
  names(): string[] {
    return this.#scope.names(this.stored())
  }

  /** The same, as they are stored; with those of other applications. */
  *stored(): IterableIterator<string> {
    const base = this.#base.whole()
    for (const stored of base.keys()) if (this.#has(stored)) yield stored
    for (const stored of this.#local?.keys() ?? []) {
      if (!base.has(stored) && this.#has(stored)) yield stored
    }
    for (const stored of this.#values?.keys() ?? []) {
      if (!base.has(stored) && this.#local?.has(stored) !== true) yield stored
    }
  }

  /** The value by its stored name. */
  value(stored: string): unknown {
    const known = this.#values?.get(stored)
    if (known !== undefined) return known.value
    if (this.#removed?.has(stored) === true) return undefined
    const bytes = this.base(stored)
    if (bytes === undefined) return this.#local?.get(stored)
    const value = this.#codec.decode(bytes)
    if (isObject(value)) this.#markRead(stored)
    this.#values ??= new SmallMap()
    this.#values.set(stored, { value, assigned: false })
    return value
  }

  #markRead(stored: string): void {
    this.#read ??= new Set()
    this.#read.add(stored)
  }

  #has(stored: string): boolean {
    if (this.#values?.has(stored) === true) return true
    return (this.#base.has(stored) || this.#local?.has(stored) === true) && this.#removed?.has(stored) !== true
  }

  /** An attribute's bytes as they were when the session was loaded or last committed. */
  base(name: string): Uint8Array | undefined {
    return this.#base.get(name)
  }

  /** The attributes as they were when the session was loaded. */
  get loaded(): AttributeBytes {
    return this.#base.loaded
  }

  reserved(name: string): Uint8Array | undefined {
    return this.#reserved?.has(name) === true ? this.#reserved.get(name) : this.base(name)
  }

  setReserved(name: string, bytes: Uint8Array | undefined): void {
    this.#reserved ??= new SmallMap()
    this.#reserved.set(name, bytes)
  }

  /**
   * The attributes to write; empty when nothing changed. Then see {@link kept}. With a `loan`, large ones are lent by it;
   * not where values stay on this member.
   *
   * @throws {SessionValueError}
   */
  writes(detection: ChangeDetection, loan?: Loan): DeltaWrites {
    const writes = new SmallMap<Uint8Array | undefined>()
    this.#kept = undefined
    if (this.#removed !== undefined) {
      for (const name of this.#removed) if (this.#base.has(name)) writes.set(name, undefined)
    }
    const always = detection === 'get' || detection === 'all'
    const maxBytes = this.#rule?.maxBytes ?? Infinity
    const values = this.#values ?? NO_CELLS
    for (let place = 0; place < values.size; place++) {
      const name = values.nameAt(place)
      const cell = values.valueAt(place)
      const { value } = cell
      // Where nobody knows any more what there was, what was set is written, and the rest counts as unchanged.
      if (!cell.assigned) this.#base.assume(name)
      if (!mayHaveChanged(cell, detection)) continue
      const before = this.base(name)
      const stays = this.#rule !== undefined && this.#isExcluded(name, cell, before)
      const lent = loan?.encode(name, value)
      const bytes = stays ? undefined : (lent ?? this.encoded(name, value))
      if (bytes !== undefined && !always && before !== undefined && !this.#differs(name, value, bytes, before)) {
        if (lent !== undefined) loan?.takeBack(name, lent)
        continue
      }
      if (bytes !== undefined && bytes.length <= maxBytes) {
        writes.set(name, bytes)
        continue
      }
      this.#kept ??= new Map()
      this.#kept.set(name, value)
      // What others have of it is no longer so.
      if (before !== undefined) writes.set(name, undefined)
    }
    if (detection === 'all' || (detection === 'get' && this.#isTaken)) {
      for (const [name, bytes] of this.#base.whole()) {
        if (!writes.has(name) && this.#removed?.has(name) !== true && this.#scope.name(name) !== undefined)
          writes.set(name, bytes)
      }
    }
    if (this.#reserved !== undefined) {
      for (const [name, bytes] of this.#reserved) if (!sameBytes(bytes, this.base(name))) writes.set(name, bytes)
    }
    return writes
  }

  /**
   * An attribute's bytes with another value, by its stored name.
   *
   * @throws {SessionValueError}
   */
  encoded(stored: string, value: unknown): Uint8Array {
    try {
      return this.#codec.encode(value)
    } catch (error) {
      throw new SessionValueError(this.#scope.name(stored) ?? stored, error)
    }
  }

  /** What the last `writes` found to stay on this member. */
  get kept(): ReadonlyMap<string, unknown> | undefined {
    return this.#kept
  }

  /** Names of values kept on this member that this view removed. */
  unkept(): string[] {
    return [...(this.#removed ?? [])].filter(name => this.#local?.has(name) === true)
  }

  /** Takes what was written as the new base, and what was kept as it is now. */
  rebase(writes: Written, local: ReadonlyMap<string, unknown> | undefined = this.#local): void {
    this.#base.rebase(writes)
    if (this.#kept !== undefined) for (const name of this.#kept.keys()) this.#values?.delete(name)
    this.#local = local
    this.#kept = undefined
    const values = this.#values ?? NO_CELLS
    for (let place = 0; place < values.size; place++) values.valueAt(place).assigned = false
    this.#removed = undefined
    this.#reserved = undefined
  }

  /** An attribute has another value than this view gave it: that of a merge. */
  adopt(stored: string, value: unknown): void {
    this.#values ??= new SmallMap()
    if (value === undefined) this.#values.delete(stored)
    else this.#values.set(stored, { value, assigned: false })
  }

  /** Of a value that was only read, others may have the replicated one. */
  #isExcluded(stored: string, { value, assigned }: Cell, before: Uint8Array | undefined): boolean {
    const name = this.#scope.name(stored)
    if (name === undefined || this.#rule?.excludes(name, value) !== true) return false
    if (before === undefined || assigned) return true
    return this.#differs(stored, value, this.encoded(stored, value), before)
  }

  /**
   * Some values encode to other bytes once they have been through the codec (an object without a prototype comes back
   * with one). Taken for a change, a mere read of them would undo what another request wrote.
   */
  #differs(name: string, value: unknown, bytes: Uint8Array, before: Uint8Array): boolean {
    if (sameBytes(bytes, before)) return false
    const wasRead = isObject(value) && this.#read?.has(name) === true
    return !wasRead || !sameBytes(bytes, this.#codec.encode(this.#codec.decode(before)))
  }
}

function mayHaveChanged({ value, assigned }: Cell, detection: ChangeDetection): boolean {
  if (assigned) return true
  if (detection === 'set') return false
  // A primitive that was only read is still what the base says.
  return detection !== 'modified' || isObject(value)
}

/** Whether a value may change in place. */
function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

const COMPARED_MAX = 16

/** Whether two values have the same bytes, or neither is there. */
export function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  if (a.length !== b.length) return false
  // What differs mostly does so at once.
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) return false
    if (i === COMPARED_MAX) return Buffer.compare(a, b) === 0
  }
  return true
}
