import type { Peers } from './peers.js'
import type { RecordKey } from './replica-contract.js'
import type { ReplicaState } from './replica-state.js'
import { creationDot } from './stamp.js'
import type { Tombstone } from './tombstones.js'

/** Tombstones looked at in one tick. */
const SCAN_MAX = 2_000

/**
 * Forgets removals, never by age. An invalidation goes once its creation has been seen and everybody present has it.
 * An expiry goes only when every member, absent ones included, has told of it and this member has seen all that they
 * had seen then: having seen an expiry is not agreeing to it.
 */
export class TombstoneCollector {
  readonly #state: ReplicaState
  readonly #peers: Peers
  #scan: Iterator<[RecordKey, Tombstone]> | undefined

  constructor(state: ReplicaState, peers: Peers) {
    this.#state = state
    this.#peers = peers
  }

  /** With `keep` (somebody is copying them) only the bound is kept. */
  tick(keep: boolean): void {
    const { tombstones, options } = this.#state
    if (tombstones.size > 0 && !keep) this.#collect()
    if (tombstones.size > options.tombstonesMax) this.#overflow()
  }

  #collect(): void {
    const { tombstones, counters } = this.#state
    const settled = this.#allAgree()
    this.#scan ??= tombstones.entries()
    for (let i = 0; i < SCAN_MAX; i++) {
      const step = this.#scan.next()
      if (step.done === true) {
        this.#scan = undefined
        break
      }
      const [key, tombstone] = step.value
      if (!this.#collectable(key, tombstone, settled)) continue
      tombstones.delete(key)
      counters.tombstonesCollected++
    }
  }

  /** Whether nobody is absent and all that the others had seen has been seen here. */
  #allAgree(): boolean {
    for (const peer of this.#peers.all()) {
      if (!peer.present || peer.digest === undefined) return false
      if (!this.#state.options.rules.expiredTombstoneNeedsAgreement) continue
      if (!this.#state.seen.covers(peer.digest)) return false
    }
    return true
  }

  #collectable(key: RecordKey, { dot, limit }: Tombstone, settled: boolean): boolean {
    const creation = creationDot(key)
    const { seen, options } = this.#state
    if (options.rules.keepTombstoneUntilSeen && !seen.has(creation.origin, creation.seq)) return false
    if (limit !== undefined && !settled) return false
    for (const peer of this.#peers.all()) {
      if (peer.present && !(peer.seen?.has(dot.origin, dot.seq) ?? false)) return false
    }
    return true
  }

  /** Too many: invalidations whose creation is seen go first, then the oldest expiries. */
  #overflow(): void {
    const { tombstones, options, seen, counters } = this.#state
    for (const expired of [false, true]) {
      for (const [key, { limit }] of tombstones.entries()) {
        if (tombstones.size <= options.tombstonesMax) return
        const { origin, seq } = creationDot(key)
        if ((limit !== undefined) !== expired || (!expired && !seen.has(origin, seq))) continue
        tombstones.delete(key)
        counters.tombstonesOverflowed++
      }
    }
  }
}
