import type { SendReceipt } from '../channel/topic.js'
import type { MemberId } from '../membership/member.js'
import { BucketIndex, bucketOf } from './bucket-index.js'
import { DeltaRing } from './delta-ring.js'
import { HybridClock } from './hybrid-clock.js'
import type { ReplicationMessage } from './messages.js'
import { type Hash64, ZERO_HASH } from './mix.js'
import { ReplicaRecord } from './record.js'
import type { RecordChange, RecordKey, RemovalReason } from './replica-contract.js'
import type { ReplicaOptions } from './replica-options.js'
import { SeenSet } from './seen-set.js'
import { creationDot } from './stamp.js'
import { Tombstones } from './tombstones.js'

/** How a message is to be sent; see `TopicSendOptions`. */
export interface MessageSendOptions {
  readonly ack?: 'none' | 'received' | 'applied'
  readonly copies?: number | 'all'
  readonly timeoutMs?: number
  readonly key?: string
  readonly bulk?: boolean
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
  /** Milliseconds that never step back. */
  monotonic(): number
  /** Milliseconds since the epoch on the clock the group agrees on. */
  clusterTime(): number
  readonly random: { uint32(): number }
}

/** What a replica has counted since it was made. */
export interface ReplicaCounters {
  applied: number
  duplicates: number
  deferred: number
  rejectedAhead: number
  unmarked: number
  fetches: number
  fetchesRefused: number
  pulls: number
  notKept: number
  reconciles: number
  reconcilesResumed: number
  reconcilesAbandoned: number
  removedByAbsence: number
  divergences: number
  expired: number
  renewed: number
  revived: number
  checks: number
  touchesSent: number
  tombstonesCollected: number
  tombstonesOverflowed: number
  stalls: number
  startedAlone: number
  refills: number
}

/** The data of one replica, and the few steps in which they change together. */
export class ReplicaState {
  readonly env: ReplicaEnvironment
  readonly options: ReplicaOptions
  readonly records: Map<RecordKey, ReplicaRecord> = new Map()
  readonly buckets: BucketIndex = new BucketIndex()
  readonly seen: SeenSet = new SeenSet()
  readonly tombstones: Tombstones = new Tombstones()
  readonly ring: DeltaRing
  readonly clock: HybridClock = new HybridClock()
  readonly counters: ReplicaCounters = {
    applied: 0,
    duplicates: 0,
    deferred: 0,
    rejectedAhead: 0,
    unmarked: 0,
    fetches: 0,
    fetchesRefused: 0,
    pulls: 0,
    notKept: 0,
    reconciles: 0,
    reconcilesResumed: 0,
    reconcilesAbandoned: 0,
    removedByAbsence: 0,
    divergences: 0,
    expired: 0,
    renewed: 0,
    revived: 0,
    checks: 0,
    touchesSent: 0,
    tombstonesCollected: 0,
    tombstonesOverflowed: 0,
    stalls: 0,
    startedAlone: 0,
    refills: 0,
  }
  ready = false
  /** Time the process stood still, which is no session's idle time. */
  stalledMs = 0
  /** Told of every record that is new here, before it is filled. */
  inserted: (key: RecordKey) => void = () => {}
  readonly #emit: (change: RecordChange) => void

  constructor(env: ReplicaEnvironment, options: ReplicaOptions, emit: (change: RecordChange) => void) {
    this.env = env
    this.options = options
    this.ring = new DeltaRing(options.ringBytes)
    this.#emit = emit
  }

  /** Local monotonic milliseconds, without stalls. */
  now(): number {
    return this.env.monotonic() - this.stalledMs
  }

  /** Whether a key's record is gone for good as far as `seen` tells: its creation is known and it is not there. */
  provesRemoval(seen: SeenSet, key: RecordKey): boolean {
    const { origin, seq } = creationDot(key)
    return this.options.rules.ruleR && seen.has(origin, seq)
  }

  /** An empty record; `changed` makes it known once it has been filled. */
  insert(key: RecordKey, usedAtMs: number): ReplicaRecord {
    const record = new ReplicaRecord(key, bucketOf(key), usedAtMs)
    this.records.set(key, record)
    this.buckets.add(record.bucket, key, record.hash)
    this.inserted(key)
    return record
  }

  /** Runs a change of a record and tells the listeners afterwards, when everything is in place. */
  change(
    record: ReplicaRecord,
    cause: 'local' | 'remote',
    created: boolean,
    run: () => string[],
    done?: () => void,
  ): void {
    const before: Hash64 = record.hash
    const names = run()
    this.buckets.replace(record.bucket, before, record.hash)
    done?.()
    if (created) this.emit({ kind: 'created', key: record.key, cause, names: [...record.live().keys()] })
    else if (names.length > 0) this.emit({ kind: 'changed', key: record.key, cause, names })
  }

  /** Takes a record out, if it is here; the listeners are told at once. */
  remove(key: RecordKey, reason: RemovalReason, cause: 'local' | 'remote'): void {
    const record = this.records.get(key)
    if (record === undefined) return
    this.records.delete(key)
    this.buckets.remove(record.bucket, key, record.hash)
    this.emit({ kind: 'removed', key, cause, names: [], reason, before: record.live() })
  }

  /** Marks a dot; without room for it the data stay and the dot is counted. */
  mark(origin: MemberId, seq: number): boolean {
    const marked = this.seen.add(origin, seq)
    if (!marked) this.counters.unmarked++
    return marked
  }

  emit(change: RecordChange): void {
    this.#emit(change)
  }

  get contentHash(): Hash64 {
    return this.records.size === 0 ? ZERO_HASH : this.buckets.total
  }
}
