import type { Stamp } from './replica-contract.js'

/** A 64-bit value as two unsigned halves; combined by XOR. */
export interface Hash64 {
  readonly high: number
  readonly low: number
}

/** The hash of nothing. */
export const ZERO_HASH: Hash64 = { high: 0, low: 0 }

/** 32-bit hash of a text: multiply and rotate per character, murmur3's finaliser at the end. */
export function hashText(text: string, seed: number): number {
  let hash = seed | 0
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0xcc9e2d51)
    hash = (hash << 15) | (hash >>> 17)
  }
  return finish(hash ^ text.length)
}

/** Stirs a safe integer into a 32-bit hash. */
export function mixNumber(hash: number, value: number): number {
  const low = value | 0
  const high = Math.floor(value / 4_294_967_296) | 0
  return finish(Math.imul(finish(Math.imul(hash, 31) ^ low), 31) ^ high)
}

/** What a key contributes to the mixes below; worth keeping, for it is most of their work. */
export function keyMix(key: string): Hash64 {
  return { high: hashText(key, 0x2545f491), low: hashText(key, 0x1b873593) }
}

/** The part one attribute's stamp has in its record's hash. */
export function attributeMix(key: Hash64, name: string, stamp: Stamp): Hash64 {
  return { high: lane(key.high, name, stamp), low: lane(key.low, name, stamp) }
}

/** The part a record's mere presence has in its hash. */
export function presenceMix(key: string): Hash64 {
  return { high: hashText(key, 0x7feb352d) >>> 0, low: hashText(key, 0x68bc21eb) >>> 0 }
}

/** The part the limit of its expiry has in a record's hash: none without one. */
export function limitMix(key: Hash64, { wallMs, counter, origin }: Omit<Stamp, 'seq'>): Hash64 {
  return wallMs === 0 ? ZERO_HASH : attributeMix(key, '', { wallMs, counter, origin, seq: 0 })
}

/** Adds to a hash what is not in it, or takes out what is. */
export function xor(a: Hash64, b: Hash64): Hash64 {
  return { high: (a.high ^ b.high) >>> 0, low: (a.low ^ b.low) >>> 0 }
}

/** Whether two hashes are equal. */
export function sameHash(a: Hash64, b: Hash64): boolean {
  return a.high === b.high && a.low === b.low
}

function lane(key: number, name: string, stamp: Stamp): number {
  let hash = hashText(name, key)
  hash = mixNumber(mixNumber(hash, stamp.wallMs), stamp.counter)
  return mixNumber(hashText(stamp.origin, hash), stamp.seq) >>> 0
}

function finish(value: number): number {
  let hash = value
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}
