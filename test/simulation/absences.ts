import type { MemberId } from '../../lib/membership/member.js'
import type { SimNode } from './sim-node.js'

/** What is as good as having been away for as long as members are remembered: nobody samples that exactly. */
const NEARLY = 0.8

/** Who is out of whose sight for longer than members are remembered, and so has no say in what is forgotten. */
export class Absences {
  readonly #apartSinceMs = new Map<string, number>()
  /** When somebody was last forgotten, and by whom. */
  readonly #forgottenAtMs = new Map<MemberId, Map<MemberId, number>>()
  readonly #observed = new Set<MemberId>()
  #beforeMs = 0
  /** When it was last looked at. */
  observedAtMs = 0

  observe(live: readonly SimNode[], now: number, forgetAfterMs: number): void {
    this.#beforeMs = this.observedAtMs
    this.observedAtMs = now
    for (const one of live) {
      const isNew = !this.#observed.has(one.id)
      this.#observed.add(one.id)
      for (const other of live) {
        const pair = `${one.id}>${other.id}`
        if (one === other || one.presentSinceMs(other.id) !== undefined) this.#apartSinceMs.delete(pair)
        else if (!this.#apartSinceMs.has(pair)) {
          this.#apartSinceMs.set(pair, isNew ? this.#longestApart(live, other, now) : now)
        } else if (now - this.#apartSinceMs.get(pair)! > NEARLY * forgetAfterMs) this.#forget(other.id, one.id, now)
      }
    }
  }

  /** Whether anybody may have forgotten a life at this time or later. */
  isForgotten(id: MemberId, sinceMs: number): boolean {
    for (const atMs of this.#forgottenAtMs.get(id)?.values() ?? []) if (atMs >= sinceMs) return true
    return false
  }

  /** Whether a member has forgotten anybody now, or had when it was last looked at. */
  isForgetful(by: MemberId): boolean {
    for (const others of this.#forgottenAtMs.values()) if ((others.get(by) ?? -1) >= this.#beforeMs) return true
    return false
  }

  /** Since when somebody has been out of another's sight: whoever is new hears from the others who is absent. */
  #longestApart(live: readonly SimNode[], other: SimNode, now: number): number {
    return Math.min(now, ...live.map(({ id }) => this.#apartSinceMs.get(`${id}>${other.id}`) ?? now))
  }

  #forget(id: MemberId, by: MemberId, now: number): void {
    const others = this.#forgottenAtMs.get(id)
    if (others === undefined) this.#forgottenAtMs.set(id, new Map([[by, now]]))
    else others.set(by, now)
  }
}
