import type { MemberId } from '../membership/member.js'
import type { Stamp } from './replica-contract.js'
import type { AccessStamp } from './stamp.js'

/** A reading of hybrid time: milliseconds on cluster time and a counter below 65,536. */
export interface HybridTime {
  readonly wallMs: number
  readonly counter: number
}

/** How far ahead of one's own cluster time a stamp may be, in milliseconds. */
export const MAX_AHEAD_MS = 10_000
const COUNTER_LIMIT = 65_536

/**
 * Hybrid logical clock (Kulkarni et al., 2014) on the group's cluster time. Pure: the time is handed in.
 * Each stamp is above every earlier one and every stamp observed, so causality beats clocks; a full counter carries
 * into the milliseconds.
 */
export class HybridClock {
  #wallMs = 0
  #counter = 0

  /** The stamp of a write, with `nowMs` of cluster time. */
  stamp(nowMs: number, origin: MemberId, seq: number): Stamp {
    this.#advance(nowMs)
    return { wallMs: this.#wallMs, counter: this.#counter, origin, seq }
  }

  /** The stamp of a use. */
  access(nowMs: number, origin: MemberId): AccessStamp {
    this.#advance(nowMs)
    return { wallMs: this.#wallMs, counter: this.#counter, origin }
  }

  #advance(nowMs: number): void {
    const wall = Math.floor(nowMs)
    if (wall > this.#wallMs) {
      this.#wallMs = wall
      this.#counter = 0
    } else if (++this.#counter === COUNTER_LIMIT) {
      this.#wallMs++
      this.#counter = 0
    }
  }

  /** Raises the clock to a stamp that was seen. Check it with `isAhead` first. */
  observe(stamp: HybridTime | AccessStamp): void {
    if (stamp.wallMs < this.#wallMs || (stamp.wallMs === this.#wallMs && stamp.counter <= this.#counter)) return
    this.#wallMs = stamp.wallMs
    this.#counter = stamp.counter
  }

  /**
   * Whether a stamp is more than 10 s ahead of own now and must be refused. Compared with the time, never with the
   * last value, or a member whose clock was once dragged forward would let the next one through.
   */
  isAhead(stamp: HybridTime | AccessStamp, nowMs: number): boolean {
    return stamp.wallMs > nowMs + MAX_AHEAD_MS
  }
}
