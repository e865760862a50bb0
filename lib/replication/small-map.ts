/** A {@link SmallMap} that is not to be changed. */
export interface ReadonlySmallMap<V> extends ReadonlyMap<string, V> {
  nameAt(place: number): string
  valueAt(place: number): V
}

/** From so many on names are found by an index instead of one after another. */
const LISTED_MAX = 16
/** The list of those that have nothing in them yet. */
const NOTHING: never[] = []

/**
 * A map for a few texts, as most requests have it to do with: a list, to which the engine's hash table costs three times
 * as much to make, to fill and to go through. It gets an index when it grows. As a Map it keeps the order in which names
 * were first set; it is not to be changed while it is gone through.
 *
 * What runs for every write goes through it by place, from 0 below `size`: the engine makes an object for every step of
 * an iterator that it cannot see through.
 */
export class SmallMap<V> implements ReadonlySmallMap<V> {
  /** Name, value, name, value: one list, without an object for each pair. */
  #flat: (string | V)[] = NOTHING
  /** Where in it the names are. */
  #index: Map<string, number> | undefined

  constructor(entries?: Iterable<readonly [string, V]>) {
    if (entries !== undefined) for (const [name, value] of entries) this.set(name, value)
  }

  /** The same as such a map: itself, if it is one. */
  static of<V>(entries: Iterable<readonly [string, V]>): ReadonlySmallMap<V> {
    return entries instanceof SmallMap ? (entries as SmallMap<V>) : new SmallMap(entries)
  }

  get size(): number {
    return this.#flat.length >>> 1
  }

  nameAt(place: number): string {
    return this.#flat[2 * place] as string
  }

  valueAt(place: number): V {
    return this.#flat[2 * place + 1] as V
  }

  get(name: string): V | undefined {
    const at = this.#find(name)
    return at === -1 ? undefined : (this.#flat[at + 1] as V)
  }

  has(name: string): boolean {
    return this.#find(name) !== -1
  }

  set(name: string, value: V): this {
    const at = this.#find(name)
    if (at !== -1) {
      this.#flat[at + 1] = value
      return this
    }
    // Literals: a list that grows makes room for seventeen, and most have a pair or two.
    const flat = this.#flat
    if (flat.length === 0) this.#flat = [name, value]
    else if (flat.length === 2) this.#flat = [flat[0] as string, flat[1] as V, name, value]
    else flat.push(name, value)
    if (this.#index !== undefined) this.#index.set(name, this.#flat.length - 2)
    else if (this.size > LISTED_MAX) this.#makeIndex()
    return this
  }

  delete(name: string): boolean {
    const at = this.#find(name)
    if (at === -1) return false
    this.#flat.splice(at, 2)
    if (this.#index !== undefined) this.#makeIndex()
    return true
  }

  *keys(): MapIterator<string> {
    for (let place = 0; place < this.size; place++) yield this.nameAt(place)
  }

  *values(): MapIterator<V> {
    for (let place = 0; place < this.size; place++) yield this.valueAt(place)
  }

  *entries(): MapIterator<[string, V]> {
    for (let place = 0; place < this.size; place++) yield [this.nameAt(place), this.valueAt(place)]
  }

  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries()
  }

  forEach(tell: (value: V, name: string, map: ReadonlyMap<string, V>) => void): void {
    for (let place = 0; place < this.size; place++) tell(this.valueAt(place), this.nameAt(place), this)
  }

  #find(name: string): number {
    if (this.#index !== undefined) return this.#index.get(name) ?? -1
    const flat = this.#flat
    for (let at = 0; at < flat.length; at += 2) if (flat[at] === name) return at
    return -1
  }

  #makeIndex(): void {
    this.#index = new Map()
    for (let place = 0; place < this.size; place++) this.#index.set(this.nameAt(place), 2 * place)
  }
}
