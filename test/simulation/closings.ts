import type { MemberId } from '../../lib/membership/member.js'
import type { Replica } from '../../lib/replication/replica.js'
import type { Absences } from './absences.js'
import type { SimNode } from './sim-node.js'

/** Whether all that an origin ever wrote counts as seen, so that nothing tells what of it was. */
export function isClosed(replica: Replica, origin: MemberId): boolean {
  return replica.seen(origin, Number.MAX_SAFE_INTEGER)
}

/**
 * How an origin was closed. `unknown`: by members who had not known of it, since they were cut off for longer than it
 * takes to retire an origin, or the origin's clock was behind. `apart`: by one who may have forgotten some other member.
 * Those who closed it `rightly` may not have lost a record.
 */
export type Closing = 'rightly' | 'unknown' | 'apart'

/** Which origins were closed, and how. */
export class Closings {
  readonly #absences: Absences
  /** Origins of all writes. */
  readonly #origins = new Set<MemberId>()
  /** What each life has had an entry of, and how many origins it had closed by itself. */
  readonly #known = new Map<MemberId, { readonly origins: Set<MemberId>; closed: number }>()
  readonly #closings = new Map<MemberId, Closing>()

  constructor(absences: Absences) {
    this.#absences = absences
  }

  written(origin: MemberId): void {
    this.#origins.add(origin)
  }

  observe(live: readonly SimNode[], now: number): void {
    const closers = new Map<MemberId, SimNode[]>()
    const first = new Set<SimNode>()
    for (const node of live) {
      const { id, replica } = node
      let known = this.#known.get(id)
      if (known === undefined) this.#known.set(id, (known = { origins: new Set(), closed: 0 }))
      const { originsClosed } = replica.stats()
      if (originsClosed > known.closed) first.add(node)
      known.closed = originsClosed
      if (replica.digest().closedBeforeMs === undefined) continue
      for (const origin of this.#origins) {
        if (this.#closings.has(origin) || !isClosed(replica, origin)) continue
        const nodes = closers.get(origin)
        if (nodes === undefined) closers.set(origin, [node])
        else nodes.push(node)
      }
    }
    for (const [origin, nodes] of closers) {
      const own = nodes.filter(node => first.has(node))
      this.#closings.set(origin, this.#judge(origin, own.length > 0 ? own : nodes, live, now))
    }
    for (const { id, replica } of live)
      for (const { origin } of replica.digest()) this.#known.get(id)!.origins.add(origin)
  }

  /** How an origin was closed; undefined: it is not. */
  of(origin: MemberId, live: readonly SimNode[], now: number): Closing | undefined {
    this.observe(live, now)
    return this.#closings.get(origin)
  }

  #judge(origin: MemberId, closers: readonly SimNode[], live: readonly SimNode[], now: number): Closing {
    if (!closers.some(({ id }) => this.#known.get(id)!.origins.has(origin))) return 'unknown'
    return closers.some(closer => this.#absences.isForgetful(closer, live, now)) ? 'apart' : 'rightly'
  }
}
