import { Buffer } from 'node:buffer'

/**
 * Small values are put into memory they share: the engine takes three times as long to give each its own. The price
 * is that one of them may keep the others' bytes from being freed, so there are few to a pool.
 */
const POOL_BYTES = 8_192
/** Larger ones have memory of their own. */
export const POOLED_BYTES_MAX = 2_048
/** Up to here copying byte by byte is cheaper than making the view that `set` wants. */
const LOOPED_BYTES_MAX = 24

let pool: Uint8Array = new Uint8Array(POOL_BYTES)
/** Of the pool. Kept, as asking for it costs as much as making a view. */
let memory: ArrayBufferLike = pool.buffer
let poolUsed = 0

/** Memory that nobody else writes to; what is in it is anything. A plain view: a Buffer costs twice as much to make. */
export function memoryFor(length: number): Uint8Array {
  if (length > POOLED_BYTES_MAX) return Buffer.allocUnsafeSlow(length)
  // That may go on in another pool.
  const start = placeFor(length)
  return new Uint8Array(memory, start, length)
}

/** The same bytes in memory that nobody else writes to. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  const { length } = bytes
  if (length > POOLED_BYTES_MAX) return new Uint8Array(bytes)
  const start = placeFor(length)
  pool.set(bytes, start)
  return new Uint8Array(memory, start, length)
}

/** A copy of so many bytes from a place on. */
export function copyFrom(bytes: Uint8Array, at: number, length: number): Uint8Array {
  if (length > LOOPED_BYTES_MAX) return copyOf(new Uint8Array(bytes.buffer, bytes.byteOffset + at, length))
  const start = placeFor(length)
  for (let i = 0; i < length; i++) pool[start + i] = bytes[at + i] as number
  // Not `subarray`, which asks what class to make and costs three times as much.
  return new Uint8Array(memory, start, length)
}

function placeFor(length: number): number {
  if (poolUsed + length > POOL_BYTES) {
    pool = new Uint8Array(POOL_BYTES)
    memory = pool.buffer
    poolUsed = 0
  }
  const start = poolUsed
  poolUsed += length
  return start
}
