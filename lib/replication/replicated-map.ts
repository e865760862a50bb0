import { EventEmitter } from 'node:events'
import type { SendReceipt } from '../channel/topic.js'
import { ProtocolError } from '../errors.js'
import { decodeValue, encodeValue } from '../wire/value-codec.js'
import { encodeText, KeyIndex } from './key-index.js'
import type { AttributeWrites, RecordChange, RecordKey, WriteOptions } from './replica-contract.js'
import type { ReplicaOptionsInput } from './replica-options.js'
import { ReplicaScope, type ScopeEnvironment, type ScopeStats } from './scope.js'

const KEY = '\u0000key'
const VALUE = 'value'

/** What a map tells. `remote`: another member did it. */
export interface ReplicatedMapEvents<V> {
  set: [key: string, value: V, cause: 'local' | 'remote']
  delete: [key: string, cause: 'local' | 'remote']
  ready: []
  /**
   * A listener threw, or a value arrived that does not decode (a ProtocolError; told while somebody listens to `set`).
   * The change itself is in place; without a listener for this event it is only counted.
   */
  listenerError: [error: unknown]
}

/** The scope's figures, and values that went wrong. */
export interface ReplicatedMapStats extends ScopeStats {
  /** Reads, and `set` events, that came upon a value whose bytes do not decode. */
  readonly undecodable: number
}

/** How an acknowledged `setAcked` or `deleteAcked` is to be acknowledged. */
export interface AckOptions {
  /** Default `applied`. */
  readonly ack?: 'received' | 'applied'
  /** Default 1. */
  readonly copies?: number | 'all'
  /** Milliseconds; default 1,000. */
  readonly timeoutMs?: number
}

/**
 * A map every member of the group holds a whole copy of (Tribes: ReplicatedMap). Reads and writes are local and
 * immediate; copies converge, the later write wins, and a key deleted after its values were seen stays deleted.
 * Values are what structured clone knows; each read decodes a fresh one.
 *
 * A value whose bytes do not decode, since another member's version or a fault wrote them, is none for `get`, and
 * `entries` passes over it; each time is counted as `undecodable`. Its key is still there for `has`, `keys`, `size`,
 * `set` and `delete`: reads never throw for what came from the network, and the key can be put right.
 */
export class ReplicatedMap<V> extends EventEmitter<ReplicatedMapEvents<V>> {
  readonly #scope: ReplicaScope
  readonly #index = new KeyIndex(KEY)
  #listenerErrors = 0
  #undecodable = 0

  /** @throws {InvalidOptionError} */
  constructor(env: ScopeEnvironment, options: ReplicaOptionsInput = {}) {
    super()
    this.#scope = new ReplicaScope(env, options, {
      onChange: change => this.#changed(change),
      onReady: () => this.#guarded(() => this.emit('ready')),
    })
  }

  /** Fulfilled once the copy is complete. */
  get ready(): Promise<void> {
    return this.#scope.ready
  }

  get size(): number {
    return this.#index.size
  }

  has(key: string): boolean {
    return this.#index.find(key).size > 0
  }

  /** The value, or undefined when there is none that can be read. */
  get(key: string): V | undefined {
    return this.#read(this.#winner(key))?.value
  }

  keys(): IterableIterator<string> {
    return this.#index.texts()
  }

  /** Keys and values, but those that cannot be read. */
  *entries(): IterableIterator<[string, V]> {
    for (const key of this.#index.texts()) {
      const found = this.#read(this.#winner(key))
      if (found !== undefined) yield [key, found.value]
    }
  }

  [Symbol.iterator](): IterableIterator<[string, V]> {
    return this.entries()
  }

  /** Stores a value here at once and spreads it. @throws {MessageTooLargeError} */
  set(key: string, value: V): void {
    this.#set(key, value, {})
  }

  /**
   * Stores a value, and tells how many members have it. The receipt may say `short` or `unknown`; the value is stored
   * and spreads regardless. @throws {MessageTooLargeError}
   */
  setAcked(key: string, value: V, options: AckOptions = {}): Promise<SendReceipt> {
    return new Promise(resolve => {
      this.#set(key, value, { ack: 'applied', copies: 1, ...options, settled: resolve })
    })
  }

  /** Removes a key everywhere; `false` when it was not here. */
  delete(key: string): boolean {
    const records = [...this.#index.find(key)]
    for (const record of records) this.#scope.replica.invalidate(record)
    return records.length > 0
  }

  stats(): ReplicatedMapStats {
    const stats = this.#scope.stats()
    return {
      ...stats,
      listenerErrors: stats.listenerErrors + this.#listenerErrors,
      undecodable: this.#undecodable,
    }
  }

  close(): void {
    this.#scope.close()
  }

  #set(key: string, value: V, options: WriteOptions): void {
    const { replica } = this.#scope
    const writes = new Map([[VALUE, encodeValue(value)]])
    const winner = this.#winner(key)
    const others = [...this.#index.find(key)].filter(record => record !== winner)
    if (winner === undefined) {
      const created: AttributeWrites = new Map([[KEY, encodeText(key)], ...writes])
      replica.create(created, options)
    } else replica.write(winner, writes, options)
    for (const record of others) replica.invalidate(record)
  }

  #winner(key: string): RecordKey | undefined {
    return this.#index.winner(key, this.#scope.replica, VALUE)
  }

  /** The value of a record in a box, since it may be `undefined` itself. */
  #read(record: RecordKey | undefined, failed?: (error: ProtocolError) => void): { readonly value: V } | undefined {
    const bytes = record === undefined ? undefined : this.#scope.replica.attribute(record, VALUE)
    if (bytes === undefined) return undefined
    try {
      return { value: decodeValue(bytes) as V }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#undecodable++
      failed?.(error)
      return undefined
    }
  }

  #changed(change: RecordChange): void {
    const { replica } = this.#scope
    const before = this.#index.text(change.key)
    this.#index.update(change, replica)
    const text = this.#index.text(change.key) ?? before
    if (text === undefined) return
    const winner = this.#winner(text)
    if (winner === undefined) {
      this.#guarded(() => this.emit('delete', text, change.cause))
      return
    }
    const lostToAnother = change.kind === 'removed' && change.before !== undefined && !this.#wasWinner(change, winner)
    if (lostToAnother || (change.kind !== 'removed' && winner !== change.key)) return
    this.#emitSet(text, winner, change.cause)
  }

  /** Whether the value readers see changed with the removal; equal bytes are no news. */
  #wasWinner(change: RecordChange, winner: RecordKey): boolean {
    const before = change.before?.get(VALUE)
    const now = this.#scope.replica.attribute(winner, VALUE)
    return before !== undefined && now !== undefined && Buffer.compare(before, now) !== 0 && change.cause === 'remote'
  }

  #emitSet(key: string, record: RecordKey, cause: 'local' | 'remote'): void {
    if (this.listenerCount('set') === 0) return
    this.#guarded(() => {
      const found = this.#read(record, error => this.emit('listenerError', error))
      if (found !== undefined) this.emit('set', key, found.value, cause)
    })
  }

  /** The replica is amid a merge: nothing of the application's may reach it. */
  #guarded(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#listenerErrors++
      try {
        this.emit('listenerError', error)
      } catch {
        this.#listenerErrors++
      }
    }
  }
}
