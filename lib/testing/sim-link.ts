import type { SimRandom } from './sim-random.js'

/** How a link behaves, one way. */
export interface LinkQuality {
  /** Least one-way delay, in whole milliseconds; each datagram and each piece of a stream draws its own. Default 1. */
  readonly minDelayMs: number
  /** Greatest one-way delay, in whole milliseconds. Default 2. */
  readonly maxDelayMs: number
  /** Probability, 0 to 1, that a datagram is lost; streams are reliable and only get slower. Default 0. */
  readonly loss: number
  /** Probability that a datagram arrives twice, each copy with a delay of its own. Default 0. */
  readonly duplication: number
  /** Probability that a datagram is held back by up to ten times `maxDelayMs` and so overtaken. Default 0. */
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
