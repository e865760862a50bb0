import type { MemberId } from '../membership/member.js'
import type { Peers } from './peers.js'
import type { Dot } from './replica-contract.js'
import type { ReplicaState } from './replica-state.js'

/** Waiting at most; whoever comes then is told at once that the delta is not here. */
const WAITING_MAX = 4_096

/** What a catch-up needs of its replica. */
export interface CatchUpParts {
  monotonic(): number
  seen(dot: Dot): boolean
  /** The other members. */
  present(): readonly MemberId[]
  /** The one of them that writes under an origin, if it is known. */
  writer(origin: MemberId): MemberId | undefined
  /** Asks members for one delta. */
  pull(from: readonly MemberId[], dot: Dot): void
}

interface Waiting {
  readonly dot: Dot
  readonly done: { readonly untilMs: number; readonly run: (here: boolean) => void }[]
}

/**
 * Waits for single deltas that a client is known to have seen the effect of, and asks their writer for them: a session
 * guarantee (read your writes: Terry et al. 1994) for clients that go from member to member.
 */
export class CatchUp {
  /** How often a delta had to be waited for, and how often in vain. */
  waits = 0
  timeouts = 0
  readonly #parts: CatchUpParts
  #waiting = new Map<string, Waiting>()
  #size = 0
  #isClosed = false

  constructor(parts: CatchUpParts) {
    this.#parts = parts
  }

  /** How many are waiting now. */
  get size(): number {
    return this.#size
  }

  /** Calls `done` once: `true` when the delta is part of this copy, `false` when it is not after `timeoutMs`. */
  wait(dot: Dot, timeoutMs: number, done: (here: boolean) => void): void {
    if (this.#parts.seen(dot)) return done(true)
    this.waits++
    const name = nameOf(dot)
    const entry = this.#waiting.get(name)
    const one = { untilMs: this.#parts.monotonic() + timeoutMs, run: done }
    const present = this.#parts.present()
    if (this.#isClosed || present.length === 0 || this.#size >= WAITING_MAX) {
      this.timeouts++
      return done(false)
    }
    this.#size++
    if (entry !== undefined) {
      entry.done.push(one)
      return
    }
    this.#waiting.set(name, { dot, done: [one] })
    const writer = this.#parts.writer(dot.origin)
    this.#parts.pull(writer === undefined ? present : [writer], dot)
  }

  /** Something was merged: this delta, or nobody knows which. */
  merged(dot: Dot | undefined): void {
    const names = dot === undefined ? [...this.#waiting.keys()] : [nameOf(dot)]
    for (const name of names) {
      const entry = this.#waiting.get(name)
      if (entry !== undefined && this.#parts.seen(entry.dot)) this.#settle(name, entry)
    }
  }

  /** Gives up what has waited too long; to be called several times within a time-out. */
  tick(): void {
    if (this.#size === 0) return
    this.merged(undefined)
    this.#giveUp(this.#parts.monotonic())
  }

  /** Nothing comes any more: nobody waits, now or later. */
  close(): void {
    this.#isClosed = true
    this.#giveUp(Infinity)
  }

  #giveUp(now: number): void {
    for (const [name, entry] of [...this.#waiting]) {
      const late = entry.done.filter(({ untilMs }) => now >= untilMs)
      if (late.length === 0) continue
      const rest = entry.done.filter(({ untilMs }) => now < untilMs)
      if (rest.length === 0) this.#waiting.delete(name)
      else this.#waiting.set(name, { dot: entry.dot, done: rest })
      this.timeouts += late.length
      this.#size -= late.length
      for (const { run } of late) run(false)
    }
  }

  #settle(name: string, { done }: Waiting): void {
    this.#waiting.delete(name)
    this.#size -= done.length
    for (const { run } of done) run(true)
  }
}

/** The catch-up of a replica. */
export function catchUpOf({ env, seen }: ReplicaState, peers: Peers): CatchUp {
  return new CatchUp({
    monotonic: () => env.monotonic(),
    seen: ({ origin, seq }) => seen.has(origin, seq),
    present: () => peers.present().map(peer => peer.id),
    writer: origin => peers.writer(origin)?.id,
    pull: (from, { origin, seq }) => {
      env.send(from, { kind: 'pull', missing: [{ origin, ranges: [[seq, seq]] }], hint: true })
    },
  })
}

function nameOf({ origin, seq }: Dot): string {
  return `${origin}#${seq}`
}
