import type { DeliveryOutcome } from '../channel/topic.js'
import type { Member, MemberId } from '../membership/member.js'
import type { DisappearedReason } from '../membership/member-table-types.js'
import { AntiEntropy } from './anti-entropy.js'
import { canonicalRecord } from './canonical.js'
import { type Delta, type DeltaKind, NO_WRITES } from './delta.js'
import { DeltaApplier } from './delta-applier.js'
import { Donor } from './donor.js'
import { Expiry } from './expiry.js'
import type { KnownMember, ReplicationMessage } from './messages.js'
import type { Hash64 } from './mix.js'
import { Peers } from './peers.js'
import { Reconcile } from './reconcile.js'
import { checkLimits } from './record-limits.js'
import {
  type AttributeWrites,
  type IssuedDelta,
  MAX_INACTIVE,
  type RecordChange,
  type RecordKey,
  type RecordStore,
  type Stamp,
  type WriteOptions,
} from './replica-contract.js'
import { type ReplicaOptionsInput, resolveReplicaOptions } from './replica-options.js'
import { type ReplicaCounters, type ReplicaEnvironment, ReplicaState } from './replica-state.js'
import type { Digest } from './seen-set.js'
import { fenceOf, type StallFence } from './stall-fence.js'
import { type AccessStamp, recordKey } from './stamp.js'
import { TombstoneCollector } from './tombstone-collector.js'
import { Touches } from './touches.js'

/** A snapshot of sizes and counters. */
export interface ReplicaStats extends ReplicaCounters {
  readonly records: number
  /** Memory of the records that are not objects. */
  readonly packedBytes: number
  /** Invalidations remembered. */
  readonly tombstones: number
  /** Expired records kept until nobody can object any more. */
  readonly expiredKept: number
  readonly ringBytes: number
  readonly fetching: number
  readonly checking: number
  readonly touchesPending: number
  readonly reconciling: boolean
  /** How long requests were held back after stalls, all together, and how often in vain. See {@link StallFence}. */
  readonly fencedMs: number
  readonly fenceTimeouts: number
}

/** What a replica tells its owner. */
export interface ReplicaListener {
  /** After a delta or record is merged. Must not throw. */
  changed?(change: RecordChange): void
  /** Once: the state transfer is over, or nobody was there to transfer from. */
  ready?(): void
  /** The copy has caught up after a stall; see {@link Replica.fresh}. */
  freshened?(): void
}

/**
 * One member's copy of a scope: a synchronous state machine of messages, membership and ticks. Writes are accepted at
 * once and spread; copies converge whatever the network does. It reads time, sends and draws lots only through its
 * environment, so the same code runs on a simulated network.
 */
export class Replica implements RecordStore {
  readonly #state: ReplicaState
  readonly #peers: Peers
  readonly #applier: DeltaApplier
  readonly #entropy: AntiEntropy
  readonly #reconcile: Reconcile
  readonly #donor: Donor
  readonly #touches: Touches
  readonly #expiry: Expiry
  readonly #collector: TombstoneCollector
  readonly #listener: ReplicaListener
  readonly #fence: StallFence
  readonly #startedAtMs: number
  #seq = 0
  #retryAtMs = 0

  /** @throws {InvalidOptionError} */
  constructor(env: ReplicaEnvironment, options: ReplicaOptionsInput = {}, listener: ReplicaListener = {}) {
    this.#listener = listener
    const state = new ReplicaState(env, resolveReplicaOptions(options), change => this.#changed(change))
    this.#state = state
    this.#peers = new Peers({ id: env.id, name: env.name ?? env.id })
    this.#applier = new DeltaApplier(state, key => this.#object(key))
    this.#entropy = new AntiEntropy(state, this.#peers, from => this.#reconcile.start(from))
    this.#reconcile = new Reconcile(
      state,
      this.#applier,
      header => this.#inherit(header.members),
      claimed => this.#reconciled(claimed),
    )
    state.inserted = key => this.#reconcile.inserted(key)
    this.#donor = new Donor(state, this.#peers, () => this.#entropy.digest())
    this.#touches = new Touches(state, (key, access, ageMs) => this.#applier.use(key, access, ageMs))
    this.#expiry = new Expiry(state, this.#peers, this.#touches, (key, limit) => this.#issueExpiry(key, limit))
    this.#collector = new TombstoneCollector(state, this.#peers)
    this.#fence = fenceOf(state, this.#peers, () => this.#listener.freshened?.())
    this.#startedAtMs = state.now()
  }

  get id(): MemberId {
    return this.#state.env.id
  }

  get ready(): boolean {
    return this.#state.ready
  }

  /** False from the first call after a stall until this copy has caught up, or `stallFenceTimeoutMs` are over. */
  get fresh(): boolean {
    this.#noticeStall()
    return !this.#fence.up
  }

  /** Another number after every stall in which others changed something. */
  get epoch(): number {
    this.#noticeStall()
    return this.#fence.epoch
  }

  get size(): number {
    return this.#state.records.size - this.#state.expired.size
  }

  has(key: RecordKey): boolean {
    return this.#state.records.has(key) && !this.#state.expired.has(key)
  }

  attribute(key: RecordKey, name: string): Uint8Array | undefined {
    return this.#state.visible(key)?.value(name)
  }

  attributes(key: RecordKey): ReadonlyMap<string, Uint8Array> | undefined {
    return this.#state.visible(key)?.live()
  }

  stamp(key: RecordKey, name: string): Stamp | undefined {
    return this.#state.visible(key)?.stamp(name)
  }

  *keys(): IterableIterator<RecordKey> {
    for (const key of this.#state.records.keys()) if (!this.#state.expired.has(key)) yield key
  }

  idleMs(key: RecordKey): number | undefined {
    const record = this.#state.visible(key)
    return record === undefined ? undefined : Math.max(0, this.#state.now() - record.usedAtMs)
  }

  /** @throws {MessageTooLargeError} */
  create(writes: AttributeWrites, send?: WriteOptions): IssuedDelta {
    checkLimits(writes, undefined)
    this.#state.records.pack()
    return this.#issue('create', recordKey({ origin: this.id, seq: this.#seq + 1 }), writes, send)
  }

  /** @throws {MessageTooLargeError} */
  write(key: RecordKey, writes: AttributeWrites, send?: WriteOptions): IssuedDelta | undefined {
    const record = this.#state.visible(key)
    if (record === undefined) return undefined
    checkLimits(writes, record)
    return this.#issue('write', key, writes, send)
  }

  invalidate(key: RecordKey, send?: WriteOptions): IssuedDelta | undefined {
    return this.has(key) ? this.#issue('invalidate', key, NO_WRITES, send) : undefined
  }

  touch(key: RecordKey): void {
    this.#touches.touch(key)
  }

  /** Whether a delta is part of this copy. */
  seen(origin: MemberId, seq: number): boolean {
    return this.#state.seen.has(origin, seq)
  }

  /** A message of another member; the answer is what its receipt is built on. */
  receive(message: ReplicationMessage, from: MemberId): DeliveryOutcome {
    this.#noticeStall()
    const outcome = this.#received(message, from)
    if (this.#fence.up) this.#fence.judge()
    this.#state.records.pack()
    return outcome
  }

  #received(message: ReplicationMessage, from: MemberId): DeliveryOutcome {
    const peer = this.#peers.get(from)
    switch (message.kind) {
      case 'delta':
        return this.#receiveDelta(message.delta, from)
      case 'record':
        this.#entropy.arrived(message.record.key)
        return this.#applier.mergeRecord(message.record, false) ? 'applied' : 'rejected'
      case 'tombstone':
        this.#entropy.arrived(message.key)
        this.#applier.takeTombstone(message.key, message.dot, false)
        break
      case 'fetch':
        this.#entropy.fetched(message.key, from)
        break
      case 'touches':
        this.#touches.received(message.entries)
        break
      case 'check':
        this.#expiry.check(message.round, message.entries, from)
        break
      case 'checked':
        this.#expiry.checked(message.round, message.later, from)
        break
      case 'askDigest':
        this.#state.env.send([from], this.#fence.answer(this.#entropy.digestMessage(), message.round))
        break
      case 'digest':
        if (peer === undefined || !peer.present) return 'deferred'
        this.#inherit(message.members)
        this.#entropy.received(message, peer)
        this.#fence.answered(from, message)
        this.#expiry.heard()
        this.#tryJoin()
        break
      case 'pull':
        this.#entropy.pulled(message, from)
        break
      case 'notKept':
        this.#entropy.notKept(from)
        break
      case 'reconcileStart':
        this.#donor.start(message.id, from)
        break
      case 'reconcileBusy':
        this.#reconcile.busy(message.id, from)
        break
      case 'reconcileHeader':
        this.#reconcile.header(message, from)
        break
      case 'reconcileRequest':
        this.#donor.request(message, from)
        break
      case 'reconcileChunk':
        this.#reconcile.chunk(message, from)
        break
    }
    return 'applied'
  }

  memberAdded(member: Member): void {
    this.#peers.added(member)
    this.#state.env.send([member.id], this.#entropy.digestMessage())
    this.#fence.memberAdded(member.id)
  }

  /** A member is away. `dead`, it may only be cut off and come back; otherwise it does not. */
  memberDisappeared(member: Pick<Member, 'id'>, reason: DisappearedReason = 'dead'): void {
    this.#peers.disappeared(member.id, reason !== 'dead', this.#state.now())
    this.#entropy.memberDisappeared(member.id)
    this.#donor.finished(member.id)
    this.#expiry.memberDisappeared(member.id)
    this.#reconcile.memberDisappeared(member.id)
    this.#fence.memberDisappeared(member.id)
  }

  /** What goes into the next heartbeat. */
  advertise(): Uint8Array {
    return this.#entropy.advertise()
  }

  advertised(bytes: Uint8Array, from: MemberId): void {
    this.#noticeStall()
    const peer = this.#peers.get(from)
    if (peer === undefined || !peer.present) return
    this.#entropy.advertised(bytes, peer)
    this.#tryJoin()
  }

  /** A member lost messages about these records: send their present state; beyond that its digest shows it the rest. */
  refill(member: MemberId, keys: ReadonlySet<RecordKey>, lost: boolean): void {
    this.#state.counters.refills++
    for (const key of keys) {
      if (this.#state.records.has(key) || this.#state.tombstones.has(key)) this.#entropy.fetched(key, member)
    }
    this.#state.env.send([member], this.#entropy.digestMessage())
    if (lost) this.#retryAtMs = 0
  }

  /** To be called every `tickMs`. */
  tick(): void {
    this.#noticeStall()
    this.#fence.tick()
    const now = this.#state.now()
    this.#peers.forget(now, this.#state.options.forgetMemberAfterMs)
    this.#entropy.tick()
    this.#reconcile.tick()
    if (!this.ready) this.#tryJoin()
    if (!this.ready) this.#tryAlone(now)
    this.#touches.tick()
    this.#expiry.tick()
    if (!this.#donor.donating) this.#collector.tick()
    this.#state.records.pack()
  }

  /** The seen-set. */
  digest(): Digest {
    return this.#state.seen.digest()
  }

  /** All records in a form that is equal on converged members: sorted, without context and access. */
  canonicalRecords(): string[] {
    return [...this.keys()].sort().map(key => canonicalRecord(this.#state.records.peek(key)!))
  }

  bucketHashes(): readonly Hash64[] {
    return this.#state.buckets.hashes
  }

  /** For checkers; not to be changed. */
  get tombstones(): ReadonlySet<RecordKey> {
    return new Set([...this.#state.tombstones.entries()].map(([key]) => key))
  }

  /** For checkers: what a record has applied, and its last use. */
  inspect(key: RecordKey): { context: ReadonlyMap<MemberId, number>; access: AccessStamp } | undefined {
    return this.has(key) ? this.#state.records.peek(key) : undefined
  }

  stats(): ReplicaStats {
    const { records, tombstones, expired, ring, counters } = this.#state
    return {
      ...counters,
      records: this.size,
      packedBytes: records.packedBytes,
      tombstones: tombstones.size,
      expiredKept: expired.size,
      ringBytes: ring.bytes,
      fetching: this.#entropy.fetching,
      checking: this.#expiry.rounds,
      touchesPending: this.#touches.pending,
      reconciling: this.#reconcile.running,
      fencedMs: this.#fence.fencedMs,
      fenceTimeouts: this.#fence.timeouts,
    }
  }

  #issue(
    kind: DeltaKind,
    key: RecordKey,
    writes: AttributeWrites,
    options: WriteOptions = {},
    limit?: AccessStamp,
  ): IssuedDelta {
    const { env, clock, records } = this.#state
    const seq = ++this.#seq
    const stamp: Stamp = { ...clock.tick(env.clusterTime()), origin: env.id, seq }
    const deps = [...(records.get(key)?.context ?? [])]
    const delta: Delta =
      limit === undefined
        ? { kind, key, stamp, deps, writes: new Map(writes) }
        : { kind, key, stamp, deps, writes: new Map(writes), limit }
    this.#applier.apply(delta, 'local')
    const { settled, ...send } = options
    env.send('all', { kind: 'delta', delta }, { ...send, key }, settled)
    return { key, dot: { origin: env.id, seq }, stamp }
  }

  #issueExpiry(key: RecordKey, limit: AccessStamp): void {
    this.#state.counters.expired++
    this.#issue('expire', key, NO_WRITES, {}, limit)
  }

  /** An expiry met a record that was used later: a delta of our own makes whoever dropped it fetch it again. */
  #object(key: RecordKey): void {
    if (!this.#state.options.rules.renewAsDelta) {
      this.#touches.announce([key])
      return
    }
    this.#state.counters.renewed++
    this.#issue('renew', key, NO_WRITES)
  }

  #receiveDelta(delta: Delta, from: MemberId): DeliveryOutcome {
    const applied = this.#applier.apply(delta, 'remote')
    if (applied === 'refused') return 'rejected'
    if (applied === 'fetch') {
      this.#state.counters.deferred++
      if (this.ready) this.#entropy.fetch(delta.key, from)
    }
    const merged = applied === 'done' && (this.ready || this.has(delta.key))
    return merged || !this.#state.options.rules.ackAfterMerge ? 'applied' : 'deferred'
  }

  #inherit(members: readonly KnownMember[]): void {
    const { rules, forgetMemberAfterMs } = this.#state.options
    if (rules.inheritAbsent) this.#peers.inherit(members, this.#state.now(), forgetMemberAfterMs)
  }

  #changed(change: RecordChange): void {
    if (change.cause === 'remote') this.#fence.changed()
    if (change.kind === 'removed') this.#expiry.removed(change.key)
    else if (change.kind === 'created' || change.names.includes(MAX_INACTIVE)) this.#expiry.file(change.key)
    this.#listener.changed?.(change)
  }

  /** A joiner transfers the state from a ready member, a random one of them. */
  #tryJoin(): void {
    if (this.ready || this.#reconcile.running || this.#state.now() < this.#retryAtMs) return
    const donors = this.#peers.ready()
    if (donors.length === 0) return
    this.#reconcile.start(donors[this.#state.env.random.uint32() % donors.length]!.id)
  }

  /** Nobody is ready: the lowest id of those who wait goes first, and the others transfer from it. */
  #tryAlone(now: number): void {
    if (this.#reconcile.running || this.#peers.ready().length > 0) return
    const waitedMs = now - this.#startedAtMs
    const { joinTimeoutMs } = this.#state.options
    if (waitedMs < joinTimeoutMs) return
    const present = this.#peers.present()
    const first = present.every(peer => peer.heard && this.id < peer.id)
    if (present.length > 0 && !first && waitedMs < 3 * joinTimeoutMs) return
    this.#state.counters.startedAlone++
    this.#becomeReady()
  }

  #reconciled(claimed: boolean): void {
    if (!claimed) {
      this.#retryAtMs = this.#state.now() + 100 + (this.#state.env.random.uint32() % 100)
    } else if (!this.ready) this.#becomeReady()
  }

  #becomeReady(): void {
    this.#state.ready = true
    this.#state.env.send('all', this.#entropy.digestMessage())
    this.#listener.ready?.()
  }

  /** Ticks have stopped for longer than timers are ever late: the time in between is nobody's idleness. */
  #noticeStall(): void {
    const lateMs = this.#fence.stall()
    if (lateMs === 0) return
    this.#state.stalledMs += lateMs
    this.#state.counters.stalls++
    this.#expiry.stalled()
    this.#entropy.stalled()
  }
}
