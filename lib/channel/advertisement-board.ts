import { Buffer } from 'node:buffer'
import type { Advertisement } from '../wire/messages.js'

/** The most one topic may advertise. */
export const ADVERTISEMENT_BYTES_MAX = 64

/** Advertisements in one heartbeat; the format allows one more, which the coordinator uses itself. */
const ADVERTISEMENTS_MAX = 31

/** Rough cost on the wire of one advertisement besides its text and bytes. */
const OVERHEAD_BYTES = 8

/** Where advertisements come from. */
export interface Advertiser {
  readonly name: string
  advertise(): Uint8Array | undefined
}

/**
 * Chooses what fits into the next heartbeat. Pure. When the advertisements do not all fit, they take turns: each
 * heartbeat starts where the last one stopped.
 */
export class AdvertisementBoard {
  readonly #budgetBytes: number
  #next = 0
  #oversized = 0

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes
  }

  /** Advertisements left out because one alone was too long. */
  get oversized(): number {
    return this.#oversized
  }

  collect(advertisers: readonly Advertiser[]): Advertisement[] {
    const chosen: Advertisement[] = []
    let left = this.#budgetBytes
    const start = advertisers.length === 0 ? 0 : this.#next % advertisers.length
    for (let step = 0; step < advertisers.length; step++) {
      const index = (start + step) % advertisers.length
      const { name } = advertisers[index] as Advertiser
      const bytes = advertisers[index]?.advertise()
      if (bytes === undefined) continue
      if (bytes.length > ADVERTISEMENT_BYTES_MAX) {
        this.#oversized++
        continue
      }
      const cost = Buffer.byteLength(name) + bytes.length + OVERHEAD_BYTES
      if (cost > left || chosen.length >= ADVERTISEMENTS_MAX) {
        this.#next = index
        return chosen
      }
      left -= cost
      chosen.push({ topic: name, bytes })
    }
    return chosen
  }
}
