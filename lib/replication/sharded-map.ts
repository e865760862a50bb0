/** A power of two. */
const SHARDS = 128

/**
 * A map of text keys for a million entries: one large Map stops the process for a tenth of a second whenever it
 * doubles, many small ones do so one at a time. Keys must differ in their last characters.
 */
export class ShardedMap<V> {
  readonly #shards: Map<string, V>[] = Array.from({ length: SHARDS }, () => new Map<string, V>())
  #size = 0

  get size(): number {
    return this.#size
  }

  get(key: string): V | undefined {
    return this.#shard(key).get(key)
  }

  has(key: string): boolean {
    return this.#shard(key).has(key)
  }

  set(key: string, value: V): void {
    const shard = this.#shard(key)
    const before = shard.size
    shard.set(key, value)
    this.#size += shard.size - before
  }

  delete(key: string): boolean {
    const deleted = this.#shard(key).delete(key)
    if (deleted) this.#size--
    return deleted
  }

  clear(): void {
    for (const shard of this.#shards) shard.clear()
    this.#size = 0
  }

  *keys(): IterableIterator<string> {
    for (const shard of this.#shards) yield* shard.keys()
  }

  #shard(key: string): Map<string, V> {
    const last = key.length - 1
    return this.#shards[(key.charCodeAt(last) * 31 + key.charCodeAt(last - 1)) & (SHARDS - 1)]!
  }
}
