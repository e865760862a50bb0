import type { SimRandom } from './sim-random.js'

/** How a link behaves, one way. */
export interface LinkQuality {
  /** One-way delay, milliseconds. */
  readonly minDelayMs: number
  readonly maxDelayMs: number
  /** Probabilities for datagrams; streams are reliable and only get slower. */
  readonly loss: number
  readonly duplication: number
  /** Probability that a datagram is held back by up to ten times the delay and so overtaken. */
  readonly reordering: number
}

/** A calm local network. */
export const CALM_LINK: LinkQuality = { minDelayMs: 1, maxDelayMs: 2, loss: 0, duplication: 0, reordering: 0 }

/** One direction between two hosts. */
export class SimLink {
  quality: LinkQuality
  cut = false
  /** Extra delay, for a clogged link. */
  clogMs = 0

  constructor(quality: LinkQuality) {
    this.quality = quality
  }

  delayMs(random: SimRandom): number {
    const { minDelayMs, maxDelayMs } = this.quality
    return this.clogMs + (maxDelayMs > minDelayMs ? random.between(minDelayMs, maxDelayMs) : minDelayMs)
  }
}
