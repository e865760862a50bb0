import type { Peers } from './peers.js'
import type { Reconcile } from './reconcile.js'
import type { ReplicaState } from './replica-state.js'

/** How a member comes by its first copy: by a state transfer from a ready member or, where nobody is ready, as first. */
export class Joining {
  readonly #state: ReplicaState
  readonly #peers: Peers
  readonly #reconcile: Reconcile
  readonly #done: () => void
  readonly #startedAtMs: number
  #retryAtMs = 0

  /** `done`: the copy is complete; called once. */
  constructor(state: ReplicaState, peers: Peers, reconcile: Reconcile, done: () => void) {
    this.#state = state
    this.#peers = peers
    this.#reconcile = reconcile
    this.#done = done
    this.#startedAtMs = state.now()
  }

  /** A joiner transfers the state from a ready member, a random one of them. */
  try(): void {
    if (this.#state.ready || this.#reconcile.running || this.#state.now() < this.#retryAtMs) return
    const donors = this.#peers.ready()
    if (donors.length === 0) return
    this.#reconcile.start(donors[this.#state.env.random.uint32() % donors.length]!.id)
  }

  tick(): void {
    if (!this.#state.ready) this.try()
    if (!this.#state.ready) this.#tryAlone()
  }

  /** Messages of a donor were lost: no reason to wait before the next try. */
  retry(): void {
    this.#retryAtMs = 0
  }

  /** A state transfer is over; `claimed`: with all that its donor had. */
  transferred(claimed: boolean): void {
    if (!claimed) {
      this.#retryAtMs = this.#state.now() + 100 + (this.#state.env.random.uint32() % 100)
    } else if (!this.#state.ready) this.#done()
  }

  /** Nobody is ready: the lowest id of those who wait goes first, and the others transfer from it. */
  #tryAlone(): void {
    if (this.#reconcile.running || this.#peers.ready().length > 0) return
    const waitedMs = this.#state.now() - this.#startedAtMs
    const { env, counters, options } = this.#state
    if (waitedMs < options.joinTimeoutMs) return
    const present = this.#peers.present()
    const first = present.every(peer => peer.heard && env.id < peer.id)
    if (present.length > 0 && !first && waitedMs < 3 * options.joinTimeoutMs) return
    counters.startedAlone++
    this.#done()
  }
}
