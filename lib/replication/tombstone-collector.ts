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
  /** Who takes part, as of this tick. */
  #holders: readonly Peer[] = []

  constructor(state: ReplicaState, peers: Peers) {
    this.#state = state
    this.#peers = peers
    this.#tombstones = new Scan(state.tombstones)
    this.#expired = new Scan(state.expired)
  }

  /** Not to be called while somebody is copying them. */
  tick(): void {
    const { tombstones, expired, counters } = this.#state
    this.#holders = tombstones.size + expired.size === 0 ? [] : this.#peers.holders(this.#state.now())
    if (tombstones.size > 0) {
      for (const key of this.#tombstones.next()) {
        if (!this.#isForgettable(key)) continue
        tombstones.delete(key)
        counters.tombstonesCollected++
      }
    }
    if (expired.size === 0 || !allAgree(this.#state, this.#peers)) return
    for (const key of this.#expired.next()) {
      if (!this.#isSettled(key)) continue
      this.#state.remove(key, 'expired', 'local')
      counters.tombstonesCollected++
    }
  }

  #isForgettable(key: RecordKey): boolean {
    const { seen, options, tombstones } = this.#state
    const creation = creationDot(key)
    if (options.rules.keepTombstoneUntilSeen && !seen.has(creation.origin, creation.seq)) return false
    const dot = tombstones.get(key)!
    return this.#allSaw(dot.origin, dot.seq)
  }

  /** Whether everybody has all of the record, the expiry among it. */
  #isSettled(key: RecordKey): boolean {
    for (const [origin, seq] of this.#state.records.peek(key)!.context) if (!this.#allSaw(origin, seq)) return false
    return true
  }

  #allSaw(origin: string, seq: number): boolean {
    return this.#holders.every(peer => peer.seen?.has(origin, seq) === true)
  }
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
