import type { Random } from '../runtime/runtime.js'

/**
 * A seeded stream of random numbers (sfc32, after Chris Doty-Humphrey's PractRand): the same seed gives the same
 * stream on every host. Not for secrets.
 */
export class SimRandom implements Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  /** @param seed any text or number; different seeds give unrelated streams */
  constructor(seed: string | number) {
    const text = String(seed)
    this.#a = hash32(text, 0x9e3779b9)
    this.#b = hash32(text, 0x243f6a88)
    this.#c = hash32(text, 0xb7e15162)
    for (let i = 0; i < 12; i++) this.uint32()
  }

  /** The next whole number from 0 to 2^32 - 1. */
  uint32(): number {
    const result = (this.#a + this.#b + this.#counter++) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0
    return result >>> 0
  }

  /** So many bytes, which are the caller's; four cost one number of the stream. */
  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i += 4) {
      const word = this.uint32()
      for (let k = 0; k < 4 && i + k < length; k++) bytes[i + k] = (word >>> (8 * k)) & 0xff
    }
    return bytes
  }

  /** A fraction from 0 (included) to 1 (excluded). */
  fraction(): number {
    return this.uint32() / 0x1_0000_0000
  }

  /** Yes with the given probability; draws nothing when the answer is certain. */
  chance(probability: number): boolean {
    return probability > 0 && (probability >= 1 || this.fraction() < probability)
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.fraction() * (most - least + 1))
  }

  /** One of the list, which must not be empty. */
  pick<T>(list: readonly T[]): T {
    const picked = list[this.between(0, list.length - 1)]
    if (picked === undefined) throw new RangeError('pick() of an empty list')
    return picked
  }

  /** A shuffled copy (Fisher and Yates). */
  shuffle<T>(list: readonly T[]): T[] {
    const copy = [...list]
    for (let i = copy.length - 1; i > 0; i--) {
      const k = this.between(0, i)
      const moved = copy[i] as T
      copy[i] = copy[k] as T
      copy[k] = moved
    }
    return copy
  }

  /** A stream of its own, so that one consumer's draws do not shift another's. */
  fork(label: string): SimRandom {
    return new SimRandom(`${this.uint32()}/${label}`)
  }
}

function hash32(text: string, start: number): number {
  let hash = start
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
