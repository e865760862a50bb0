import type { MemberId } from '../../lib/membership/member.js'
import type { SimNode } from './sim-node.js'

/** What is as good as having been away for as long as members are remembered. */
const NEARLY = 0.8

/** What of a node tells who was out of its sight. */
export type Witness = Pick<SimNode, 'id' | 'presentSinceMs' | 'lostAtMs'>

/** Who is out of whose sight for longer than members are remembered, and so has no say in what is forgotten. */
export class Absences {
  readonly #apartSinceMs = new Map<string, number>()
  /** When somebody was last forgotten, and by whom. */
  readonly #forgottenAtMs = new Map<MemberId, Map<MemberId, number>>()
  readonly #observed = new Set<MemberId>()
  #beforeMs = 0
  #forgetAfterMs = Infinity
  /** When it was last looked at. */
  observedAtMs = 0

  observe(live: readonly Witness[], now: number, forgetAfterMs: number): void {
    this.#beforeMs = this.observedAtMs
    this.observedAtMs = now
    this.#forgetAfterMs = forgetAfterMs
    for (const one of live) {
      const isNew = !this.#observed.has(one.id)
      this.#observed.add(one.id)
      for (const other of live) {
        if (one === other) continue
        const pair = `${one.id}>${other.id}`
        const isBack = one.presentSinceMs(other.id) !== undefined
        if (!isBack && !this.#apartSinceMs.has(pair)) {
          const lostAtMs = one.lostAtMs(other.id) ?? now
          this.#apartSinceMs.set(pair, isNew ? this.#longestApart(live, other, lostAtMs) : lostAtMs)
        }
        // Also when it is back: it may have been forgotten since the last look.
        if (this.#isLongApart(one, other, now)) this.#forget(other.id, one.id, now)
        if (isBack) this.#apartSinceMs.delete(pair)
      }
    }
  }

  /** Whether anybody may have forgotten a life at this time or later. */
  isForgotten(id: MemberId, sinceMs: number): boolean {
    for (const atMs of this.#forgottenAtMs.get(id)?.values() ?? []) if (atMs >= sinceMs) return true
    return false
  }

  /** Whether a member has forgotten anybody now, between two looks as well, or had when it was last looked at. */
  isForgetful(by: Witness, live: readonly Witness[], now: number): boolean {
    for (const others of this.#forgottenAtMs.values()) if ((others.get(by.id) ?? -1) >= this.#beforeMs) return true
    return live.some(other => this.#isLongApart(by, other, now))
  }

  /** Whether somebody is, or was until it came back, out of another's sight for long enough to be forgotten. */
  #isLongApart(one: Witness, other: Witness, now: number): boolean {
    const sinceMs = this.#apartSinceMs.get(`${one.id}>${other.id}`) ?? now
    return (one.presentSinceMs(other.id) ?? now) - sinceMs > NEARLY * this.#forgetAfterMs
  }

  /** Since when somebody has been out of another's sight: whoever is new hears from the others who is absent. */
  #longestApart(live: readonly Witness[], other: Witness, now: number): number {
    return Math.min(now, ...live.map(({ id }) => this.#apartSinceMs.get(`${id}>${other.id}`) ?? now))
  }

  #forget(id: MemberId, by: MemberId, now: number): void {
    const others = this.#forgottenAtMs.get(id)
    if (others === undefined) this.#forgottenAtMs.set(id, new Map([[by, now]]))
    else others.set(by, now)
  }
}
