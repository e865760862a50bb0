import { copyOf, POOLED_BYTES_MAX } from '../wire/value-memory.js'
import { writeBytes } from './codec-writer.js'
import type { AttributeState, DeltaWrites } from './delta.js'
import type { Hash64 } from './mix.js'
import type { Stamp } from './replica-contract.js'

/** From so many on names are found by an index instead of one after another. */
const LISTED_MAX = 16
const NO_CELLS: HeldAttribute[] = []

/** Places by name. Names keep theirs and new ones come last, so that a list and what was copied from it share one. */
type NameIndex = Map<string, number>

/** An attribute with its name, and its part in the record's hash. */
export interface HeldAttribute extends AttributeState {
  readonly name: string
  stamp: Stamp
  value: Uint8Array | undefined
  /** Bytes of memory behind the value that nobody else knows of; 0 when somebody may. */
  room: number
  /** Undefined until somebody asks for the hash: of many writes in between only the last is mixed in. */
  mix: Hash64 | undefined
}

/**
 * The attributes of one record, those removed included, in the order in which they first came. A list: a record has few,
 * and a hash table for each would take twice the memory. What {@link snapshot} gives out never changes: the list is
 * copied by the first write after it (copy on write), so that a request's view of a session costs nothing. What nobody
 * has been given, as on members that only keep a copy, is written over where it lies, and so is what only its writer has
 * ({@link takeOver}): memory for a value outside the heap costs several times more than copying it, and collecting it
 * more than that.
 */
export class AttributeList implements Iterable<[string, HeldAttribute]> {
  #cells: HeldAttribute[] = NO_CELLS
  #index: NameIndex | undefined
  /** The list as it was given out, while it is still so. */
  #snapshot: AttributeSnapshot | undefined

  get size(): number {
    return this.#cells.length
  }

  /** All of them; to be looked at only now. */
  get cells(): readonly HeldAttribute[] {
    return this.#cells
  }

  /** To be looked at only now; see {@link lend}. */
  get(name: string): HeldAttribute | undefined {
    return find(this.#cells, this.#index, name)
  }

  /** A value that stays as it is. */
  lend(name: string): Uint8Array | undefined {
    const cell = this.get(name)
    if (cell === undefined) return undefined
    cell.room = 0
    return cell.value
  }

  /** Adds an attribute, or replaces the one of its name. `isLent`: the value's bytes are somebody else's, and copied. */
  set(name: string, stamp: Stamp, value: Uint8Array | undefined, isLent: boolean): void {
    const place = placeOf(this.#cells, this.#index, name)
    if (this.#snapshot !== undefined) this.#leave()
    const cells = this.#cells
    if (place !== -1) {
      const cell = cells[place] as HeldAttribute
      if (!isLent || value === undefined || !overwrite(cell, stamp, value)) {
        cells[place] = cellOf(name, stamp, value, isLent)
      }
      return
    }
    const cell = cellOf(name, stamp, value, isLent)
    // To its very size: a list that grows makes room for seventeen, and most have five.
    if (cells.length < LISTED_MAX) this.#cells = [...cells, cell]
    else cells.push(cell)
    if (this.#index !== undefined) this.#index.set(name, this.#cells.length - 1)
    else if (this.#cells.length > LISTED_MAX) this.#index = new Map(this.#cells.map((held, at) => [held.name, at]))
  }

  /** Goes on with a copy of the list that was given out, whose values stay but for large ones that are `given` up. */
  #leave(given?: DeltaWrites): void {
    this.#snapshot = undefined
    this.#cells = this.#cells.slice()
    for (const cell of this.#cells) {
      if (given?.has(cell.name) !== true || cell.room <= POOLED_BYTES_MAX) cell.room = 0
    }
  }

  /** Those that have a value, as they are now and stay. */
  snapshot(): AttributeSnapshot {
    this.#snapshot ??= new AttributeSnapshot(this.#cells, this.#index)
    this.#snapshot.holders++
    return this.#snapshot
  }

  /**
   * Before a write by whom `shown` was given, and who no longer looks there at what is written: that need not stay as it
   * is, unless somebody else was given it as well. Small values do: some are handed on, and there is little to gain.
   */
  takeOver(shown: ReadonlyMap<string, Uint8Array>, writes: DeltaWrites): void {
    if (shown === this.#snapshot && this.#snapshot.holders === 1) this.#leave(writes)
  }

  keys(): string[] {
    return this.#cells.map(({ name }) => name)
  }

  /** Names of those that have a value. */
  liveNames(): string[] {
    return this.#cells.filter(({ value }) => value !== undefined).map(({ name }) => name)
  }

  /** As they are now and stay. */
  [Symbol.iterator](): ArrayIterator<[string, HeldAttribute]> {
    this.snapshot()
    return this.#cells.map((cell): [string, HeldAttribute] => [cell.name, cell]).values()
  }
}

function cellOf(name: string, stamp: Stamp, value: Uint8Array | undefined, isLent: boolean): HeldAttribute {
  if (!isLent || value === undefined) return { name, stamp, value, room: 0, mix: undefined }
  return { name, stamp, value: copyOf(value), room: value.length, mix: undefined }
}

/** Puts a value where that of the cell is; `false` if there is no room for it, or so much that it would be wasted. */
function overwrite(cell: HeldAttribute, stamp: Stamp, value: Uint8Array): boolean {
  const { room } = cell
  const { length } = value
  if (room === 0 || length > room || length < room >>> 1) return false
  let place = cell.value as Uint8Array
  if (place.length !== length) cell.value = place = new Uint8Array(place.buffer, place.byteOffset, length)
  writeBytes(place, 0, value)
  cell.stamp = stamp
  cell.mix = undefined
  return true
}

/** A record's attributes at one moment, those that have a value. */
export class AttributeSnapshot implements ReadonlyMap<string, Uint8Array> {
  /** How many times it was given out. */
  holders = 0
  readonly #cells: readonly HeldAttribute[]
  readonly #index: NameIndex | undefined

  /** `index`: may know names that came later. */
  constructor(cells: readonly HeldAttribute[], index: NameIndex | undefined) {
    this.#cells = cells
    this.#index = index
  }

  get size(): number {
    let size = 0
    for (const { value } of this.#cells) if (value !== undefined) size++
    return size
  }

  get(name: string): Uint8Array | undefined {
    return find(this.#cells, this.#index, name)?.value
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  *keys(): MapIterator<string> {
    for (const { name, value } of this.#cells) if (value !== undefined) yield name
  }

  *values(): MapIterator<Uint8Array> {
    for (const { value } of this.#cells) if (value !== undefined) yield value
  }

  *entries(): MapIterator<[string, Uint8Array]> {
    for (const { name, value } of this.#cells) if (value !== undefined) yield [name, value]
  }

  [Symbol.iterator](): MapIterator<[string, Uint8Array]> {
    return this.entries()
  }

  /** Unlike the iterators it makes nothing. */
  forEach(tell: (value: Uint8Array, name: string, map: ReadonlyMap<string, Uint8Array>) => void): void {
    for (const { name, value } of this.#cells) if (value !== undefined) tell(value, name, this)
  }
}

function find(cells: readonly HeldAttribute[], index: NameIndex | undefined, name: string): HeldAttribute | undefined {
  const place = placeOf(cells, index, name)
  return place === -1 ? undefined : cells[place]
}

/** -1: not there. */
function placeOf(cells: readonly HeldAttribute[], index: NameIndex | undefined, name: string): number {
  if (index !== undefined) return index.get(name) ?? -1
  for (let at = 0; at < cells.length; at++) if ((cells[at] as HeldAttribute).name === name) return at
  return -1
}
