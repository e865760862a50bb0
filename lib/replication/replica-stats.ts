import type { ReplicaCounters } from './replica-state.js'

/** A snapshot of sizes and counters. */
export interface ReplicaStats extends ReplicaCounters {
  /** Records here that have not expired. */
  readonly records: number
  /** Those of them that are objects, expired ones included. */
  readonly unpacked: number
  /** Bytes outside the heap, for the records that are not objects. */
  readonly packedBytes: number
  /** Invalidations remembered. */
  readonly tombstones: number
  /** Expired records kept until nobody can object any more. */
  readonly expiredKept: number
  /** Bytes of recent deltas kept for members that missed some. */
  readonly ringBytes: number
  /** Records asked for and not yet here. */
  readonly fetching: number
  /** Questions before an expiry that have not been answered by all. */
  readonly checking: number
  /** Uses to be announced. */
  readonly touchesPending: number
  /** Whether a state comparison is running. */
  readonly reconciling: boolean
  /** How often a reader waited for a delta that its client had seen elsewhere; see `SessionManager.whenCaughtUp`. */
  readonly catchUpWaits: number
  /** How often in vain: it did not come in time, nobody else was there, or too many were waiting. */
  readonly catchUpTimeouts: number
  /** Milliseconds that requests were held back after stalls, all together. */
  readonly fencedMs: number
  /** How often such a wait ended at `stallFenceTimeoutMs`, before this copy had caught up. */
  readonly fenceTimeouts: number
}
