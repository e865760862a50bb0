import type { SendReceipt } from '../channel/topic.js'
import { InvalidOptionError, InvalidStateError, SendError, SessionOvertakenError } from '../errors.js'
import { decodeText } from '../replication/attribute-text.js'
import type {
  AttributeWrites,
  IssuedDelta,
  RecordChange,
  RecordKey,
  RecordStore,
  WriteOptions,
} from '../replication/replica-contract.js'
import type { Freshness } from '../replication/stall-fence.js'
import { compareStamps } from '../replication/stamp.js'
import type { Clock, Random } from '../runtime/runtime.js'
import { decodeValue, encodeValue } from '../wire/value-codec.js'
import type { DeltaManagerOptions } from './delta-manager-options.js'
import { resolveDeltaManagerOptions } from './delta-manager-options.js'
import { IdIndex } from './id-index.js'
import { SafeEmitter } from './safe-emitter.js'
import type { SessionBacking } from './session.js'
import { CREATED, PUBLIC_ID, Session, writeNumber } from './session.js'
import type { SessionCodec } from './session-delta.js'
import { RESERVED_PREFIX, sameBytes } from './session-delta.js'
import type {
  CommitOptions,
  CreateSessionOptions,
  SessionCause,
  SessionEnd,
  SessionEvents,
  SessionManager,
  SessionStats,
} from './session-manager.js'
import { readWriteToken } from './write-token.js'

/** Random bytes in a session id. */
const ID_BYTES = 24
/** How long a read waits for a write that its client has made elsewhere. */
const CATCH_UP_MS = 250
/** Longest public id, in bytes, that is looked at; longer ones come from nobody we know. */
const ID_LENGTH_MAX = 512

/** What a DeltaManager works with. */
export interface DeltaManagerParts {
  readonly store: RecordStore
  readonly clock: Clock
  readonly random: Random
  /** Calls back for every change of the store, synchronously, local ones included. Returns how to end that. */
  readonly onChange: (listener: (change: RecordChange) => void) => () => void
  /** Whether the store may be relied on. Default: always. */
  readonly freshness?: Freshness
  /** Default: msgpackr with structured clone. Every member must use the same. */
  readonly codec?: SessionCodec
}

/**
 * Every member has every session, after Tomcat's DeltaManager. What it guarantees and throws is told in
 * {@link SessionManager}.
 */
export class DeltaManager implements SessionManager {
  readonly #parts: DeltaManagerParts
  readonly #options: Required<DeltaManagerOptions>
  readonly #codec: SessionCodec
  readonly #backing: SessionBacking
  readonly #emitter: SafeEmitter<SessionEvents>
  readonly #index: IdIndex
  readonly #count = {
    created: 0,
    invalidated: 0,
    expired: 0,
    replaced: 0,
    committed: 0,
    unchanged: 0,
    discarded: 0,
    overtaken: 0,
    shortfalls: 0,
    listenerErrors: 0,
    undecodable: 0,
  }
  #unsubscribe: (() => void) | undefined

  /** @throws {InvalidOptionError} when an option is out of range. */
  constructor(parts: DeltaManagerParts, options: DeltaManagerOptions = {}) {
    this.#parts = parts
    this.#options = resolveDeltaManagerOptions(options)
    this.#codec = parts.codec ?? { encode: encodeValue, decode: decodeValue }
    this.#index = new IdIndex((a, b) => this.#precedes(a, b))
    this.#emitter = new SafeEmitter((error, event) => this.#listenerFailed(error, event))
    const { store } = parts
    this.#backing = {
      codec: this.#codec,
      idleMs: key => store.idleMs(key),
      holds: key => store.has(key),
      idOf: key => (this.#index.shows(key) ? this.#index.id(key) : undefined),
      touch: key => store.touch(key),
      invalidate: session => this.invalidate(session),
      changeId: session => this.#changeId(session),
    }
  }

  get size(): number {
    return this.#index.size
  }

  get ready(): boolean {
    return this.#parts.store.ready
  }

  get fresh(): boolean {
    return this.#parts.freshness?.fresh ?? true
  }

  whenFresh(): Promise<void> | undefined {
    return this.#parts.freshness?.whenFresh()
  }

  whenCaughtUp(token: string, timeoutMs: number = CATCH_UP_MS): Promise<boolean> | undefined {
    const { store } = this.#parts
    const dot = readWriteToken(token)
    if (dot === undefined || store.seen(dot.origin, dot.seq)) return undefined
    return new Promise(resolve => store.catchUp(dot, timeoutMs, resolve))
  }

  start(): void {
    if (this.#unsubscribe !== undefined) return
    const { store } = this.#parts
    for (const key of store.keys()) this.#claim(key)
    this.#unsubscribe = this.#parts.onChange(change => this.#changed(change))
  }

  /** Ends the sessions first if `expireSessionsOnShutdown`; resolves when their receipts are in. */
  async stop(): Promise<void> {
    if (this.#unsubscribe === undefined) return
    if (this.#options.expireSessionsOnShutdown) {
      const sessions = [...this.#index.ids()].map(id => this.#view(id)).filter(session => session !== undefined)
      await Promise.allSettled(sessions.map(session => this.invalidate(session)))
    }
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
  }

  create(options: CreateSessionOptions = {}): Session {
    this.#checkStarted()
    if (options.id !== undefined && (options.id === '' || Buffer.byteLength(options.id) > ID_LENGTH_MAX)) {
      throw new InvalidOptionError('id', `1 to ${ID_LENGTH_MAX} bytes`, Buffer.byteLength(options.id))
    }
    if (options.id !== undefined && this.#index.key(options.id) !== undefined) {
      throw new InvalidStateError('an id not in use', 'the id of a session')
    }
    const session = new Session(this.#backing, { id: options.id ?? this.#newId(), base: [], epoch: this.#epoch })
    session.setReserved(CREATED, writeNumber(Math.round(this.wallMs())))
    session.maxInactiveInterval = options.maxInactiveInterval ?? this.#options.maxInactiveInterval
    for (const [name, value] of options.attributes ?? []) session.set(name, value)
    if (options.deferred !== true) this.commit(session, { storeEmpty: true })
    return session
  }

  find(id: string): Session | undefined {
    const session = this.#view(id)
    return session === undefined || this.#isIdle(session) ? undefined : session
  }

  getOrCreate(id: string | undefined, options?: CreateSessionOptions): Session {
    return (id === undefined ? undefined : this.find(id)) ?? this.create(options)
  }

  *ids(): IterableIterator<string> {
    for (const session of this) yield session.id
  }

  *[Symbol.iterator](): IterableIterator<Session> {
    for (const id of [...this.#index.ids()]) {
      const session = this.find(id)
      if (session !== undefined) yield session
    }
  }

  commit(session: Session, options: CommitOptions = {}): Promise<SendReceipt> | undefined {
    if (session.isInvalidated) return undefined
    const pending = session.pending(options.detect ?? this.#options.detect)
    const key = session.key
    const writes = key === undefined ? pending : this.#unlessOvertaken(session, key, pending)
    if (key === undefined) {
      if (options.storeEmpty !== true && ![...writes.keys()].some(isOwn)) return this.#unchanged()
      const all = new Map([...writes, [PUBLIC_ID, Buffer.from(session.id)] as const])
      return this.#send(session, options, send => {
        const issued = this.#parts.store.create(all, send)
        session.stored(issued.key, all)
        return issued
      })
    }
    if (writes.size === 0) return this.#unchanged()
    const receipt = this.#send(session, options, send => this.#parts.store.write(key, writes, send))
    if (receipt === undefined) {
      this.#count.discarded++
      this.#emitter.emit('discarded', { id: session.id, names: [...writes.keys()].filter(isOwn) })
      return undefined
    }
    session.stored(key, writes)
    return receipt
  }

  invalidate(session: Session, options: CommitOptions = {}): Promise<SendReceipt> | undefined {
    const { key } = session
    if (key === undefined) return undefined
    const { store } = this.#parts
    // A record hidden behind this one must not come to light under an id that was logged out.
    const rivals = this.#index.shows(key) ? this.#index.claimants(session.id).filter(other => other !== key) : []
    for (const rival of rivals) store.invalidate(rival)
    return this.#send(session, options, send => store.invalidate(key, send))
  }

  wallMs(): number {
    return this.#parts.clock.wall()
  }

  stats(): SessionStats {
    return { sessions: this.#index.size, ...this.#count }
  }

  on<K extends keyof SessionEvents>(event: K, listener: (...args: SessionEvents[K]) => void): this {
    this.#emitter.on(event, listener)
    return this
  }

  once<K extends keyof SessionEvents>(event: K, listener: (...args: SessionEvents[K]) => void): this {
    this.#emitter.once(event, listener)
    return this
  }

  off<K extends keyof SessionEvents>(event: K, listener: (...args: SessionEvents[K]) => void): this {
    this.#emitter.off(event, listener)
    return this
  }

  #checkStarted(): void {
    if (this.#unsubscribe === undefined) throw new InvalidStateError('a started session manager', 'stopped')
  }

  #newId(): string {
    return Buffer.from(this.#parts.random.bytes(ID_BYTES)).toString('base64url')
  }

  #view(id: string): Session | undefined {
    const key = this.#index.key(id)
    const base = key === undefined ? undefined : this.#parts.store.attributes(key)
    return base === undefined ? undefined : new Session(this.#backing, { id, key, base, epoch: this.#epoch })
  }

  get #epoch(): number {
    return this.#parts.freshness?.epoch ?? 0
  }

  /**
   * A write begun before a stall of this process would bear a newer stamp than what others wrote during it. Without a
   * stall, of two writes to one attribute the later wins.
   */
  #unlessOvertaken(session: Session, key: RecordKey, writes: AttributeWrites): AttributeWrites {
    const { freshness, store } = this.#parts
    if (freshness === undefined || session.epoch === freshness.epoch) return writes
    // Also when both wrote the same: two requests that counted from 5 to 6 are one too few.
    const newer = [...writes.keys()].filter(
      name => isOwn(name) && store.has(key) && !same(store.attribute(key, name), session.base(name)),
    )
    if (newer.length === 0) return writes
    const names = newer.filter(name => !same(writes.get(name), session.base(name)))
    if (names.length > 0) {
      this.#count.overtaken++
      throw new SessionOvertakenError(session.id, names)
    }
    // Written only because the detection writes everything: nobody changed them here.
    return new Map([...writes].filter(([name]) => !newer.includes(name)))
  }

  /** Other members announce uses late, by up to a twentieth of the interval: a session in use must not be refused. */
  #isIdle(session: Session): boolean {
    const intervalMs = session.maxInactiveInterval * 1000
    return intervalMs > 0 && session.idleMs >= intervalMs + Math.min(60_000, intervalMs / 20)
  }

  #changeId(session: Session): Promise<SendReceipt> | undefined {
    const id = this.#newId()
    const { key } = session
    const writes = new Map([[PUBLIC_ID, Buffer.from(id)]])
    if (key === undefined) {
      session.renamed(id)
      return undefined
    }
    const receipt = this.#send(session, {}, send => this.#parts.store.write(key, writes, send))
    session.renamed(id)
    return receipt
  }

  #unchanged(): undefined {
    this.#count.unchanged++
  }

  #send(
    session: Session,
    options: CommitOptions,
    issue: (send: WriteOptions) => IssuedDelta | undefined,
  ): Promise<SendReceipt> | undefined {
    // A write that nobody else would get must not look stored.
    this.#checkStarted()
    let receipt: SendReceipt | undefined
    let waiting: ((receipt: SendReceipt) => void) | undefined
    const settled = (result: SendReceipt): void => {
      if (result.outcome !== 'met') this.#fellShort(session, result)
      if (waiting === undefined) receipt = result
      else waiting(result)
    }
    // Outside of the promise: what is too large to be stored must be thrown, not lost in it.
    const issued = issue({
      ack: options.ack ?? this.#options.ack,
      copies: options.copies ?? this.#options.copies,
      timeoutMs: options.ackTimeoutMs ?? this.#options.ackTimeoutMs,
      settled,
    })
    if (issued === undefined) return undefined
    session.wrote(issued.dot)
    this.#count.committed++
    if (receipt?.outcome === 'met') return Promise.resolve(receipt)
    const known = receipt
    const promise = new Promise<SendReceipt>((resolve, reject) => {
      waiting = result => {
        if (result.outcome === 'met' || this.#options.onShortfall === 'report') resolve(result)
        else reject(new SendError(result.faulty))
      }
      if (known !== undefined) waiting(known)
    })
    // Whoever does not look at the receipt has the event; an unhandled rejection would end the process.
    promise.catch(() => {})
    return promise
  }

  #fellShort(session: Session, receipt: SendReceipt): void {
    this.#count.shortfalls++
    this.#emitter.emit('shortfall', { id: session.id, receipt })
  }

  #changed(change: RecordChange): void {
    const { key, cause } = change
    const tell = cause === 'local' || this.#options.notifyListenersOnReplication
    if (change.kind === 'removed') return this.#removed(change, tell)
    const previousId = this.#index.id(key)
    const claims = change.kind === 'created' || change.names.includes(PUBLIC_ID)
    const loser = claims ? this.#claim(key, change.record?.value(PUBLIC_ID)) : undefined
    const id = this.#index.id(key)
    if (id === undefined) return
    if (previousId === undefined && loser !== key) {
      this.#count.created++
      if (tell) this.#emitter.emit('created', { id, cause })
    }
    if (loser !== undefined) this.#end(id, 'replaced', cause, this.#parts.store.attributes(loser), tell)
    if (previousId === undefined || !tell || !this.#index.shows(key)) return
    if (previousId !== id) this.#emitter.emit('idChanged', { id, previousId, cause })
    const names = change.names.filter(isOwn)
    if (names.length > 0) this.#emitter.emit('changed', { id, names, cause })
  }

  #removed(change: RecordChange, tell: boolean): void {
    const id = this.#index.id(change.key)
    if (id === undefined) return
    const shown = this.#index.shows(change.key)
    this.#index.release(change.key)
    // A hidden record's end was told when it was replaced.
    if (shown) this.#end(id, change.reason ?? 'invalidated', change.cause, change.before, tell)
  }

  #end(
    id: string,
    reason: SessionEnd,
    cause: SessionCause,
    before: ReadonlyMap<string, Uint8Array> | undefined,
    tell: boolean,
  ): void {
    this.#count[reason]++
    if (!tell || !this.#emitter.hears('destroyed')) return
    const decode = (): ReadonlyMap<string, unknown> => this.#decodeAll(before ?? new Map())
    let attributes: ReadonlyMap<string, unknown> | undefined
    this.#emitter.emit('destroyed', {
      id,
      reason,
      cause,
      get attributes() {
        attributes ??= decode()
        return attributes
      },
    })
  }

  #decodeAll(attributes: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, unknown> {
    const values = new Map<string, unknown>()
    for (const [name, bytes] of attributes) {
      if (!isOwn(name)) continue
      try {
        values.set(name, this.#codec.decode(bytes))
      } catch {
        this.#count.undecodable++
      }
    }
    return values
  }

  #claim(key: RecordKey, known?: Uint8Array): RecordKey | undefined {
    const bytes = known ?? this.#parts.store.attribute(key, PUBLIC_ID)
    if (bytes === undefined || bytes.length === 0 || bytes.length > ID_LENGTH_MAX) return undefined
    return this.#index.claim(key, decodeText(bytes))
  }

  /** Of two records with one id, the one that took it later; stamps never tie. */
  #precedes(a: RecordKey, b: RecordKey): boolean {
    const left = this.#parts.store.stamp(a, PUBLIC_ID)
    const right = this.#parts.store.stamp(b, PUBLIC_ID)
    if (left === undefined || right === undefined) return left !== undefined || (right === undefined && a < b)
    return compareStamps(left, right) > 0
  }

  #listenerFailed(error: unknown, event: string): void {
    this.#count.listenerErrors++
    if (event !== 'listenerError') this.#emitter.emit('listenerError', error, event)
  }
}

function same(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : sameBytes(a, b)
}

function isOwn(name: string): boolean {
  return !name.startsWith(RESERVED_PREFIX)
}
