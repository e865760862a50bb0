/** From so many on names are found by an index instead of one after another. */
const LISTED_MAX = 16

/**
 * A map for a few texts, as most requests have it to do with: a list, to which the engine's hash table costs three times
 * as much to make, to fill and to go through. It gets an index when it grows. As a Map it keeps the order in which names
 * were first set; it is not to be changed while it is gone through.
 */
export class SmallMap<V> implements ReadonlyMap<string, V> {
  #entries: [string, V][] = []
  #index: Map<string, [string, V]> | undefined

  constructor(entries?: Iterable<readonly [string, V]>) {
    if (entries !== undefined) for (const [name, value] of entries) this.set(name, value)
  }

  get size(): number {
    return this.#entries.length
  }

  get(name: string): V | undefined {
    return this.#find(name)?.[1]
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined
  }

  set(name: string, value: V): this {
    const found = this.#find(name)
    if (found !== undefined) {
      found[1] = value
      return this
    }
    const entry: [string, V] = [name, value]
    // A literal: a list that grows makes room for seventeen, and most have one.
    if (this.#entries.length === 0) this.#entries = [entry]
    else this.#entries.push(entry)
    if (this.#index !== undefined) this.#index.set(name, entry)
    else if (this.#entries.length > LISTED_MAX) this.#index = new Map(this.#entries.map(known => [known[0], known]))
    return this
  }

  delete(name: string): boolean {
    const found = this.#find(name)
    if (found === undefined) return false
    this.#entries = this.#entries.filter(entry => entry !== found)
    this.#index?.delete(name)
    return true
  }

  *keys(): MapIterator<string> {
    for (const [name] of this.#entries) yield name
  }

  *values(): MapIterator<V> {
    for (const [, value] of this.#entries) yield value
  }

  entries(): MapIterator<[string, V]> {
    return this.#entries.values()
  }

  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.#entries.values()
  }

  forEach(tell: (value: V, name: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [name, value] of this.#entries) tell(value, name, this)
  }

  #find(name: string): [string, V] | undefined {
    if (this.#index !== undefined) return this.#index.get(name)
    for (const entry of this.#entries) if (entry[0] === name) return entry
    return undefined
  }
}
