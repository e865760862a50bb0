import type { SimLink } from './sim-link.js'
import type { SimRandom } from './sim-random.js'
import type { SimStream } from './sim-stream.js'
import type { Simulator } from './simulator.js'

/** Sizes and times of the simulated system's streams. */
export interface StreamLimits {
  /** `write` says `false` from here on. */
  readonly highWaterBytes: number
  /** Bytes the system takes before the reader has read them. */
  readonly windowBytes: number
  /** A stream whose bytes go unacknowledged so long breaks with `timeout`. */
  readonly stallTimeoutMs: number
  /** Probability that a piece arrives in two. */
  readonly splitting: number
}

/** What both ends of a stream need of their network. */
export interface StreamContext {
  readonly sim: Simulator
  readonly random: SimRandom
  readonly limits: StreamLimits
  link(from: string, to: string): SimLink
  isDark(address: string): boolean
  forget(end: SimStream): void
}
