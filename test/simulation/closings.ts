import type { MemberId } from '../../lib/membership/member.js'
import type { Replica } from '../../lib/replication/replica.js'
import type { RecordKey } from '../../lib/replication/replica-contract.js'
import { creationDot } from '../../lib/replication/stamp.js'
import type { SimNode } from './sim-node.js'

/** Whether all that an origin ever wrote counts as seen, so that nothing tells what of it was. */
export function isClosed(replica: Replica, origin: MemberId): boolean {
  return replica.seen(origin, Number.MAX_SAFE_INTEGER)
}

/**
 * Which origins were closed, and whether those who closed them first had known of them. Who had may not lose a record;
 * who had not was cut off for longer than it takes to retire an origin, or the origin's clock was behind.
 */
export class Closings {
  /** Origins of all writes. */
  readonly #origins = new Set<MemberId>()
  /** What each life has had an entry of. */
  readonly #known = new Map<MemberId, Set<MemberId>>()
  /** Closed origins, and whether nobody who closed them first had known of them. */
  readonly #unknown = new Map<MemberId, boolean>()

  written(origin: MemberId): void {
    this.#origins.add(origin)
  }

  observe(live: readonly SimNode[]): void {
    const closed = new Map<MemberId, boolean>()
    for (const { id, replica } of live) {
      const digest = replica.digest()
      let known = this.#known.get(id)
      if (known === undefined) this.#known.set(id, (known = new Set()))
      if (digest.closedBeforeMs !== undefined) {
        for (const origin of this.#origins) {
          if (this.#unknown.has(origin) || !isClosed(replica, origin)) continue
          closed.set(origin, (closed.get(origin) ?? true) && !known.has(origin))
        }
      }
      for (const { origin } of digest) known.add(origin)
    }
    for (const [origin, isUnknown] of closed) this.#unknown.set(origin, isUnknown)
  }

  /** How a record's origin was closed: `unknown` to all who did it first, `known` to one of them; undefined: it is not. */
  of(key: RecordKey, live: readonly SimNode[]): 'known' | 'unknown' | undefined {
    this.observe(live)
    const isUnknown = this.#unknown.get(creationDot(key).origin)
    return isUnknown === undefined ? undefined : isUnknown ? 'unknown' : 'known'
  }
}
