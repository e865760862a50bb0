import { firstIdAt, MEMBER_ID_RANDOM_BYTES, type MemberId, memberId, startedAtMs } from '../membership/member.js'
import { allAgree } from './agreement.js'
import type { EndedLife, Known } from './messages.js'
import type { Peers } from './peers.js'
import type { ReplicaState } from './replica-state.js'
import { type Digest, sameEntry } from './seen-set.js'

/** How often origins are looked at in the time after which they are closed, and how rarely at most. */
const LOOKS = 16
const LOOK_MAX_MS = 60_000

/**
 * Keeps the seen-set from remembering every life of every member for ever. A life that has left or was replaced is
 * closed when, for long enough, no record it created is held: everything it wrote counts as seen from then on, so what
 * is not here of it counts as removed. Of a life that only disappeared nobody knows whether it writes on somewhere, so
 * it is closed only where there are too many.
 *
 * One member closes and the others follow. It does so only with everybody it knows present and when all of them know
 * the same of that life, so nobody present loses anything. What is lost is what only somebody has who was cut off for
 * longer than all that takes, of lives that started meanwhile. Rule R does the removing, in a state comparison.
 */
export class OriginRetirement {
  readonly #state: ReplicaState
  readonly #peers: Peers
  readonly #renewed: () => void
  /** Lives that are over, and since when (`ReplicaState.now`). */
  readonly #ended = new Map<MemberId, number>()
  #nextMs = 0

  /** `renewed`: this member writes under a new origin, which the others should know of. */
  constructor(state: ReplicaState, peers: Peers, renewed: () => void) {
    this.#state = state
    this.#peers = peers
    this.#renewed = renewed
  }

  /** The lives known to be over, for a newcomer: it could not have waited for them. */
  ended(): EndedLife[] {
    const now = this.#state.now()
    return [...this.#ended].map(([origin, sinceMs]) => ({ origin, ageMs: Math.max(0, Math.floor(now - sinceMs)) }))
  }

  /** Takes over which lives are over, and goes on under a new origin where the own one is closed. */
  inherit({ digest, ended = [], open = [] }: Pick<Known, 'digest' | 'ended' | 'open'>): void {
    if (!isAhead(this.#state, digest)) this.#renew(digest)
    for (const origin of open) this.#state.seen.open(origin)
    const now = this.#state.now()
    for (const { origin, ageMs } of ended) {
      const isUs = origin === this.#state.env.id || origin === this.#state.origin
      if (!isUs && this.#peers.get(origin)?.present !== true) this.#end(origin, now - ageMs)
    }
  }

  tick(): void {
    const { options, ready, incomplete } = this.#state
    const now = this.#state.now()
    if (now < this.#nextMs) return
    this.#nextMs = now + Math.min(options.retireOriginAfterMs / LOOKS, LOOK_MAX_MS)
    this.#notice(now)
    if (ready && !incomplete) this.#close(now)
  }

  /**
   * Another member's digest. Takes over its mark; `false`: it has closed what is known of here, and since nobody can
   * tell any more whether it had seen the same of that, a state comparison has to.
   */
  met(digest: Digest): boolean {
    const { seen, options, ready } = this.#state
    if (!options.rules.closeAsOthers || digest.closedBeforeMs === undefined || isAhead(this.#state, digest)) return true
    // The claim of the state transfer does it for a newcomer.
    if (!ready) return true
    if (digest.closedBeforeMs > seen.closedBeforeMs) return false
    if (seen.closedBy(digest).some(origin => !sameEntry(seen.entry(origin), undefined))) return false
    seen.closeAs(digest)
    return true
  }

  /** Nothing written under a closed origin would count. */
  #renew(digest: Digest): void {
    const state = this.#state
    const { closedBeforeMs = 0 } = digest
    if (!state.options.rules.renewOrigin || state.origin >= firstIdAt(closedBeforeMs)) return
    if (digest.some(({ origin }) => origin === state.origin)) return
    const words = Uint32Array.from({ length: 3 }, () => state.env.random.uint32())
    const startMs = Math.max(state.env.clusterTime(), closedBeforeMs, state.seen.closedBeforeMs)
    state.origin = memberId(startMs, new Uint8Array(words.buffer, 0, MEMBER_ID_RANDOM_BYTES))
    state.issued = 0
    state.counters.originsRenewed++
    this.#renewed()
  }

  #end(origin: MemberId, sinceMs: number): void {
    this.#ended.set(origin, Math.min(this.#ended.get(origin) ?? sinceMs, sinceMs))
  }

  /** Who is over since when; all others are given an entry, or the mark would pass whoever has written nothing yet. */
  #notice(now: number): void {
    const { seen, ready } = this.#state
    seen.open(this.#state.origin)
    for (const { id, gone, present, origin } of this.#peers.all()) {
      for (const each of origin === undefined ? [id] : [id, origin]) {
        if (present) this.#ended.delete(each)
        else if (gone) this.#end(each, now)
        if (!gone) seen.open(each)
      }
    }
    if (!ready) return
    for (const origin of this.#ended.keys()) if (seen.entry(origin) === undefined) this.#ended.delete(origin)
  }

  #close(now: number): void {
    const { seen, counters, options } = this.#state
    const due: MemberId[] = []
    for (const [origin, sinceMs] of this.#ended) {
      if (now - sinceMs >= options.retireOriginAfterMs && this.#isOver(origin, options.retireOriginAfterMs))
        due.push(origin)
    }
    const tooMany = seen.size - due.length - options.originsMax
    const early = tooMany > 0 ? this.#early(new Set(due), tooMany) : []
    const closing = [...due, ...early].filter(origin => this.#isSameEverywhere(origin))
    if (closing.length === 0 || !this.#mayClose()) return
    seen.close(closing)
    counters.originsClosed += closing.length
    counters.originsOverflowed += closing.filter(origin => early.includes(origin)).length
    for (const origin of closing) this.#ended.delete(origin)
  }

  /** Whether nothing is held of a life that started so long ago on the group's clock, too. */
  #isOver(origin: MemberId, ageMs: number): boolean {
    if (startedAtMs(origin) >= this.#state.env.clusterTime() - ageMs) return false
    return !this.#state.options.rules.closeUnheldOnly || !this.#state.holdsOf(origin)
  }

  /** What has to give way where there are too many: lives that are over first, then those that disappeared. */
  #early(due: ReadonlySet<MemberId>, count: number): MemberId[] {
    const inUse = new Set([this.#state.env.id, this.#state.origin])
    for (const { id, gone, origin } of this.#peers.all()) {
      if (!gone) inUse.add(id)
      if (!gone && origin !== undefined) inUse.add(origin)
    }
    const rank = (origin: MemberId): number => (this.#ended.has(origin) ? 0 : 1)
    return [...this.#state.seen.origins()]
      .filter(origin => !due.has(origin) && !inUse.has(origin) && this.#isOver(origin, 0))
      .sort((a, b) => rank(a) - rank(b) || startedAtMs(a) - startedAtMs(b))
      .slice(0, count)
  }

  #isSameEverywhere(origin: MemberId): boolean {
    const entry = this.#state.seen.entry(origin)
    return this.#peers.present().every(peer => sameEntry(entry, peer.seen?.entry(origin)))
  }

  /** Whether everybody known is here, can follow, and writes under an origin that is open. */
  #mayClose(): boolean {
    const { seen, env } = this.#state
    const silent = this.#peers.present().filter(({ origin }) => origin === undefined || seen.isClosed(origin))
    if (silent.length === 0) return allAgree(this.#state, this.#peers)
    // What it said may have been lost, or come before it was a member here.
    const to = silent.map(peer => peer.id)
    env.send(to, { kind: 'askDigest' })
    return false
  }
}

/** Whether a mark is further ahead of the group's clock than any stamp may be: nobody's to set. */
export function isAhead({ env, clock }: ReplicaState, { closedBeforeMs = 0 }: Digest): boolean {
  return clock.isAhead({ wallMs: closedBeforeMs, counter: 0 }, env.clusterTime())
}
