import type { Endpoint, Random } from '../runtime/runtime.js'
import type { MemberId } from './member.js'

/** What bounds the dialling. All durations in milliseconds. */
export interface DialBookOptions {
  readonly atOnceMax: number
  readonly entriesMax: number
  readonly backOffMinMs: number
  readonly backOffMaxMs: number
}

interface Entry {
  readonly endpoint: Endpoint
  failures: number
  notBeforeMs: number
  wanted: boolean
  active: boolean
  /** The last life that asked for this dial; a new life at an old address need not wait for the old one's back-off. */
  life: MemberId | undefined
}

/** Two dials to one address are never closer than this, whoever asks. */
const GAP_MIN_MS = 100

/**
 * Which addresses to dial, and when: few at once, with a back-off per address. Pure; invariant: at most `atOnceMax`
 * dials are out, at most one to each address.
 */
export class DialBook {
  readonly #random: Random
  readonly #options: DialBookOptions
  readonly #entries = new Map<string, Entry>()
  #active = 0
  #dropped = 0

  constructor(random: Random, options: DialBookOptions) {
    this.#random = random
    this.#options = options
  }

  /** Dials out now. */
  get active(): number {
    return this.#active
  }

  /** Addresses known. */
  get size(): number {
    return this.#entries.size
  }

  /** Wishes turned away because the book was full. */
  get dropped(): number {
    return this.#dropped
  }

  /** Somebody may be at `endpoint`. A wish is kept until it is dialled once; `life` is the id that is expected there. */
  want(endpoint: Endpoint, life: MemberId | undefined, nowMs: number): void {
    const key = endpointKey(endpoint)
    let entry = this.#entries.get(key)
    if (!entry) {
      if (!this.#makeRoom()) {
        this.#dropped++
        return
      }
      entry = { endpoint, failures: 0, notBeforeMs: nowMs, wanted: false, active: false, life: undefined }
      this.#entries.set(key, entry)
    }
    entry.wanted = true
    if (life === undefined || life === entry.life) return
    if (entry.life !== undefined || entry.failures > 0) {
      entry.failures = 0
      entry.notBeforeMs = Math.min(entry.notBeforeMs, nowMs + GAP_MIN_MS)
    }
    entry.life = life
  }

  /** The next address to dial now, marked as being dialled; undefined when there is none or enough are out. */
  take(nowMs: number): Endpoint | undefined {
    if (this.#active >= this.#options.atOnceMax) return undefined
    for (const entry of this.#entries.values()) {
      if (!entry.wanted || entry.active || entry.notBeforeMs > nowMs) continue
      entry.wanted = false
      entry.active = true
      this.#active++
      return entry.endpoint
    }
    return undefined
  }

  /** The dial is over. A failure makes the address wait. Returns false when no such dial was out. */
  finished(endpoint: Endpoint, success: boolean, nowMs: number): boolean {
    const key = endpointKey(endpoint)
    const entry = this.#entries.get(key)
    if (!entry?.active) return false
    entry.active = false
    this.#active--
    if (success) {
      this.#entries.delete(key)
      return true
    }
    entry.failures++
    const { backOffMinMs, backOffMaxMs } = this.#options
    const span = Math.min(backOffMaxMs, backOffMinMs * 2 ** Math.min(entry.failures, 16))
    entry.notBeforeMs = nowMs + backOffMinMs + jitter(this.#random, span - backOffMinMs)
    return true
  }

  /** Forgets addresses nobody has asked for since long. */
  sweep(nowMs: number): void {
    for (const [key, entry] of this.#entries) {
      if (!entry.wanted && !entry.active && entry.notBeforeMs + this.#options.backOffMaxMs < nowMs)
        this.#entries.delete(key)
    }
  }

  #makeRoom(): boolean {
    if (this.#entries.size < this.#options.entriesMax) return true
    for (const [key, entry] of this.#entries) {
      if (entry.wanted || entry.active) continue
      this.#entries.delete(key)
      return true
    }
    return false
  }
}

/** `host:port`, as a key. */
export function endpointKey(endpoint: Endpoint): string {
  return `${endpoint.host}:${endpoint.port}`
}

/** A whole number from 0 to `span`, evenly. */
export function jitter(random: Random, span: number): number {
  return span <= 0 ? 0 : random.uint32() % (Math.floor(span) + 1)
}
