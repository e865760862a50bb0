import type { MemberId } from '../membership/member.js'
import { BUCKETS, bucketOf } from './bucket-index.js'
import type { DeltaApplier } from './delta-applier.js'
import type { BucketPart, KeyHash, ReplicationMessage } from './messages.js'
import { sameHash } from './mix.js'
import { isAhead } from './origin-retirement.js'
import type { RecordKey } from './replica-contract.js'
import type { ReplicaState } from './replica-state.js'
import { type Digest, SeenSet } from './seen-set.js'
import { creationDot } from './stamp.js'

type Header = Extract<ReplicationMessage, { kind: 'reconcileHeader' }>
type Chunk = Extract<ReplicationMessage, { kind: 'reconcileChunk' }>

/** What one request covers: twice as much as the last answer did, within these bounds. */
const REQUEST_BUCKETS_MIN = 4
const REQUEST_BUCKETS_MAX = 64
/** Keys it tells the donor that are here, of one bucket and of several: to go through them holds up the donor's deltas. */
const BUCKET_HASHES_MAX = 2_048
const REQUEST_HASHES_MAX = 512
/** How often an unanswered request is repeated, each time after twice as long, up to so many times the first wait. */
const RETRIES_MAX = 6
const BACKOFF_MAX = 4
/** Requests under way: while the donor answers one, the answers to the others are on their way or merged. */
const LANES = 3

/** Every so many-th bucket, asked for one after another. */
interface Lane {
  /** Buckets still to compare, ascending, and how far into the first. */
  todo: number[]
  after: RecordKey | undefined
  /** The number of the last request. */
  request: number
  /** Buckets that have been answered since. */
  answered: number
  activeAtMs: number
  retries: number
  /** The answer to the last request is over and a piece of it is missing. */
  torn: boolean
}

interface Running {
  readonly id: number
  readonly donor: MemberId
  /** The donor's seen-set at the start, which may be claimed at the end. */
  seen: SeenSet | undefined
  /** The same as data. */
  claim: Digest | undefined
  /** The donor has closed what is known of here, or the reverse: what ended a record for one may count as seen there. */
  atOdds: boolean
  /** Buckets that have since gained a record the donor had seen; they are compared once more. */
  readonly stale: Set<number>
  /** What the donor has seen and does not hold: removed with the claim, not before, or equal seen-sets would differ. */
  readonly gone: Set<RecordKey>
  /** What is still to do, by bucket modulo their number; the first counts the time until the header, too. */
  readonly lanes: readonly Lane[]
  requests: number
  /** Something had to be left out, so nothing may be claimed. */
  tainted: boolean
}

/**
 * The pulling side of a state comparison: join, heal, overrun ring. It merges the donor's buckets one after another
 * and only after the last takes over the donor's seen-set. After an interruption another donor's hashes tell what is
 * left: merged buckets are equal and skipped. Where only the first donor knew of a removal, the record comes back
 * rather than being absent under a seen-set equal to the others'.
 */
export class Reconcile {
  readonly #state: ReplicaState
  readonly #applier: DeltaApplier
  readonly #inherit: (header: Header) => void
  readonly #finished: (claimed: boolean) => void
  #running: Running | undefined
  #interrupted = false
  #merging = false
  #nextId = 1

  constructor(
    state: ReplicaState,
    applier: DeltaApplier,
    inherit: (header: Header) => void,
    finished: (claimed: boolean) => void,
  ) {
    this.#state = state
    this.#applier = applier
    this.#inherit = inherit
    this.#finished = finished
  }

  get running(): boolean {
    return this.#running !== undefined
  }

  get donor(): MemberId | undefined {
    return this.#running?.donor
  }

  /** Starts, or goes on after an interruption. Nothing happens while one is running. */
  start(donor: MemberId): void {
    if (this.#running !== undefined) return
    const state = this.#state
    if (this.#interrupted) state.counters.reconcilesResumed++
    this.#interrupted = false
    state.counters.reconciles++
    this.#running = {
      id: this.#nextId++,
      donor,
      seen: undefined,
      claim: undefined,
      atOdds: false,
      stale: new Set(),
      gone: new Set(),
      lanes: Array.from({ length: LANES }, () => ({
        todo: [],
        after: undefined,
        request: 0,
        answered: REQUEST_BUCKETS_MAX,
        activeAtMs: state.now(),
        retries: 0,
        torn: false,
      })),
      requests: 0,
      tainted: false,
    }
    this.#sendStart(this.#running)
  }

  header(message: Header, from: MemberId): void {
    const run = this.#current(message.id, from)
    if (run === undefined || run.seen !== undefined) return
    const state = this.#state
    if (isAhead(state, message.digest)) {
      state.counters.rejectedAhead++
      return this.abandon()
    }
    run.seen = SeenSet.from(message.digest)
    state.donorSeen = run.seen
    run.claim = message.digest
    run.atOdds = state.seen.isAtOdds(message.digest)
    this.#inherit(message)
    if (!state.options.rules.claimV0Last) state.seen.claim(message.digest)
    const buried = new Set(message.buried)
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const differs = !sameHash(message.hashes[bucket]!, state.buckets.hash(bucket))
      if (differs || buried.has(bucket)) laneOf(run, bucket).todo.push(bucket)
      else this.#missed(state.expired.keys(bucket), run)
    }
    for (const lane of run.lanes) {
      lane.retries = 0
      if (lane.todo.length > 0) this.#request(lane, run)
    }
    this.#progress(run)
  }

  chunk(message: Chunk, from: MemberId): void {
    const run = this.#current(message.id, from)
    if (run?.seen === undefined) return
    let lane: Lane | undefined
    for (const part of message.parts) {
      lane = laneOf(run, part.bucket)
      if (!lane.todo.includes(part.bucket)) continue
      // After a lost piece the rest does not join up: the next tick asks again from where we are.
      if (part.bucket !== lane.todo[0] || isBehind(lane.after, part.after)) {
        lane.torn ||= message.last && message.number === lane.request
        return
      }
      // Of a late answer to a request that was repeated.
      if (part.upTo !== undefined && !isBehind(lane.after, part.upTo)) continue
      this.#merge(part, run)
      lane.after = part.upTo
      lane.retries = 0
      lane.activeAtMs = this.#state.now()
      if (part.upTo !== undefined) continue
      lane.todo.shift()
      lane.answered++
    }
    if (lane === undefined || !message.last || message.number !== lane.request) return
    if (lane.todo.length > 0) this.#request(lane, run)
    else this.#progress(run)
  }

  /**
   * A record came in from elsewhere. Where its bucket has been compared already, the donor may have seen its removal
   * before the start, which the claim at the end would then cover while the record stays.
   */
  inserted(key: RecordKey): void {
    const run = this.#running
    if (run?.seen === undefined || this.#merging) return
    const { origin, seq } = creationDot(key)
    if (run.seen.has(origin, seq)) run.stale.add(bucketOf(key))
  }

  /** The donor cannot serve now. */
  busy(id: number, from: MemberId): void {
    if (this.#current(id, from) !== undefined) this.abandon()
  }

  memberDisappeared(id: MemberId): void {
    if (this.#running?.donor === id) this.abandon()
  }

  tick(): void {
    const run = this.#running
    if (run === undefined) return
    if (run.seen === undefined) {
      const lane = run.lanes[0]!
      if (!this.#isDue(lane)) return
      if (++lane.retries > RETRIES_MAX) return this.abandon()
      lane.activeAtMs = this.#state.now()
      this.#sendStart(run)
      return
    }
    for (const lane of run.lanes) {
      if (lane.todo.length === 0 || !(lane.torn || this.#isDue(lane))) continue
      if (++lane.retries > RETRIES_MAX) return this.abandon()
      this.#request(lane, run)
    }
    // The last answer may have done without the piece that said it was the last.
    if (run.lanes.every(({ todo }) => todo.length === 0)) this.#progress(run)
  }

  /** Gives up with this donor; what was merged stays merged. */
  abandon(): void {
    const run = this.#running
    if (run === undefined) return
    this.#end()
    this.#state.counters.reconcilesAbandoned++
    this.#interrupted = run.seen !== undefined
    this.#finished(false)
  }

  #end(): void {
    this.#running = undefined
    this.#state.donorSeen = undefined
  }

  #current(id: number, from: MemberId): Running | undefined {
    const run = this.#running
    return run !== undefined && run.id === id && run.donor === from ? run : undefined
  }

  #sendStart(run: Running): void {
    this.#state.env.send([run.donor], { kind: 'reconcileStart', id: run.id })
  }

  #isDue({ activeAtMs, retries }: Lane): boolean {
    const waitMs = this.#state.options.reconcileTimeoutMs * Math.min(2 ** retries, BACKOFF_MAX)
    return this.#state.now() - activeAtMs >= waitMs
  }

  /** Ends the comparison when all is done, and nothing has to be done again. */
  #progress(run: Running): void {
    if (run.lanes.some(({ todo }) => todo.length > 0)) return
    if (run.stale.size > 0) {
      for (const bucket of [...run.stale].sort((a, b) => a - b)) laneOf(run, bucket).todo.push(bucket)
      run.stale.clear()
      for (const lane of run.lanes) if (lane.todo.length > 0) this.#request(lane, run)
      return
    }
    this.#end()
    const claimed = !run.tainted
    if (claimed) {
      for (const key of run.gone) this.#applier.drop(key, run.seen!, run.atOdds)
      this.#state.counters.originsClosedAsOthers += this.#state.seen.closedBy(run.claim!).length
      this.#state.incomplete = !this.#state.seen.claim(run.claim!)
    }
    this.#finished(claimed)
  }

  #request(lane: Lane, run: Running): void {
    const buckets: number[] = []
    const have: KeyHash[] = []
    const most = Math.min(REQUEST_BUCKETS_MAX, Math.max(REQUEST_BUCKETS_MIN, 2 * lane.answered))
    for (const bucket of lane.todo.slice(0, most)) {
      const isFirst = buckets.length === 0
      const keys = this.#state.keys(bucket).filter(key => !isFirst || isBehind(lane.after, key))
      if (!isFirst && have.length + keys.length > REQUEST_HASHES_MAX) break
      buckets.push(bucket)
      for (const key of keys) {
        if (have.length < BUCKET_HASHES_MAX) have.push({ key, hash: this.#state.hash(key)! })
      }
    }
    const number = ++run.requests
    lane.request = number
    lane.answered = 0
    lane.activeAtMs = this.#state.now()
    lane.torn = false
    const { env } = this.#state
    const { wholeBytes } = env
    const request = { kind: 'reconcileRequest', id: run.id, buckets, after: lane.after, have, number } as const
    env.send([run.donor], wholeBytes === undefined ? request : { ...request, wholeBytes })
  }

  #merge(part: BucketPart, run: Running): void {
    const state = this.#state
    for (const [key, dot] of part.tombstones) this.#applier.takeTombstone(key, dot, true)
    // Before the records are in, since what they bring is held there.
    const inside = state
      .keys(part.bucket)
      .filter(key => isBehind(part.after, key) && (part.upTo === undefined || key <= part.upTo))
    const held = new Set(inside.length === 0 ? [] : part.keys)
    this.#merging = true
    for (const record of part.records) {
      if (!this.#applier.mergePacked(record, run.atOdds)) run.tainted = true
      if (inside.length > 0) held.add(record.key)
    }
    this.#merging = false
    this.#missed(
      inside.filter(key => !held.has(key)),
      run,
    )
  }

  /** What the donor does not hold although it has seen the creation was removed there for good. */
  #missed(keys: Iterable<RecordKey>, run: Running): void {
    for (const key of keys) if (this.#state.provesRemoval(run.seen!, key)) run.gone.add(key)
  }
}

function laneOf(run: Running, bucket: number): Lane {
  return run.lanes[bucket % run.lanes.length]!
}

/** Whether a place in a bucket, or its beginning, comes before a key. */
function isBehind(after: RecordKey | undefined, key: RecordKey | undefined): boolean {
  return key !== undefined && (after === undefined || after < key)
}
