import type { DeliveryOutcome } from '../channel/topic.js'
import type { Member, MemberId } from '../membership/member.js'
import type { DisappearedReason } from '../membership/member-table-types.js'
import { AntiEntropy } from './anti-entropy.js'
import { canonicalRecord } from './canonical.js'
import { type CatchUp, catchUpOf } from './catch-up.js'
import type { Delta } from './delta.js'
import { DeltaApplier } from './delta-applier.js'
import { DeltaWriter } from './delta-writer.js'
import { Donor } from './donor.js'
import { Expiry } from './expiry.js'
import { HandOver } from './hand-over.js'
import { Joining } from './joining.js'
import type { Known, ReplicationMessage } from './messages.js'
import type { Hash64 } from './mix.js'
import { OriginRetirement } from './origin-retirement.js'
import { Peers } from './peers.js'
import { Reconcile } from './reconcile.js'
import {
  type AttributeWrites,
  type Dot,
  type IssuedDelta,
  MAX_INACTIVE,
  type RecordChange,
  type RecordKey,
  type RecordStore,
  type Stamp,
  type WriteOptions,
} from './replica-contract.js'
import { type ReplicaOptionsInput, resolveReplicaOptions } from './replica-options.js'
import { type ReplicaEnvironment, ReplicaState } from './replica-state.js'
import type { ReplicaStats } from './replica-stats.js'
import type { Digest } from './seen-set.js'
import { fenceOf, type StallFence } from './stall-fence.js'
import type { AccessStamp } from './stamp.js'
import { TombstoneCollector } from './tombstone-collector.js'
import { Touches } from './touches.js'
import { UpheldRemovals } from './upheld-removals.js'

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
  /** To be asked before this member leaves. */
  readonly handOver: HandOver
  readonly #state: ReplicaState
  readonly #peers: Peers
  readonly #removals: UpheldRemovals
  readonly #applier: DeltaApplier
  readonly #writer: DeltaWriter
  readonly #entropy: AntiEntropy
  readonly #reconcile: Reconcile
  readonly #donor: Donor
  readonly #touches: Touches
  readonly #expiry: Expiry
  readonly #collector: TombstoneCollector
  readonly #listener: ReplicaListener
  readonly #fence: StallFence
  readonly #catchUp: CatchUp
  readonly #joining: Joining
  readonly #retirement: OriginRetirement

  /** @throws {InvalidOptionError} */
  constructor(env: ReplicaEnvironment, options: ReplicaOptionsInput = {}, listener: ReplicaListener = {}) {
    this.#listener = listener
    const state = new ReplicaState(env, resolveReplicaOptions(options), change => this.#changed(change))
    this.#state = state
    this.#peers = new Peers({ id: env.id, name: env.name ?? env.id })
    this.#removals = new UpheldRemovals(state, this.#peers, key => this.#writer.invalidate(key).dot)
    this.#applier = new DeltaApplier(state, key => this.#object(key), this.#removals)
    this.#writer = new DeltaWriter(state, this.#applier)
    this.#retirement = new OriginRetirement(state, this.#peers, () => env.send('all', this.#entropy.digestMessage()))
    this.#entropy = new AntiEntropy(state, this.#peers, this.#retirement, from => this.#reconcile.start(from))
    this.#reconcile = new Reconcile(
      state,
      this.#applier,
      header => this.#inherit(header),
      claimed => this.#joining.transferred(claimed),
    )
    state.inserted = key => this.#reconcile.inserted(key)
    this.#donor = new Donor(state, () => this.#entropy.known())
    this.#touches = new Touches(state, (key, access, ageMs) => this.#applier.use(key, access, ageMs))
    this.#expiry = new Expiry(state, this.#peers, this.#touches, (key, limit) => this.#writer.expire(key, limit))
    this.#collector = new TombstoneCollector(state, this.#peers)
    this.#catchUp = catchUpOf(state, this.#peers)
    this.#fence = fenceOf(state, this.#peers, () => this.#listener.freshened?.())
    this.#joining = new Joining(state, this.#peers, this.#reconcile, () => this.#becomeReady())
    this.handOver = new HandOver(state, this.#peers, this.#entropy, this.#touches)
  }

  get id(): MemberId {
    return this.#state.env.id
  }

  /** For checkers: what this member's writes are numbered under. */
  get origin(): MemberId {
    return this.#state.origin
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
    return this.#state.glance(key)?.lend(name)
  }

  attributes(key: RecordKey): ReadonlyMap<string, Uint8Array> | undefined {
    const live = this.#state.visible(key)?.live()
    // Or reading all sessions in one go would unpack them all.
    this.#state.records.pack()
    return live
  }

  stamp(key: RecordKey, name: string): Stamp | undefined {
    return this.#state.visible(key)?.stamp(name)
  }

  *keys(): IterableIterator<RecordKey> {
    for (const key of this.#state.records.keys()) if (!this.#state.expired.has(key)) yield key
  }

  idleMs(key: RecordKey): number | undefined {
    const record = this.#state.visible(key)
    return record === undefined ? undefined : Math.max(0, this.#state.lastNow - record.usedAtMs)
  }

  /** @throws {MessageTooLargeError} */
  create(writes: AttributeWrites, send?: WriteOptions): IssuedDelta {
    return this.#writer.create(writes, send)
  }

  /** @throws {MessageTooLargeError} */
  write(key: RecordKey, writes: AttributeWrites, send?: WriteOptions): IssuedDelta | undefined {
    return this.#writer.write(key, writes, send)
  }

  invalidate(key: RecordKey, send?: WriteOptions, last?: AttributeWrites): IssuedDelta | undefined {
    return this.has(key) ? this.#writer.invalidate(key, last, send) : undefined
  }

  touch(key: RecordKey): void {
    this.#noticeStall()
    this.#touches.touch(key)
  }

  catchUp(dot: Dot, timeoutMs: number, done: (here: boolean) => void): void {
    this.#catchUp.wait(dot, timeoutMs, done)
  }

  /** `tick` is not called any more, nor `receive`. */
  close(): void {
    this.#catchUp.close()
    this.handOver.close()
  }

  seen(origin: MemberId, seq: number): boolean {
    return this.#state.seen.has(origin, seq)
  }

  present(origin: MemberId): boolean {
    return this.#peers.writer(origin) !== undefined
  }

  /**
   * A message of another member; the answer is what its receipt is built on. `encoded`: its bytes, if they are at hand;
   * they are not kept.
   */
  receive(message: ReplicationMessage, from: MemberId, encoded?: readonly Uint8Array[]): DeliveryOutcome {
    this.#noticeStall(this.#state.env.recent?.())
    const outcome =
      message.kind === 'delta' ? this.#receiveDelta(message.delta, from, encoded) : this.#received(message, from)
    if (this.#fence.up) this.#fence.judge()
    if (this.#catchUp.size > 0) this.#catchUp.merged(message.kind === 'delta' ? message.delta.stamp : undefined)
    this.#state.records.pack()
    return outcome
  }

  #received(message: Exclude<ReplicationMessage, { kind: 'delta' }>, from: MemberId): DeliveryOutcome {
    const peer = this.#peers.get(from)
    switch (message.kind) {
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
        this.#inherit(message)
        this.#entropy.received(message, peer)
        this.#fence.answered(from, message)
        this.#expiry.heard()
        this.#joining.try()
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
    this.#peers.added(member, this.#state.now())
    this.#state.env.send([member.id], this.#entropy.digestMessage())
    this.#fence.memberAdded(member.id)
  }

  /** A member is away. `dead`, it may only be cut off and come back; otherwise it does not. */
  memberDisappeared(member: Pick<Member, 'id'>, reason: DisappearedReason = 'dead'): void {
    this.#noticeStall()
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
    this.#joining.try()
  }

  /** A member lost messages about these records: send their present state; beyond that its digest shows it the rest. */
  refill(member: MemberId, keys: ReadonlySet<RecordKey>, lost: boolean): void {
    this.#state.counters.refills++
    for (const key of keys) {
      if (this.#state.records.has(key) || this.#state.tombstones.has(key)) this.#entropy.fetched(key, member)
    }
    this.#state.env.send([member], this.#entropy.digestMessage())
    if (lost) this.#joining.retry()
  }

  /** To be called every `tickMs`. */
  tick(): void {
    this.#noticeStall()
    this.#state.forgetTime()
    this.#fence.tick()
    this.#catchUp.tick()
    this.handOver.tick()
    const now = this.#state.now()
    this.#peers.forget(now, this.#state.options.forgetMemberAfterMs)
    this.#entropy.tick()
    this.#reconcile.tick()
    this.#joining.tick()
    this.#removals.tick()
    this.#touches.tick()
    this.#expiry.tick()
    if (!this.#donor.donating) this.#collector.tick()
    if (!this.#fence.up) this.#retirement.tick()
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
    if (!this.has(key)) return undefined
    const { context, access } = this.#state.records.peek(key)!
    return { context: new Map(context), access }
  }

  /** For checkers: whether this member is about to end a record for everybody. */
  isUpholding(key: RecordKey): boolean {
    return this.#removals.has(key)
  }

  stats(): ReplicaStats {
    const { records, tombstones, expired, ring, counters } = this.#state
    return {
      ...counters,
      records: this.size,
      unpacked: records.unpacked,
      packedBytes: records.packedBytes,
      tombstones: tombstones.size,
      expiredKept: expired.size,
      ringBytes: ring.bytes,
      fetching: this.#entropy.fetching,
      checking: this.#expiry.rounds,
      touchesPending: this.#touches.pending,
      reconciling: this.#reconcile.running,
      catchUpWaits: this.#catchUp.waits,
      catchUpTimeouts: this.#catchUp.timeouts,
      fencedMs: this.#fence.fencedMs,
      fenceTimeouts: this.#fence.timeouts,
    }
  }

  /** An expiry met a record that was used later: a delta of our own, newer than the expiry, shows it everywhere. */
  #object(key: RecordKey): void {
    if (!this.#state.options.rules.renewAsDelta) {
      this.#touches.announce([key])
      return
    }
    this.#writer.renew(key)
  }

  #receiveDelta(delta: Delta, from: MemberId, encoded: readonly Uint8Array[] | undefined): DeliveryOutcome {
    const applied = this.#applier.apply(delta, 'remote', encoded, this.#state.lastNow)
    if (applied === 'refused') return 'rejected'
    if (applied === 'fetch') {
      this.#state.counters.deferred++
      if (!this.ready) this.#state.deferred.add(delta.key, delta.stamp)
      // What is not here at all while joining is on its way with the state transfer.
      if (this.ready || this.#state.records.has(delta.key)) this.#entropy.fetch(delta.key, from)
    }
    const merged = applied === 'done' && (this.ready || this.has(delta.key))
    return merged || !this.#state.options.rules.ackAfterMerge ? 'applied' : 'deferred'
  }

  /** Takes over what another member knows beside the records. */
  #inherit(known: Known): void {
    this.#retirement.inherit(known)
    const { rules, forgetMemberAfterMs } = this.#state.options
    if (rules.inheritAbsent) this.#peers.inherit(known.members, this.#state.now(), forgetMemberAfterMs)
  }

  #changed(change: RecordChange): void {
    if (change.cause === 'remote') this.#fence.changed()
    if (change.kind === 'removed') this.#expiry.removed(change.key)
    else if (change.kind === 'created' || change.names.includes(MAX_INACTIVE)) {
      this.#expiry.file(change.key, change.record)
    }
    this.#listener.changed?.(change)
  }

  #becomeReady(): void {
    this.#state.ready = true
    this.#state.deferred.clear()
    this.#state.env.send('all', this.#entropy.digestMessage())
    this.#listener.ready?.()
  }

  /** Ticks have stopped for longer than timers are ever late: the time in between is nobody's idleness. */
  #noticeStall(now: number = this.#state.env.monotonic()): void {
    // What came in one after another: as far as anybody can tell, it was merged at once.
    if (now === this.#state.lookedAtMs) return
    const lateMs = this.#fence.stall(now)
    this.#state.lookedAtMs = now
    if (lateMs === 0) return
    this.#state.stalledMs += lateMs
    this.#state.counters.stalls++
    this.#expiry.stalled()
    this.#entropy.stalled()
  }
}
