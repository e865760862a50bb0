import type { AckMode, SendReceipt } from '../channel/topic.js'
import type { MemberId } from '../membership/member.js'
import type { FrameRoom } from '../wire/frame-space.js'
import { BucketIndex, bucketOf } from './bucket-index.js'
import { BucketedMap } from './bucketed-map.js'
import { DeferredDots } from './deferred-dots.js'
import type { Context } from './delta.js'
import { DeltaRing } from './delta-ring.js'
import { HybridClock, type HybridTime } from './hybrid-clock.js'
import type { ReplicationMessage } from './messages.js'
import { type Hash64, xor } from './mix.js'
import type { PackedRecord } from './packed-record.js'
import { ReplicaRecord } from './record.js'
import type { RecordSummary } from './record-summary.js'
import { type Glance, RecordTable } from './record-table.js'
import type { AttributeWrites, Dot, RecordChange, RecordKey, RemovalReason } from './replica-contract.js'
import type { ReplicaOptions } from './replica-options.js'
import { SEEN_RANGES_MAX, SeenSet } from './seen-set.js'
import { creationDot } from './stamp.js'

/** How a message is to be sent; see `TopicSendOptions`. */
export interface MessageSendOptions {
  readonly ack?: 'none' | 'received' | 'applied' | undefined
  readonly copies?: number | 'all' | undefined
  readonly timeoutMs?: number | undefined
  readonly bulk?: boolean | undefined
  /** So many bytes go in one frame: the receivers have said that they take them. */
  readonly wholeBytes?: number | undefined
}

/** What a replica is given: its outside world. */
export interface ReplicaEnvironment {
  readonly id: MemberId
  /** The member's configured name, which orders it among the others. Default: the id. */
  readonly name?: string
  /** Hands a message over; `settled` is called once if given. */
  send(
    to: readonly MemberId[] | 'all',
    message: ReplicationMessage,
    options?: MessageSendOptions,
    settled?: (receipt: SendReceipt) => void,
  ): void
  /** Memory to write a delta of so many bytes into, for the way it will be sent. Default: its own. */
  readonly room?: (bytes: number, ack: AckMode) => FrameRoom
  /** Largest message this member takes in one frame. Unset: nobody is told. */
  readonly wholeBytes?: number | undefined
  /** Milliseconds that never step back. */
  monotonic(): number
  /** The same as of the last look, before which nothing came in of what is handed over now. Default: a look. */
  readonly recent?: () => number
  /** Milliseconds since the epoch on the clock the group agrees on. */
  clusterTime(): number
  readonly random: { uint32(): number }
}

/** What a replica has counted since it was made, on this member alone. Counters only grow. */
export interface ReplicaCounters {
  /** Deltas that changed a record here, own ones included; invalidations are not among them. */
  applied: number
  /** Deltas that had been seen before. */
  duplicates: number
  /** Deltas that built on something not here yet; the whole record is fetched instead. */
  deferred: number
  /** Deltas, records and uses left out because they were stamped more than 10 s ahead of the group's clock. */
  rejectedAhead: number
  /** Times something was left to a state comparison because `seenRangesMax` was reached. */
  withoutRoom: number
  /** Whole records asked for. */
  fetches: number
  /** Whole records not asked for because `fetchesMax` were under way; digests bring them later. */
  fetchesRefused: number
  /** Requests for deltas that a digest showed to be missing. */
  pulls: number
  /** Answers that something asked for is no longer kept; a state comparison follows. */
  notKept: number
  /** State comparisons begun, by joining or to repair. */
  reconciles: number
  /** Those of them that followed an interrupted one. */
  reconcilesResumed: number
  /** Those that were given up: the other member was busy, went away, or did not answer. */
  reconcilesAbandoned: number
  /** Records removed because another member had seen their creation and did not hold them. */
  removedByAbsence: number
  /** Records ended for good here that others had gone on with: this member ended them for everybody. */
  removalsUpheld: number
  /**
   * Times another member had seen the same and held other records, repaired by a comparison: a bug of ours, or somebody
   * was cut off for longer than `retireOriginAfterMs`, or than `forgetMemberAfterMs` amid more than `originsMax` lives.
   */
  divergences: number
  /**
   * Records of a state comparison that came with another hash than theirs: a bug, or an incompatible version. The hash
   * of one in 64 is looked at, and of all after the first wrong one.
   */
  hashesWrong: number
  /** Expiries this member issued. */
  expired: number
  /** Objections this member issued to an expiry. */
  renewed: number
  /** Expired records that a later use showed again. */
  revived: number
  /** Times the others were asked before an expiry; one question names up to 1,000 records. */
  checks: number
  /** Uses announced to the others. */
  touchesSent: number
  /** Invalidations and expired records forgotten because everybody knew of them. */
  tombstonesCollected: number
  /** Invalidations and expired records that gave way because of `tombstonesMax`. */
  tombstonesOverflowed: number
  /** Those of them that had expired, and so ended for good. */
  expiriesOverflowed: number
  /** Times this process stood still for longer than `stallFenceMs`. */
  stalls: number
  /** 1 when nobody was there to transfer the state from at the start, else 0. */
  startedAlone: number
  /** Times a queue to a member had overflowed, and what it missed was sent. */
  refills: number
  /** Origins of writes this member closed because their lives were over. */
  originsClosed: number
  /** Those of them that were closed early because of `originsMax`. */
  originsOverflowed: number
  /** Origins closed here because another member had closed them. */
  originsClosedAsOthers: number
  /** Times this member went on under a new origin because its own was closed: its clock was behind, or it was long away. */
  originsRenewed: number
}

/**
 * Ranges per origin while joining. Of what the donor had seen at the start, which comes in no order and is claimed at the
 * end, few are marked, or nothing would be left for what is written meanwhile: a gap for each record not here yet.
 */
const JOINING_RANGES_MAX = (3 * SEEN_RANGES_MAX) / 4
const TRANSFERRED_RANGES_MAX = SEEN_RANGES_MAX / 4

const EXPIRED: Hash64 = { high: 0x5bd1e995, low: 0x1f123bb5 }

/** The delta that invalidated a record. `early`: it came before the record's creation, so nothing else tells of the end. */
export interface Tombstone extends Dot {
  readonly early: boolean
}

/** What became of a record by a change: newly shown, shown again after an expiry, shown as before, or not shown. */
export type Shown = 'new' | 'again' | 'still' | 'not'

/** The data of one replica, and the few steps in which they change together. */
export class ReplicaState {
  readonly env: ReplicaEnvironment
  readonly options: ReplicaOptions
  /** All records, the expired ones included. */
  readonly records: RecordTable
  /** The records that have not expired. */
  readonly buckets: BucketIndex = new BucketIndex(key => this.records.has(key) && !this.expired.has(key))
  readonly seen: SeenSet = new SeenSet()
  /** Invalidated records, and the delta that did it. */
  readonly tombstones: BucketedMap<Tombstone> = new BucketedMap()
  /** Records that have expired: kept out of sight until nobody can object any more. */
  readonly expired: BucketedMap<true> = new BucketedMap()
  /** What the donor of a comparison under way had seen at its start. */
  donorSeen: SeenSet | undefined
  /** What was left out while joining. */
  readonly deferred: DeferredDots = new DeferredDots()
  readonly ring: DeltaRing
  readonly clock: HybridClock = new HybridClock()
  readonly counters: ReplicaCounters = {
    applied: 0,
    duplicates: 0,
    deferred: 0,
    rejectedAhead: 0,
    withoutRoom: 0,
    fetches: 0,
    fetchesRefused: 0,
    pulls: 0,
    notKept: 0,
    reconciles: 0,
    reconcilesResumed: 0,
    reconcilesAbandoned: 0,
    removedByAbsence: 0,
    removalsUpheld: 0,
    divergences: 0,
    hashesWrong: 0,
    expired: 0,
    renewed: 0,
    revived: 0,
    checks: 0,
    touchesSent: 0,
    tombstonesCollected: 0,
    tombstonesOverflowed: 0,
    expiriesOverflowed: 0,
    stalls: 0,
    startedAlone: 0,
    refills: 0,
    originsClosed: 0,
    originsOverflowed: 0,
    originsClosedAsOthers: 0,
    originsRenewed: 0,
  }
  ready = false
  /** The origin of this member's writes, and the number of the last. */
  origin: MemberId
  issued = 0
  /**
   * How many records are gone without a tombstone that tells of it: early ones that gave way, and what went with the
   * claim of a comparison. Who copies by an older seen-set would miss these removals.
   */
  closures = 0
  /** Something was left out for want of room: only a state comparison brings it. */
  incomplete = false
  /** Time the process stood still, which is no session's idle time. */
  stalledMs = 0
  /** When the local clock was looked at last, by a tick at the latest. */
  lookedAtMs: number
  /** Told of every record that is new here, before it is filled. */
  inserted: (key: RecordKey) => void = () => {}
  /** The group's time when it was last looked at. */
  #clusterMs = 0
  /** How many of the records each origin has created. */
  readonly #created = new Map<MemberId, number>()
  readonly #emit: (change: RecordChange) => void

  constructor(env: ReplicaEnvironment, options: ReplicaOptions, emit: (change: RecordChange) => void) {
    this.env = env
    this.origin = env.id
    this.lookedAtMs = env.monotonic()
    this.options = options
    this.ring = new DeltaRing(options.ringBytes)
    this.records = new RecordTable(options.unpackedRecordsMax)
    this.#emit = emit
  }

  /** Local monotonic milliseconds, without stalls. */
  now(): number {
    return this.env.monotonic() - this.stalledMs
  }

  /** The same, to the precision of a tick: good enough for idleness, without a look at the clock. */
  get lastNow(): number {
    return this.lookedAtMs - this.stalledMs
  }

  /** Whether a stamp is too far ahead of the group's clock; see HybridClock. */
  isAhead(stamp: HybridTime): boolean {
    // The time goes on: what was not ahead a moment ago is not ahead now.
    if (stamp.wallMs <= this.#clusterMs) return false
    this.#clusterMs = this.env.clusterTime()
    return this.clock.isAhead(stamp, this.#clusterMs)
  }

  /** To be called every tick: the group's clock may have been set meanwhile. */
  forgetTime(): void {
    this.#clusterMs = 0
  }

  /** Whether a key's record is gone for good as far as `seen` tells: its creation is known and it is not there. */
  provesRemoval(seen: SeenSet, key: RecordKey): boolean {
    const { origin, seq } = creationDot(key)
    return this.options.rules.ruleR && seen.has(origin, seq)
  }

  /** The records in a bucket, the expired ones included. */
  keys(bucket: number): RecordKey[] {
    return [...this.buckets.keys(bucket), ...this.expired.keys(bucket)]
  }

  /** What a record's copies are compared by: its hash, and whether it is out of sight, which takes only a use to end. */
  hash(key: RecordKey): Hash64 | undefined {
    const hash = this.records.hash(key)
    return hash !== undefined && this.expired.has(key) ? xor(hash, EXPIRED) : hash
  }

  /** A record that is here and has not expired. */
  visible(key: RecordKey): ReplicaRecord | undefined {
    return this.expired.has(key) ? undefined : this.records.get(key)
  }

  /** A look at a record that has not expired; only for now. */
  glance(key: RecordKey): Glance | undefined {
    return this.expired.has(key) ? undefined : this.records.glance(key)
  }

  /** Whether a record is here that this origin has created, an expired one included. */
  holdsOf(origin: MemberId): boolean {
    return this.#created.has(origin)
  }

  /** An empty record; `change` makes it known once it has been filled. */
  insert(key: RecordKey, usedAtMs: number): ReplicaRecord {
    const record = new ReplicaRecord(key, bucketOf(key), usedAtMs)
    this.records.set(key, record)
    this.#count(creationDot(key).origin, 1)
    this.inserted(key)
    return record
  }

  /** Adds a record that is not here, as it came, and notes as seen what it contains. */
  insertPacked(record: PackedRecord, summary: RecordSummary): void {
    const { key, hash, names, origin } = summary
    const glance = this.records.setPacked(key, record, hash, this.now() - record.ageMs)
    this.#count(origin, 1)
    this.inserted(key)
    this.markDots(key, summary, summary.context)
    this.buckets.add(bucketOf(key), key, hash)
    this.emit({ kind: 'created', key, cause: 'remote', names, record: glance })
  }

  /** Notes what a record contains as seen: at once, for where a comparison breaks off there is no claim at its end. */
  markDots(key: RecordKey, { origin, seq }: Dot, context: Context): void {
    if (!this.options.rules.markRecordDots) return
    this.#mark(origin, seq)
    for (const [member, last] of context) if (last !== seq || member !== origin) this.#mark(member, last)
    for (const dot of this.deferred.take(key, context)) this.#mark(dot.origin, dot.seq)
  }

  #mark(origin: MemberId, seq: number): void {
    const isTransferred = !this.ready && this.donorSeen?.has(origin, seq) === true
    this.seen.add(origin, seq, isTransferred ? TRANSFERRED_RANGES_MAX : SEEN_RANGES_MAX)
  }

  /** A record is about to change; what `changed` is to be given afterwards. */
  changing(record: ReplicaRecord, created: boolean): boolean {
    const wasShown = !created && !this.expired.has(record.key)
    if (wasShown) this.buckets.changing(record)
    return wasShown
  }

  /** A record has changed: tells the listeners, now that everything is in place. */
  changed(
    record: ReplicaRecord,
    cause: 'local' | 'remote',
    created: boolean,
    wasShown: boolean,
    names: string[],
  ): Shown {
    const { key, bucket } = record
    const isShown = !record.isExpired
    if (wasShown && isShown) {
      if (names.length > 0) this.emit({ kind: 'changed', key, cause, names })
      return 'still'
    }
    if (isShown) {
      if (this.expired.delete(key)) this.counters.revived++
      this.buckets.add(bucket, key, record.hash)
      this.emit({ kind: 'created', key, cause, names: record.attributes.liveNames() })
      return created ? 'new' : 'again'
    }
    this.expired.set(key, true)
    this.#keepBound()
    if (!wasShown) return 'not'
    this.buckets.remove(bucket, key, record.hash)
    this.emit({ kind: 'removed', key, cause, names: [], reason: 'expired', before: record.live() })
    return 'not'
  }

  /**
   * Takes a record out, if it is here; the listeners are told at once, unless it had expired. `last`: what they are told
   * of it beyond what it had.
   */
  remove(key: RecordKey, reason: RemovalReason, cause: 'local' | 'remote', last?: AttributeWrites): void {
    const record = this.records.peek(key)
    if (record === undefined) return
    this.records.delete(key)
    this.#count(creationDot(key).origin, -1)
    if (this.expired.delete(key)) return
    this.buckets.remove(record.bucket, key, record.hash)
    const before = shownLast(record, last)
    this.emit({ kind: 'removed', key, cause, names: [], reason, before })
  }

  /**
   * Whether a dot may still be marked, with `more` others of its origin. What has no room is left out, and a state
   * comparison brings it.
   */
  hasRoom(origin: MemberId, seq: number, more = 0): boolean {
    const rangesMax = this.ready ? this.options.seenRangesMax : JOINING_RANGES_MAX
    if (this.seen.fits(origin, seq, rangesMax - more)) return true
    this.counters.withoutRoom++
    this.incomplete = true
    return false
  }

  /** Remembers that a record is gone for good. */
  bury(key: RecordKey, { origin, seq }: Dot): void {
    const creation = creationDot(key)
    this.tombstones.set(key, { origin, seq, early: !this.seen.has(creation.origin, creation.seq) })
    this.#keepBound()
  }

  /** The oldest give way: "seen and absent" says the same of them, but of an expiry nobody can object any more. */
  #keepBound(): void {
    const { tombstones, expired, counters, options } = this
    while (tombstones.size + expired.size > options.tombstonesMax) {
      counters.tombstonesOverflowed++
      const buried = tombstones.oldest()
      if (buried !== undefined) {
        const { origin, seq } = creationDot(buried)
        this.seen.add(origin, seq)
        if (tombstones.get(buried)!.early) this.closures++
        tombstones.delete(buried)
        continue
      }
      const oldest = expired.oldest()!
      const created = creationDot(oldest)
      this.seen.add(created.origin, created.seq)
      counters.expiriesOverflowed++
      this.remove(oldest, 'expired', 'local')
    }
  }

  #count(origin: MemberId, more: number): void {
    const count = (this.#created.get(origin) ?? 0) + more
    if (count === 0) this.#created.delete(origin)
    else this.#created.set(origin, count)
  }

  emit(change: RecordChange): void {
    this.#emit(change)
  }

  get contentHash(): Hash64 {
    return this.buckets.total
  }
}

/** What a record shows as it goes. */
function shownLast(record: ReplicaRecord, last: AttributeWrites | undefined): ReadonlyMap<string, Uint8Array> {
  if (last === undefined || last.size === 0) return record.live()
  const before = new Map(record.live())
  for (const [name, value] of last) if (value !== undefined) before.set(name, value)
  return before
}
