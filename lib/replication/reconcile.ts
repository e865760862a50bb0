import type { MemberId } from '../membership/member.js'
import { BUCKETS } from './bucket-index.js'
import type { DeltaApplier } from './delta-applier.js'
import type { BucketPart, KeyHash, ReplicationMessage } from './messages.js'
import { sameHash } from './mix.js'
import type { RecordKey } from './replica-contract.js'
import type { ReplicaState } from './replica-state.js'
import { type Digest, intersectDigests, SeenSet } from './seen-set.js'

type Header = Extract<ReplicationMessage, { kind: 'reconcileHeader' }>
type Chunk = Extract<ReplicationMessage, { kind: 'reconcileChunk' }>

/** What one request covers at most. */
const REQUEST_BUCKETS_MAX = 64
const REQUEST_HASHES_MAX = 2_048
const RETRIES_MAX = 12

interface Running {
  readonly id: number
  readonly donor: MemberId
  /** The donor's seen-set at the start. */
  seen: SeenSet | undefined
  /** What may be claimed at the end: the start seen-sets of all donors of this run in common. */
  claim: Digest | undefined
  /** Buckets still to compare, ascending, and how far into the first. */
  todo: number[]
  after: RecordKey | undefined
  /** First bucket not known to be done; where another donor goes on. */
  next: number
  activeAtMs: number
  retries: number
  /** Something had to be left out, so nothing may be claimed. */
  tainted: boolean
}

/**
 * The pulling side of a state comparison: join, heal, overrun ring. It merges the donor's buckets one after another
 * and only after the last takes over the donor's seen-set. Resumable at the next bucket with another donor.
 */
export class Reconcile {
  readonly #state: ReplicaState
  readonly #applier: DeltaApplier
  readonly #inherit: (header: Header) => void
  readonly #finished: (claimed: boolean) => void
  #running: Running | undefined
  #paused: { readonly next: number; readonly claim: Digest | undefined } | undefined
  #nextId = 1

  constructor(
    state: ReplicaState, applier: DeltaApplier, inherit: (header: Header) => void,
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
    const resumed = this.#paused
    this.#paused = undefined
    if (resumed !== undefined && resumed.next > 0) state.counters.reconcilesResumed++
    state.counters.reconciles++
    this.#running = {
      id: this.#nextId++, donor, seen: undefined, claim: resumed?.claim, todo: [], after: undefined,
      next: resumed?.next ?? 0, activeAtMs: state.now(), retries: 0, tainted: false,
    }
    this.#sendStart(this.#running)
  }

  header(message: Header, from: MemberId): void {
    const run = this.#current(message.id, from)
    if (run === undefined || run.seen !== undefined) return
    const state = this.#state
    run.seen = SeenSet.from(message.digest)
    run.claim = run.claim === undefined ? message.digest : intersectDigests(run.claim, message.digest)
    this.#inherit(message)
    if (!state.options.rules.claimV0Last) state.seen.claim(message.digest)
    const buried = new Set(message.buried)
    for (let bucket = run.next; bucket < BUCKETS; bucket++) {
      const differs = !sameHash(message.hashes[bucket]!, state.buckets.hashes[bucket]!)
      if (differs || buried.has(bucket)) run.todo.push(bucket)
    }
    this.#progress(run)
  }

  chunk(message: Chunk, from: MemberId): void {
    const run = this.#current(message.id, from)
    if (run?.seen === undefined) return
    for (const part of message.parts) {
      // After a lost piece the rest does not join up; the time-out asks again from where we are.
      if (part.bucket !== run.todo[0] || part.after !== run.after) return
      this.#merge(part, run)
      run.after = part.upTo
      run.retries = 0
      run.activeAtMs = this.#state.now()
      if (part.upTo !== undefined) continue
      run.todo.shift()
      run.next = part.bucket + 1
    }
    if (message.last) this.#progress(run)
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
    if (run === undefined || this.#state.now() - run.activeAtMs < this.#state.options.reconcileTimeoutMs) return
    if (++run.retries > RETRIES_MAX) {
      this.abandon()
      return
    }
    run.activeAtMs = this.#state.now()
    if (run.seen === undefined) this.#sendStart(run)
    else this.#request(run)
  }

  /** Gives up with this donor, keeping what was achieved for the next. */
  abandon(): void {
    const run = this.#running
    if (run === undefined) return
    this.#running = undefined
    this.#state.counters.reconcilesAbandoned++
    const keep = run.seen !== undefined || run.next > 0
    if (keep && !run.tainted) this.#paused = { next: run.next, claim: run.claim }
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
    if (run.todo.length > 0) {
      this.#request(run)
      return
    }
    this.#running = undefined
    const claimed = !run.tainted
    if (claimed) this.#state.seen.claim(run.claim!)
    this.#finished(claimed)
  }

  #request(run: Running): void {
    const buckets: number[] = []
    const have: KeyHash[] = []
    for (const bucket of run.todo.slice(0, REQUEST_BUCKETS_MAX)) {
      const keys = this.#state.buckets.keys(bucket)
      if (buckets.length > 0 && have.length + keys.size > REQUEST_HASHES_MAX) break
      buckets.push(bucket)
      for (const key of keys) {
        if (have.length < REQUEST_HASHES_MAX) have.push({ key, hash: this.#state.records.get(key)!.hash })
      }
    }
    run.activeAtMs = this.#state.now()
    this.#state.env.send([run.donor], { kind: 'reconcileRequest', id: run.id, buckets, after: run.after, have })
  }

  #merge(part: BucketPart, run: Running): void {
    const state = this.#state
    for (const [key, tombstone] of part.tombstones) this.#applier.takeTombstone(key, tombstone)
    const held = new Set(part.keys)
    // The donor may yet learn of a later use, so an expiry there is no proof; the tombstone has had its say.
    for (const [key, tombstone] of part.tombstones) if (tombstone.limit !== undefined) held.add(key)
    for (const record of part.records) if (!this.#applier.mergeRecord(record)) run.tainted = true
    for (const key of [...state.buckets.keys(part.bucket)]) {
      const inside = (part.after === undefined || key > part.after) && (part.upTo === undefined || key <= part.upTo)
      if (!inside || held.has(key) || !state.provesRemoval(run.seen!, key)) continue
      state.counters.removedByAbsence++
      state.remove(key, 'invalidated', 'remote')
    }
  }
}
