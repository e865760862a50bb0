import type { MemberId } from '../membership/member.js'
import type { Peers } from './peers.js'
import type { Dot, RecordKey } from './replica-contract.js'
import type { ReplicaState } from './replica-state.js'

/** So many a tick: of a whole copy at odds they must not hold up live deltas. */
const DUE_MAX = 500
/** How many members before it a member waits for at most, and how many ticks for each. */
const TURNS_MAX = 4
const TURN_TICKS = 2
/** What has been ended is remembered for so long even where there is no room for its tombstone. */
const ENDED_MS = 30_000
/** Removals waiting, and remembered; beyond, they are upheld at once, and forgotten early. */
const KEPT_MAX = 100_000

interface Ended {
  /** Whose delta did it. */
  readonly origin: MemberId
  readonly atMs: number
}

/**
 * Removals to be upheld: records gone for good here that somebody has gone on with. Whoever meets such a record finds
 * most others meet it, too, so they take turns as with expiries: the first ready member by name ends it for everybody,
 * and the others only when nobody has ended any for a while.
 */
export class UpheldRemovals {
  readonly #state: ReplicaState
  readonly #peers: Peers
  /** Ends a record for everybody, with this delta. */
  readonly #end: (key: RecordKey) => Dot
  /** Since when they wait, oldest first. */
  readonly #waiting = new Map<RecordKey, number>()
  /** Oldest first. */
  readonly #ended = new Map<RecordKey, Ended>()
  /** When another member last ended what waited here. */
  #endedAtMs = -Infinity

  constructor(state: ReplicaState, peers: Peers, end: (key: RecordKey) => Dot) {
    this.#state = state
    this.#peers = peers
    this.#end = end
  }

  /** Whether a removal waits for its turn. */
  has(key: RecordKey): boolean {
    return this.#waiting.has(key)
  }

  /** A record is gone for good, and no delta tells of it, or none that reaches everybody. */
  add(key: RecordKey): void {
    if (!this.#state.options.rules.removalAsDelta || this.#waiting.has(key) || this.#isEnded(key)) return
    if (this.#waiting.size >= KEPT_MAX) this.#uphold(key)
    else this.#waiting.set(key, this.#state.now())
  }

  /** Another member has ended a record. */
  ended(key: RecordKey, dot: Dot): void {
    if (!this.#waiting.delete(key)) return
    this.#endedAtMs = this.#state.now()
    this.#remember(key, dot)
  }

  tick(): void {
    const now = this.#state.now()
    for (const [key, { atMs }] of this.#ended) {
      if (now - atMs < ENDED_MS && this.#ended.size <= KEPT_MAX) break
      this.#ended.delete(key)
    }
    if (this.#waiting.size === 0) return
    const waitMs = this.#turn() * TURN_TICKS * this.#state.options.tickMs
    if (now - this.#endedAtMs < waitMs) return
    let due = 0
    for (const [key, sinceMs] of this.#waiting) {
      if (due === DUE_MAX || now - sinceMs < waitMs) break
      due++
      this.#uphold(key)
    }
  }

  /** Whether a delta tells of a record's end that reaches everybody: of a closed origin it would count as seen. */
  isTold(key: RecordKey): boolean {
    const { tombstones, seen } = this.#state
    const dot = tombstones.get(key)
    return (dot !== undefined && !seen.isClosed(dot.origin)) || this.#isEnded(key)
  }

  #isEnded(key: RecordKey): boolean {
    const ended = this.#ended.get(key)
    return ended !== undefined && !this.#state.seen.isClosed(ended.origin)
  }

  #uphold(key: RecordKey): void {
    this.#waiting.delete(key)
    this.#state.counters.removalsUpheld++
    this.#remember(key, this.#end(key))
  }

  #remember(key: RecordKey, { origin }: Dot): void {
    this.#ended.delete(key)
    this.#ended.set(key, { origin, atMs: this.#state.now() })
  }

  /** How many are to go first: the ready members before this one by name, all of them while it is not ready. */
  #turn(): number {
    const { env, ready } = this.#state
    const name = env.name ?? env.id
    let turn = 0
    for (const peer of this.#peers.ready()) if (!ready || peer.name < name) turn++
    return Math.min(turn, TURNS_MAX)
  }
}
