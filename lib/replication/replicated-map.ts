import { Buffer } from 'node:buffer'
import { EventEmitter } from 'node:events'
import { COPIES_RULE, RECEIPT_TIMEOUT_RULE } from '../channel/receipt-rules.js'
import type { SendReceipt } from '../channel/topic.js'
import { ProtocolError } from '../errors.js'
import { oneOf, type RulesOf, resolve } from '../options.js'
import { decodeValue, encodeValue } from '../wire/value-codec.js'
import { AttributeIndex } from './attribute-index.js'
import { decodeText, encodeText } from './attribute-text.js'
import type { DeltaWrites } from './delta.js'
import type { HandOverReport } from './hand-over.js'
import type { RecordChange, RecordKey, WriteOptions } from './replica-contract.js'
import type { ReplicaOptionsInput } from './replica-options.js'
import { ReplicaScope, type ScopeEnvironment, type ScopeStats } from './scope.js'
import { SmallMap } from './small-map.js'
import { compareStamps } from './stamp.js'

const KEY = '\u0000key'
const VALUE = 'value'

/** What a map tells. `remote`: another member did it. */
export interface ReplicatedMapEvents<V> {
  /** `get` gives another value now; told within the `set`, or as the change or the state transfer arrives. */
  set: [key: string, value: V, cause: 'local' | 'remote']
  /** The key is gone. */
  delete: [key: string, cause: 'local' | 'remote']
  /** Once: the copy is complete. */
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

/** How a `setAcked` is to be acknowledged. */
export interface AckOptions {
  /** What the receipt waits for at each member. Default `applied`. */
  readonly ack?: 'received' | 'applied'
  /** How many other members must acknowledge; `all`: everyone there, and at least one. Default 1. */
  readonly copies?: number | 'all'
  /** Milliseconds until the receipt says `unknown`. Default 1,000. */
  readonly timeoutMs?: number
}

const ACK_RULES: RulesOf<Required<AckOptions>> = {
  ack: oneOf('applied', 'received', 'applied'),
  copies: COPIES_RULE,
  timeoutMs: RECEIPT_TIMEOUT_RULE,
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
  readonly #index = new AttributeIndex()
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

  /** Fulfilled once the copy is complete; never rejected, pending for ever after an early `close`. */
  get ready(): Promise<void> {
    return this.#scope.ready
  }

  /** Number of keys here, those whose value cannot be read included. */
  get size(): number {
    return this.#index.textCount
  }

  /** Whether the key is here, even if its value cannot be read. */
  has(key: string): boolean {
    return this.#index.count(key) > 0
  }

  /** The value, or undefined when there is none that can be read. */
  get(key: string): V | undefined {
    return this.#read(this.#winner(key))?.value
  }

  /** The keys here, in no order that members share; whether it shows what changes while it runs is not said. */
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

  /**
   * Stores a value here at once and spreads it; of concurrent ones the last stays. After `close` it changes this copy
   * alone.
   *
   * @throws {MessageTooLargeError} when the key or the encoded value is larger than 1 MiB; nothing has changed then
   * @throws {Error} for a value that cannot be encoded, such as a symbol (a function arrives as undefined)
   */
  set(key: string, value: V): void {
    this.#set(key, value, {})
  }

  /**
   * Stores a value, and tells how many members have it. The receipt may say `short` or `unknown`; the value is stored
   * and spreads regardless (after `close`, when it says `short`, it does not spread). Rejects with what `set` throws, and
   * with an InvalidOptionError; nothing has changed then.
   */
  setAcked(key: string, value: V, options: AckOptions = {}): Promise<SendReceipt> {
    return new Promise(fulfil => {
      this.#set(key, value, { ...resolve(ACK_RULES, options), settled: fulfil })
    })
  }

  /**
   * Removes a key, here at once and wherever the removal arrives; `false`: it was not here. It takes with it a
   * concurrent `set` of another member that replaced a value seen here; one that made the key anew stays. A later `set`
   * is a new beginning. After `close` it changes this copy alone.
   */
  delete(key: string): boolean {
    const records = this.#index.keys(key)
    for (const record of records) this.#scope.replica.invalidate(record)
    return records.length > 0
  }

  /** See `Cluster.drain`, which calls it. */
  handOver(timeoutMs: number, signal?: AbortSignal): Promise<HandOverReport> {
    return this.#scope.handOver(timeoutMs, signal)
  }

  /** A copy of the figures as they are now; counters are this member's alone, since the map was opened. */
  stats(): ReplicatedMapStats {
    const stats = this.#scope.stats()
    return {
      ...stats,
      listenerErrors: stats.listenerErrors + this.#listenerErrors,
      undecodable: this.#undecodable,
    }
  }

  /**
   * Stops taking part, for good: nothing is sent or taken in any more, while reads go on with what is here. Elsewhere
   * the map lives on. `Cluster.leave` calls it.
   */
  close(): void {
    this.#scope.close()
  }

  #set(key: string, value: V, options: WriteOptions): void {
    const { replica } = this.#scope
    const writes = new SmallMap([[VALUE, encodeValue(value)]])
    const winner = this.#winner(key)
    const others = this.#index.keys(key).filter(record => record !== winner)
    if (winner === undefined) {
      const created: DeltaWrites = new SmallMap([[KEY, encodeText(key)], ...writes])
      replica.create(created, options)
    } else replica.write(winner, writes, options)
    for (const record of others) replica.invalidate(record)
  }

  /** Of the records with this key, the one whose value was written last; the same on every member. */
  #winner(key: string): RecordKey | undefined {
    const { replica } = this.#scope
    const [first, ...others] = this.#index.keys(key)
    let winner = first
    for (const record of others) {
      const stamp = replica.stamp(record, VALUE)
      const best = replica.stamp(winner as RecordKey, VALUE)
      if (stamp !== undefined && (best === undefined || compareStamps(stamp, best) > 0)) winner = record
    }
    return winner
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
    const before = this.#file(change)
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

  /** The key that the record had before. */
  #file({ key, kind, names }: RecordChange): string | undefined {
    if (kind === 'removed') return this.#index.file(key, undefined)
    if (!names.includes(KEY)) return this.#index.text(key)
    const bytes = this.#scope.replica.attribute(key, KEY)
    return this.#index.file(key, bytes === undefined ? undefined : decodeText(bytes))
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
