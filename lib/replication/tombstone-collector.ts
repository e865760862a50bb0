import type { MemberId } from '../membership/member.js'
import { allAgree } from './agreement.js'
import type { BucketedMap } from './bucketed-map.js'
import type { Peer, Peers } from './peers.js'
import type { RecordKey } from './replica-contract.js'
import type { ReplicaState } from './replica-state.js'
import { creationDot } from './stamp.js'

/** Entries looked at in one tick. */
const SCAN_MAX = 2_000

/**
 * Forgets removals, never by age. A tombstone goes once its creation has been seen and everybody present who takes part
 * has seen the invalidation. An expired record goes only when every member, absent ones included, has told of the expiry
 * and this member has seen all that they had seen then: having seen an expiry is not agreeing to it.
 */
export class TombstoneCollector {
  readonly #state: ReplicaState
  readonly #peers: Peers
  readonly #tombstones: Scan
  readonly #expired: Scan

  constructor(state: ReplicaState, peers: Peers) {
    this.#state = state
    this.#peers = peers
    this.#tombstones = new Scan(state.tombstones)
    this.#expired = new Scan(state.expired)
  }

  /** Not to be called while somebody is copying them. */
  tick(): void {
    const { tombstones, expired, counters } = this.#state
    if (tombstones.size + expired.size === 0) return
    const holders = this.#peers.holders(this.#state.now())
    if (tombstones.size > 0) {
      for (const key of this.#tombstones.next()) {
        if (!this.#isForgettable(key, holders)) continue
        tombstones.delete(key)
        counters.tombstonesCollected++
      }
    }
    if (expired.size === 0 || !allAgree(this.#state, this.#peers)) return
    for (const key of this.#expired.next()) {
      if (!this.#isSettled(key, holders)) continue
      this.#state.remove(key, 'expired', 'local')
      counters.tombstonesCollected++
    }
  }

  #isForgettable(key: RecordKey, holders: readonly Peer[]): boolean {
    const { seen, options, tombstones } = this.#state
    const creation = creationDot(key)
    if (options.rules.keepTombstoneUntilSeen && !seen.has(creation.origin, creation.seq)) return false
    const dot = tombstones.get(key)!
    return allSaw(holders, dot.origin, dot.seq)
  }

  /** Whether everybody has all of the record, the expiry among it. */
  #isSettled(key: RecordKey, holders: readonly Peer[]): boolean {
    const { context } = this.#state.records.peek(key)!
    return context.every(([origin, seq]) => allSaw(holders, origin, seq))
  }
}

function allSaw(holders: readonly Peer[], origin: MemberId, seq: number): boolean {
  return holders.every(peer => peer.seen?.has(origin, seq) === true)
}

/** Goes round a map, some of it at a time. */
class Scan {
  readonly #map: BucketedMap<unknown>
  #entries: Iterator<[RecordKey, unknown]> | undefined

  constructor(map: BucketedMap<unknown>) {
    this.#map = map
  }

  *next(): Iterable<RecordKey> {
    this.#entries ??= this.#map.entries()
    for (let i = 0; i < SCAN_MAX; i++) {
      const step = this.#entries.next()
      if (step.done === true) {
        this.#entries = undefined
        return
      }
      yield step.value[0]
    }
  }
}
