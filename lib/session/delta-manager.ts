import { Buffer } from 'node:buffer'
import type { SendReceipt } from '../channel/topic.js'
import { InvalidOptionError, InvalidStateError, SessionOvertakenError } from '../errors.js'
import type { DeltaWrites } from '../replication/delta.js'
import type { IssuedDelta, RecordChange, RecordKey, RecordStore } from '../replication/replica-contract.js'
import { SmallMap } from '../replication/small-map.js'
import type { Freshness } from '../replication/stall-fence.js'
import type { Random } from '../runtime/runtime.js'
import { AttributeScope, isAttribute } from './attribute-scope.js'
import { checkChangeOptions, type DeltaManagerOptions, resolveDeltaManagerOptions } from './delta-manager-options.js'
import { LargeAttributes } from './large-attributes.js'
import { Loan } from './loan.js'
import { LocalAttributes } from './local-attributes.js'
import { LocalRule } from './local-rule.js'
import { type Merged, type MergeStrategy, mergedBy, unlessOvertaken, wholeView } from './merge.js'
import { PRINCIPAL } from './principal.js'
import { type PendingReceipt, Receipts } from './receipts.js'
import type { SessionBacking } from './session.js'
import { CREATED, ENDS_AT, isLifetime, LIFETIME_EXPECTED, PUBLIC_ID, Session, writeNumber } from './session.js'
import { clusterTimeOf, type SessionClocks } from './session-clocks.js'
import { OWN_CODEC, type SessionCodec } from './session-codec.js'
import { noCounts, type SessionCounters } from './session-counters.js'
import { ID_LENGTH_MAX, SessionDirectory } from './session-directory.js'
import { endingOf, type InvalidateOptions } from './session-ending.js'
import type {
  CommitOptions,
  CreateSessionOptions,
  SessionEvents,
  SessionManager,
  SessionStats,
  ViewOptions,
  WriteWhereabouts,
} from './session-manager.js'
import { SessionSignals } from './session-signals.js'
import { CATCH_UP_MS, readWriteToken } from './write-token.js'

/** Random bytes in a session id. */
const ID_BYTES = 24

/** What a DeltaManager works with. */
export interface DeltaManagerParts extends SessionClocks {
  readonly store: RecordStore
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
  readonly #count: SessionCounters = noCounts()
  readonly #directory: SessionDirectory
  readonly #local: LocalAttributes = new LocalAttributes(() => this.#count.localDropped++)
  readonly #rule: LocalRule | undefined
  readonly #large: LargeAttributes
  readonly #receipts: Receipts<Session>
  readonly #scope: AttributeScope
  readonly #clusterMs: () => number
  #unsubscribe: (() => void) | undefined

  /** @throws {InvalidOptionError} when an option is out of range. */
  constructor(parts: DeltaManagerParts, options: DeltaManagerOptions = {}) {
    const resolved = resolveDeltaManagerOptions(options)
    this.#parts = parts
    this.#options = resolved
    this.#codec = parts.codec ?? OWN_CODEC
    this.#clusterMs = clusterTimeOf(parts)
    this.#scope = resolved.application === '' ? AttributeScope.whole : new AttributeScope(resolved)
    this.#rule = LocalRule.of(resolved.exclude, resolved.maxAttributeBytes)
    const { store } = parts
    this.#directory = new SessionDirectory({
      store,
      codec: this.#codec,
      scope: this.#scope,
      local: this.#local,
      count: this.#count,
      tellsRemote: resolved.notifyListenersOnReplication,
    })
    const { emitter, index } = this.#directory
    this.#receipts = new Receipts(resolved, (receipt, { id }) => {
      this.#count.shortfalls++
      emitter.emit('shortfall', { id, receipt })
    })
    this.#large = new LargeAttributes(resolved.warnAttributeBytes, event => {
      this.#count.largeAttributes++
      emitter.emit('largeAttribute', event)
    })
    this.#backing = {
      codec: this.#codec,
      clusterMs: this.#clusterMs,
      idleMs: key => store.idleMs(key),
      holds: key => store.has(key),
      idOf: key => (index.shows(key) ? index.id(key) : undefined),
      touch: key => store.touch(key),
      invalidate: (session, how) => this.invalidate(session, how),
      changeId: (session, options) => this.#changeId(session, options),
      newId: () => this.#newId(),
      signals: new SessionSignals(parts.onChange),
    }
  }

  get size(): number {
    return this.#directory.index.size
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

  whereabouts(token: string): WriteWhereabouts {
    const { store } = this.#parts
    const dot = readWriteToken(token)
    if (dot === undefined || store.seen(dot.origin, dot.seq)) return 'here'
    return store.present(dot.origin) ? 'coming' : 'missing'
  }

  start(): void {
    if (this.#unsubscribe !== undefined) return
    this.#directory.fill()
    this.#unsubscribe = this.#parts.onChange((change: RecordChange) => this.#directory.changed(change))
  }

  /** Ends the sessions first if `expireSessionsOnShutdown`; resolves when their receipts are in. */
  async stop(): Promise<void> {
    if (this.#unsubscribe === undefined) return
    if (this.#options.expireSessionsOnShutdown) {
      const sessions = [...this.#directory.index.ids()]
        .map(id => this.#view(id))
        .filter(session => session !== undefined)
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
    if (options.id !== undefined && this.#directory.index.key(options.id) !== undefined) {
      throw new InvalidStateError('an id not in use', 'the id of a session')
    }
    const { maxLifetime = this.#options.maxLifetime } = options
    const session = this.#open(options.id ?? this.#newId(), undefined, [], options)
    session.setReserved(CREATED, writeNumber(Math.round(this.wallMs())))
    if (maxLifetime !== 0) session.setReserved(ENDS_AT, writeNumber(endOf(maxLifetime, this.#clusterMs())))
    session.maxInactiveInterval = options.maxInactiveInterval ?? this.#options.maxInactiveInterval
    for (const [name, value] of options.attributes ?? []) session.set(name, value)
    if (options.readOnly === true) session.freeze()
    else if (options.deferred !== true) this.commit(session, { storeEmpty: true })
    return session
  }

  find(id: string, options?: ViewOptions): Session | undefined {
    const session = this.#view(id, options)
    if (session === undefined || this.#isIdle(session)) return undefined
    if (session.endsInMs === 0) {
      if (session.key !== undefined && this.#unsubscribe !== undefined) this.#end(session.key)
      return undefined
    }
    if (options?.readOnly === true) session.freeze()
    return session
  }

  getOrCreate(id: string | undefined, options?: CreateSessionOptions): Session {
    return (id === undefined ? undefined : this.find(id, options)) ?? this.create(options)
  }

  *ids(): IterableIterator<string> {
    for (const session of this) yield session.id
  }

  *[Symbol.iterator](): IterableIterator<Session> {
    for (const id of [...this.#directory.index.ids()]) {
      const session = this.find(id)
      if (session !== undefined) yield session
    }
  }

  commit(session: Session, options: CommitOptions = {}): Promise<SendReceipt> | undefined {
    if (session.isInvalidated) return undefined
    if (session.isReadOnly) return this.#unchanged()
    checkChangeOptions(options)
    const { key } = session
    if (key === undefined) return this.#commitNew(session, options)
    const loan = new Loan()
    try {
      return this.#commit(session, key, options, loan)
    } finally {
      loan.end()
    }
  }

  #commitNew(session: Session, options: CommitOptions): Promise<SendReceipt> | undefined {
    const { pendingDelta: delta } = session
    const writes = delta.writes(options.detect ?? this.#options.detect)
    if (writes.size > 0) this.#large.look(writes, delta.scope)
    const isEmpty = delta.kept === undefined && !writes.has(PRINCIPAL) && ![...writes.keys()].some(isAttribute)
    if (options.storeEmpty !== true && isEmpty) return this.#unchanged()
    const all: DeltaWrites = new SmallMap([...writes, [PUBLIC_ID, Buffer.from(session.id)] as const])
    const send = this.#sending(session, options)
    const issued = this.#parts.store.create(all, send)
    this.#stored(session, issued.key, all)
    return this.#sent(session, issued, send)
  }

  #commit(session: Session, key: RecordKey, options: CommitOptions, loan: Loan): Promise<SendReceipt> | undefined {
    const { pendingDelta: delta } = session
    const merge = options.merge ?? this.#options.merge
    const { freshness, store } = this.#parts
    const overtakable = freshness !== undefined && session.epoch !== freshness.epoch
    const isPlain = merge === 'attribute' && !overtakable
    const detect = options.detect ?? this.#options.detect
    // Only where all that is written has just been encoded, by our codec, and nobody compares it with anything.
    const isFresh = this.#codec === OWN_CODEC && (detect === 'set' || detect === 'modified')
    const pending = delta.writes(detect, isFresh && isPlain && this.#rule === undefined ? loan : undefined)
    const merged: Merged = isPlain ? { writes: pending } : this.#merged(session, key, pending, merge, overtakable)
    const { writes, values } = merged
    if (writes.size === 0) {
      if (delta.kept !== undefined && !store.has(key)) return this.#discarded(session, delta.kept.keys())
      if (delta.kept !== undefined || this.#local.size > 0) this.#stored(session, key, writes)
      return this.#unchanged()
    }
    this.#large.look(writes, delta.scope)
    const send = this.#sending(session, options, loan.isEmpty ? undefined : delta.loaded)
    const issued = store.write(key, writes, send)
    if (issued === undefined) return this.#discarded(session, writes.keys())
    if (values !== undefined) for (const [stored, value] of values) delta.adopt(stored, value)
    if (loan.isEmpty) this.#stored(session, key, writes)
    else delta.rebase(loan.written(writes, store, key, issued.stamp))
    return this.#sent(session, issued, send)
  }

  invalidate(session: Session, options: InvalidateOptions = {}): Promise<SendReceipt> | undefined {
    const { key } = session
    if (key === undefined) return undefined
    const last = endingOf(options.why ?? (session.principal === undefined ? undefined : 'logout'))
    const { store } = this.#parts
    const send = this.#sending(session, options)
    // A record hidden behind this one must not come to light under an id that was logged out.
    const rivals = this.#directory.index.shows(key)
      ? this.#directory.index.claimants(session.id).filter(other => other !== key)
      : []
    for (const rival of rivals) store.invalidate(rival)
    return this.#sent(session, store.invalidate(key, send, last), send)
  }

  wallMs(): number {
    return this.#parts.clock.wall()
  }

  stats(): SessionStats {
    return { sessions: this.#directory.index.size, local: this.#local.size, ...this.#count }
  }

  on<K extends keyof SessionEvents>(event: K, listener: (...args: SessionEvents[K]) => void): this {
    this.#directory.emitter.on(event, listener)
    return this
  }

  once<K extends keyof SessionEvents>(event: K, listener: (...args: SessionEvents[K]) => void): this {
    this.#directory.emitter.once(event, listener)
    return this
  }

  off<K extends keyof SessionEvents>(event: K, listener: (...args: SessionEvents[K]) => void): this {
    this.#directory.emitter.off(event, listener)
    return this
  }

  #checkStarted(): void {
    if (this.#unsubscribe === undefined) throw new InvalidStateError('a started session manager', 'stopped')
  }

  #newId(): string {
    return Buffer.from(this.#parts.random.bytes(ID_BYTES)).toString('base64url')
  }

  #view(id: string, options?: ViewOptions): Session | undefined {
    const key = this.#directory.index.key(id)
    const base = key === undefined ? undefined : this.#parts.store.attributes(key)
    return base === undefined ? undefined : this.#open(id, key, base, options)
  }

  #open(
    id: string,
    key: RecordKey | undefined,
    base: Iterable<readonly [string, Uint8Array]>,
    options: ViewOptions | undefined,
  ): Session {
    const epoch = this.#parts.freshness?.epoch ?? 0
    const scope = options?.scope ?? this.#scope
    if (scope === AttributeScope.whole && this.#rule === undefined) {
      return new Session(this.#backing, { id, key, base, epoch })
    }
    const terms = { scope, rule: this.#rule, local: key === undefined ? undefined : this.#local.of(key) }
    return new Session(this.#backing, { id, key, base, epoch, terms })
  }

  /** What a commit writes in view of what others wrote. */
  #merged(session: Session, key: RecordKey, pending: DeltaWrites, merge: MergeStrategy, overtakable: boolean): Merged {
    const { store } = this.#parts
    if (!store.has(key)) return { writes: pending }
    const current = (stored: string): Uint8Array | undefined => store.attribute(key, stored)
    if (typeof merge === 'function') {
      const merged = mergedBy(merge, session, pending, current, this.#codec)
      this.#count.merged += merged.values?.size ?? 0
      return merged
    }
    let writes = pending
    if (overtakable) {
      try {
        writes = unlessOvertaken(session, pending, current)
      } catch (error) {
        if (error instanceof SessionOvertakenError) this.#count.overtaken++
        throw error
      }
    }
    return merge === 'last-write' ? wholeView(session, writes, store.attributes(key)?.keys() ?? []) : { writes }
  }

  /** The writes are in the store: the view goes on from there. */
  #stored(session: Session, key: RecordKey, writes: DeltaWrites): void {
    const { pendingDelta: delta } = session
    session.stored(key)
    if (this.#rule === undefined) return delta.rebase(writes)
    if (delta.kept !== undefined) this.#local.keep(key, delta.kept)
    this.#local.drop(key, delta.unkept())
    delta.rebase(writes, this.#local.of(key))
  }

  /** A session has come to its absolute end. */
  #end(key: RecordKey): void {
    this.#parts.store.invalidate(key, {}, endingOf('expired'))
    this.#count.committed++
  }

  /** Other members announce uses late, by up to a twentieth of the interval: a session in use must not be refused. */
  #isIdle(session: Session): boolean {
    const intervalMs = session.maxInactiveInterval * 1000
    return intervalMs > 0 && session.idleMs >= intervalMs + Math.min(60_000, intervalMs / 20)
  }

  #changeId(session: Session, options: CommitOptions = {}): Promise<SendReceipt> | undefined {
    const id = this.#newId()
    const { key } = session
    const writes = new SmallMap([[PUBLIC_ID, Buffer.from(id)]])
    if (key === undefined) {
      session.renamed(id)
      return undefined
    }
    const send = this.#sending(session, options)
    const receipt = this.#sent(session, this.#parts.store.write(key, writes, send), send)
    session.renamed(id)
    return receipt
  }

  /** The session had ended. */
  #discarded(session: Session, stored: Iterable<string>): undefined {
    this.#count.discarded++
    const names = session.pendingDelta.scope.names(stored)
    this.#directory.emitter.emit('discarded', { id: session.id, names })
  }

  #unchanged(): undefined {
    this.#count.unchanged++
  }

  #sending(session: Session, options: CommitOptions, over?: ReadonlyMap<string, Uint8Array>): PendingReceipt<Session> {
    // A write that nobody else would get must not look stored.
    this.#checkStarted()
    return this.#receipts.of(session, options, over)
  }

  /** Undefined: nothing was issued. */
  #sent(
    session: Session,
    issued: IssuedDelta | undefined,
    send: PendingReceipt<Session>,
  ): Promise<SendReceipt> | undefined {
    if (issued === undefined) return undefined
    session.wrote(issued.dot, issued.bytes)
    this.#count.committed++
    return send.promise()
  }
}

/** When a session that begins now ends, in whole milliseconds of cluster time. */
function endOf(lifetimeSeconds: number, nowMs: number): number {
  if (!isLifetime(lifetimeSeconds)) throw new InvalidOptionError('maxLifetime', LIFETIME_EXPECTED, lifetimeSeconds)
  return Math.ceil(nowMs) + lifetimeSeconds * 1000
}
