import type { MemberId } from '../membership/member.js'
import type { AntiEntropy } from './anti-entropy.js'
import { HEARD_WITHIN_MS, type Peers } from './peers.js'
import type { ReplicaState } from './replica-state.js'
import { type Digest, SeenSet } from './seen-set.js'
import type { Touches } from './touches.js'

/** What the others are asked again after. */
const ASK_AGAIN_MS = 200

/** What the other members are known to have when a member is about to leave. */
export interface HandOverReport {
  /** Records, and removals of records, whose newest state no other member is known to have. */
  readonly undelivered: number
  /** Names of the members that are not known to have everything this one wrote. */
  readonly behind: readonly string[]
}

interface Waiting {
  /** What was here when it began: what others have written since is theirs to spread. */
  readonly target: Digest
  readonly sinceMs: number
  readonly untilMs: number
  readonly done: (report: HandOverReport) => void
}

/**
 * Before a member leaves: waits until every other member has what this one wrote, and what this one has of others' is
 * with at least one of them. The proof is their digests, which they are asked for; a digest once seen stays true as long
 * as that member lives, for nothing is ever unmarked in it.
 */
export class HandOver {
  readonly #state: ReplicaState
  readonly #peers: Peers
  readonly #entropy: AntiEntropy
  readonly #touches: Touches
  readonly #waiting = new Set<Waiting>()
  #askedAtMs = 0

  constructor(state: ReplicaState, peers: Peers, entropy: AntiEntropy, touches: Touches) {
    this.#state = state
    this.#peers = peers
    this.#entropy = entropy
    this.#touches = touches
  }

  /** Calls `done` once, after `timeoutMs` at the latest, to the precision of a tick. Returns how to end the waiting now. */
  start(timeoutMs: number, done: (report: HandOverReport) => void): () => void {
    const sinceMs = this.#state.now()
    const waiting = { target: this.#state.seen.digest(), sinceMs, untilMs: sinceMs + timeoutMs, done }
    this.#waiting.add(waiting)
    this.#touches.flush()
    this.#ask()
    this.tick()
    return () => {
      if (this.#waiting.delete(waiting)) done(this.#report(waiting))
    }
  }

  tick(): void {
    if (this.#waiting.size === 0) return
    const now = this.#state.now()
    const present = this.#peers.present()
    const isAlone = !present.some(peer => peer.heard)
    const isBehind = this.#behind().length > 0
    const held = this.#held()
    for (const waiting of this.#waiting) {
      const isDone = present.length === 0 || (!isBehind && held.covers(waiting.target))
      const isVain = isAlone && now - waiting.sinceMs >= HEARD_WITHIN_MS
      if (!isDone && !isVain && now < waiting.untilMs) continue
      this.#waiting.delete(waiting)
      waiting.done(this.#report(waiting))
    }
    if (this.#waiting.size > 0 && now - this.#askedAtMs >= ASK_AGAIN_MS) this.#ask()
  }

  /** Nothing is heard any more: ends all waiting. */
  close(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const each of waiting) each.done(this.#report(each))
  }

  /** They pull what they lack when they see our digest, and show what they have when they are asked. */
  #ask(): void {
    this.#askedAtMs = this.#state.now()
    this.#state.env.send('all', this.#entropy.digestMessage())
    this.#state.env.send('all', { kind: 'askDigest' })
  }

  #report({ target }: Waiting): HandOverReport {
    const behind = this.#behind()
    const held = this.#held()
    if (behind.length === 0 && held.covers(target)) return { undelivered: 0, behind }
    const { records, tombstones, expired, origin: own } = this.#state
    const handed = SeenSet.from(target)
    const isMissing = (origin: MemberId, seq: number): boolean =>
      !held.has(origin, seq) && (origin === own || handed.has(origin, seq))
    let undelivered = 0
    for (const key of records.keys()) {
      const context = expired.has(key) ? [] : (records.peek(key)?.context ?? [])
      if ([...context].some(([origin, seq]) => isMissing(origin, seq))) undelivered++
    }
    for (const [, { origin, seq }] of tombstones.entries()) if (isMissing(origin, seq)) undelivered++
    return { undelivered, behind }
  }

  #behind(): string[] {
    const { origin, seen } = this.#state
    const written: Digest = [{ origin, base: seen.base(origin), ranges: [] }]
    const lacks = this.#peers.present().filter(peer => peer.heard && peer.seen?.covers(written) !== true)
    return lacks.map(peer => peer.name)
  }

  /** All that at least one other member has. Who has not finished its own state transfer does not count. */
  #held(): SeenSet {
    const held = new SeenSet()
    for (const peer of this.#peers.ready()) if (peer.digest !== undefined) held.claim(peer.digest)
    return held
  }
}
