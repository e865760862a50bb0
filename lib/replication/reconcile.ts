import type { MemberId } from '../membership/member.js'
import { BUCKETS, bucketOf } from './bucket-index.js'
import type { DeltaApplier } from './delta-applier.js'
import type { BucketPart, KeyHash, ReplicationMessage } from './messages.js'
import { sameHash } from './mix.js'
import type { RecordKey } from './replica-contract.js'
import type { ReplicaState } from './replica-state.js'
import { type Digest, SeenSet } from './seen-set.js'
import { creationDot } from './stamp.js'

type Header = Extract<ReplicationMessage, { kind: 'reconcileHeader' }>
type Chunk = Extract<ReplicationMessage, { kind: 'reconcileChunk' }>

/** What one request covers at most. */
const REQUEST_BUCKETS_MAX = 64
const REQUEST_HASHES_MAX = 2_048
const RETRIES_MAX = 12

interface Running {
  readonly id: number
  readonly donor: MemberId
  /** The donor's seen-set at the start, which may be claimed at the end. */
  seen: SeenSet | undefined
  /** The same as data. */
  claim: Digest | undefined
  /** Buckets that have since gained a record the donor had seen; they are compared once more. */
  readonly stale: Set<number>
  /** What the donor has seen and does not hold: removed with the claim, not before, or equal seen-sets would differ. */
  readonly gone: Set<RecordKey>
  /** Buckets still to compare, ascending, and how far into the first. */
  todo: number[]
  after: RecordKey | undefined
  activeAtMs: number
  retries: number
  /** The answer to the last request is over and a piece of it is missing. */
  torn: boolean
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
      stale: new Set(),
      gone: new Set(),
      todo: [],
      after: undefined,
      activeAtMs: state.now(),
      retries: 0,
      torn: false,
      tainted: false,
    }
    this.#sendStart(this.#running)
  }

  header(message: Header, from: MemberId): void {
    const run = this.#current(message.id, from)
    if (run === undefined || run.seen !== undefined) return
    const state = this.#state
    run.seen = SeenSet.from(message.digest)
    run.claim = message.digest
    this.#inherit(message)
    if (!state.options.rules.claimV0Last) state.seen.claim(message.digest)
    const buried = new Set(message.buried)
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const differs = !sameHash(message.hashes[bucket]!, state.buckets.hashes[bucket]!)
      if (differs || buried.has(bucket)) run.todo.push(bucket)
      else this.#missed(state.expired.keys(bucket), run)
    }
    this.#progress(run)
  }

  chunk(message: Chunk, from: MemberId): void {
    const run = this.#current(message.id, from)
    if (run?.seen === undefined) return
    for (const part of message.parts) {
      // After a lost piece the rest does not join up: the next tick asks again from where we are.
      if (part.bucket !== run.todo[0] || part.after !== run.after) {
        run.torn ||= message.last
        return
      }
      this.#merge(part, run)
      run.after = part.upTo
      run.retries = 0
      run.activeAtMs = this.#state.now()
      if (part.upTo !== undefined) continue
      run.todo.shift()
    }
    if (message.last) this.#progress(run)
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
    if (!run.torn && this.#state.now() - run.activeAtMs < this.#state.options.reconcileTimeoutMs) return
    if (++run.retries > RETRIES_MAX) {
      this.abandon()
      return
    }
    run.activeAtMs = this.#state.now()
    if (run.seen === undefined) this.#sendStart(run)
    else this.#request(run)
  }

  /** Gives up with this donor; what was merged stays merged. */
  abandon(): void {
    const run = this.#running
    if (run === undefined) return
    this.#running = undefined
    this.#state.counters.reconcilesAbandoned++
    this.#interrupted = run.seen !== undefined
    this.#finished(false)
  }

  #current(id: number, from: MemberId): Running | undefined {
    const run = this.#running
    return run !== undefined && run.id === id && run.donor === from ? run : undefined
  }

  #sendStart(run: Running): void {
    this.#state.env.send([run.donor], { kind: 'reconcileStart', id: run.id })
  }

  #progress(run: Running): void {
    if (run.todo.length === 0 && run.stale.size > 0) {
      run.todo = [...run.stale].sort((a, b) => a - b)
      run.stale.clear()
    }
    if (run.todo.length > 0) {
      this.#request(run)
      return
    }
    this.#running = undefined
    const claimed = !run.tainted
    if (claimed) {
      for (const key of run.gone) {
        if (this.#state.records.has(key)) this.#state.counters.removedByAbsence++
        this.#state.remove(key, 'invalidated', 'remote')
      }
      this.#state.seen.claim(run.claim!)
      this.#state.incomplete = false
    }
    this.#finished(claimed)
  }

  #request(run: Running): void {
    const buckets: number[] = []
    const have: KeyHash[] = []
    for (const bucket of run.todo.slice(0, REQUEST_BUCKETS_MAX)) {
      const keys = this.#state.keys(bucket)
      if (buckets.length > 0 && have.length + keys.length > REQUEST_HASHES_MAX) break
      buckets.push(bucket)
      for (const key of keys) {
        if (have.length < REQUEST_HASHES_MAX) have.push({ key, hash: this.#state.hash(key)! })
      }
    }
    run.activeAtMs = this.#state.now()
    run.torn = false
    this.#state.env.send([run.donor], { kind: 'reconcileRequest', id: run.id, buckets, after: run.after, have })
  }

  #merge(part: BucketPart, run: Running): void {
    const state = this.#state
    for (const [key, dot] of part.tombstones) this.#applier.takeTombstone(key, dot, true)
    this.#merging = true
    for (const record of part.records) if (!this.#applier.mergeRecord(record, true)) run.tainted = true
    this.#merging = false
    const held = new Set(part.keys)
    const unknown = state.keys(part.bucket).filter(key => {
      const inside = (part.after === undefined || key > part.after) && (part.upTo === undefined || key <= part.upTo)
      return inside && !held.has(key)
    })
    this.#missed(unknown, run)
  }

  /** What the donor does not hold although it has seen the creation was removed there for good. */
  #missed(keys: Iterable<RecordKey>, run: Running): void {
    for (const key of keys) if (this.#state.provesRemoval(run.seen!, key)) run.gone.add(key)
  }
}
