import type { MemberId } from '../membership/member.js'
import type { ReplicationMessage } from './messages.js'
import type { Peers } from './peers.js'
import type { ReplicaState } from './replica-state.js'
import type { Digest } from './seen-set.js'

type DigestMessage = Extract<ReplicationMessage, { kind: 'digest' }>

/** Unanswered questions are repeated after this: the connections may have been reset meanwhile. */
const ASK_AGAIN_MS = 50

/**
 * Whether this member's copy may be relied on, for whoever reads and then writes it. A process that stood still
 * (SIGSTOP, a suspended machine, a blocked event loop) holds an old copy, and its next write would bear a newer stamp
 * than what the others wrote meanwhile.
 */
export interface Freshness {
  /** False from the first call after a stall until the copy has caught up. */
  readonly fresh: boolean
  /** Another number after every stall in which others changed something: what was read before may be old. */
  readonly epoch: number
  /** Undefined: nothing to wait for, which costs one look at the clock. Otherwise fulfilled, never rejected, once fresh. */
  whenFresh(): Promise<void> | undefined
}

/** What a fence needs of its replica. All times are milliseconds of the monotonic clock. */
export interface StallFenceParts {
  readonly tickMs: number
  /** A tick later than this means the process stood still. */
  readonly limitMs: number
  /** The fence opens after this in any case. */
  readonly timeoutMs: number
  monotonic(): number
  /** The other members. */
  present(): readonly MemberId[]
  /** Asks members for their digest; the answer carries the round. */
  ask(to: readonly MemberId[], round: number): void
  /** Whether this copy has all of a digest. */
  covers(digest: Digest): boolean
  opened(): void
}

/** A digest asked for after the stall. */
interface Answer {
  readonly digest: Digest
  /** From a member that is up to date itself: it did not just stand still, and its state transfer is over. */
  readonly whole: boolean
}

/**
 * Notices that the process stood still, and then holds back those who ask `up` until this copy is as good as that of a
 * member that did not: until it has everything one such member names in a digest it was asked for after the stall, or
 * everything all others name when all of them stood still too, or nobody else is there, or the time is up. Answers to
 * earlier questions that lay in the sockets do not count, hence the rounds. Pure: time comes from outside.
 */
export class StallFence {
  /** Fences that opened because the time was up. */
  timeouts = 0
  /** How long fences were up, all together. */
  fencedMs = 0
  readonly #parts: StallFenceParts
  readonly #answers = new Map<MemberId, Answer>()
  #lastTickMs: number
  #upSinceMs: number | undefined
  #askedAtMs = 0
  #round = 0
  #firstRound = 0
  #missedChanges = false
  #epoch = 0

  constructor(parts: StallFenceParts) {
    this.#parts = parts
    this.#lastTickMs = parts.monotonic()
  }

  get up(): boolean {
    return this.#upSinceMs !== undefined
  }

  /** See {@link Freshness.epoch}. */
  get epoch(): number {
    return this.#epoch
  }

  /**
   * How long the process stood still, or 0. To be called before anything else is done, on every way in: after a stall
   * input is often read before timers run.
   */
  stall(now: number = this.#parts.monotonic()): number {
    const lateMs = now - this.#lastTickMs - this.#parts.tickMs
    if (lateMs <= this.#parts.limitMs) return 0
    this.#lastTickMs = now
    this.#raise(now)
    return lateMs
  }

  /** To be called every `tickMs`, after `stall`. */
  tick(): void {
    const now = this.#parts.monotonic()
    this.#lastTickMs = now
    if (this.#upSinceMs === undefined) return
    if (now - this.#upSinceMs >= this.#parts.timeoutMs) {
      this.timeouts++
      this.#missedChanges = true
      this.#open()
      return
    }
    if (now - this.#askedAtMs >= ASK_AGAIN_MS) this.#ask(now)
    this.judge()
  }

  /** A change of another member was merged. */
  changed(): void {
    this.#missedChanges = this.up
  }

  /** Our answer to a question of this round, if it had one. */
  answer(message: DigestMessage, round: number | undefined): DigestMessage {
    return round === undefined ? message : { ...message, round, fenced: this.up }
  }

  /** A digest came. */
  answered(from: MemberId, { digest, ready, round = 0, fenced = false }: DigestMessage): void {
    if (this.#upSinceMs === undefined || round < this.#firstRound) return
    // A joiner cannot be pulled from: that it answered is all there is to wait for.
    this.#answers.set(from, { digest: ready ? digest : [], whole: ready && !fenced })
  }

  /** A member is there, or there again: it has not been asked. */
  memberAdded(id: MemberId): void {
    if (this.#upSinceMs !== undefined) this.#parts.ask([id], this.#round)
  }

  memberDisappeared(id: MemberId): void {
    this.#answers.delete(id)
    this.judge()
  }

  /** Something was merged or somebody left: opens the fence if that was enough. */
  judge(): void {
    if (this.#upSinceMs === undefined) return
    let all = true
    for (const id of this.#parts.present()) {
      const answer = this.#answers.get(id)
      if (answer === undefined || !this.#parts.covers(answer.digest)) all = false
      else if (answer.whole) return this.#open()
    }
    if (all) this.#open()
  }

  #raise(now: number): void {
    this.#upSinceMs = now
    this.#firstRound = this.#round + 1
    this.#answers.clear()
    this.#ask(now)
    this.judge()
  }

  #ask(now: number): void {
    this.#askedAtMs = now
    this.#round++
    const to = this.#parts.present().filter(id => !this.#answers.has(id))
    if (to.length > 0) this.#parts.ask(to, this.#round)
  }

  #open(): void {
    this.fencedMs += this.#parts.monotonic() - (this.#upSinceMs ?? 0)
    if (this.#missedChanges) this.#epoch++
    this.#missedChanges = false
    this.#upSinceMs = undefined
    this.#answers.clear()
    this.#parts.opened()
  }
}

/** The fence of a replica; `opened` is called each time it opens. */
export function fenceOf({ env, options, seen }: ReplicaState, peers: Peers, opened: () => void): StallFence {
  return new StallFence({
    tickMs: options.tickMs,
    limitMs: options.stallFenceMs,
    timeoutMs: options.stallFenceTimeoutMs,
    monotonic: () => env.monotonic(),
    present: () => peers.present().map(peer => peer.id),
    ask: (to, round) => env.send(to, { kind: 'askDigest', round }),
    covers: digest => seen.covers(digest),
    opened,
  })
}
