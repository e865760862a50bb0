import type { AttributeState } from './delta.js'
import type { Hash64 } from './mix.js'

/** From so many on names are found by an index instead of one after another. */
const LISTED_MAX = 16
const NO_CELLS: HeldAttribute[] = []

/** Places by name. Names keep theirs and new ones come last, so that a list and what was copied from it share one. */
type NameIndex = Map<string, number>

/** An attribute with its name, and its part in the record's hash. */
export interface HeldAttribute extends AttributeState {
  readonly name: string
  /** Undefined until somebody asks for the hash: of many writes in between only the last is mixed in. */
  mix: Hash64 | undefined
}

/**
 * The attributes of one record, those removed included, in the order in which they first came. A list: a record has few,
 * and a hash table for each would take twice the memory. What {@link snapshot} gives out never changes: the list is
 * copied by the first write after it (copy on write), so that a request's view of a session costs nothing.
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

  get(name: string): HeldAttribute | undefined {
    return find(this.#cells, this.#index, name)
  }

  /** Adds an attribute, or replaces the one of its name. */
  set(cell: HeldAttribute): void {
    const cells = this.#cells
    const { name } = cell
    const place = placeOf(cells, this.#index, name)
    const isShared = this.#snapshot !== undefined
    this.#snapshot = undefined
    if (place !== -1) {
      if (isShared) this.#cells = cells.slice()
      this.#cells[place] = cell
      return
    }
    // To its very size: a list that grows makes room for seventeen, and most have five.
    if (isShared || cells.length < LISTED_MAX) this.#cells = [...cells, cell]
    else cells.push(cell)
    if (this.#index !== undefined) this.#index.set(name, this.#cells.length - 1)
    else if (this.#cells.length > LISTED_MAX) this.#index = new Map(this.#cells.map((held, at) => [held.name, at]))
  }

  /** Those that have a value, as they are now and stay. */
  snapshot(): AttributeSnapshot {
    this.#snapshot ??= new AttributeSnapshot(this.#cells, this.#index)
    return this.#snapshot
  }

  keys(): string[] {
    return this.#cells.map(({ name }) => name)
  }

  /** Names of those that have a value. */
  liveNames(): string[] {
    return this.#cells.filter(({ value }) => value !== undefined).map(({ name }) => name)
  }

  [Symbol.iterator](): ArrayIterator<[string, HeldAttribute]> {
    return this.#cells.map((cell): [string, HeldAttribute] => [cell.name, cell]).values()
  }
}

/** A record's attributes at one moment, those that have a value. */
export class AttributeSnapshot implements ReadonlyMap<string, Uint8Array> {
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

  forEach(tell: (value: Uint8Array, name: string, map: ReadonlyMap<string, Uint8Array>) => void): void {
    for (const [name, value] of this) tell(value, name, this)
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
