/**
 * Small values are copied into memory they share: the engine takes three times as long to give each its own. The price
 * is that one of them may keep the others' bytes from being freed, so there are few to a pool.
 */
const POOL_BYTES = 8_192
/** Larger ones have memory of their own. */
export const POOLED_BYTES_MAX = 2_048
/** Up to here copying byte by byte is cheaper than making the view that `set` wants. */
const LOOPED_BYTES_MAX = 96

let pool: Uint8Array = new Uint8Array(POOL_BYTES)
let poolUsed = 0

/** The same bytes in memory that nobody else writes to. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  return copyFrom(bytes, 0, bytes.length)
}

/** A copy of so many bytes from a place on, for which no view is needed. */
export function copyFrom(bytes: Uint8Array, at: number, length: number): Uint8Array {
  if (length > POOLED_BYTES_MAX) return new Uint8Array(new Uint8Array(bytes.buffer, bytes.byteOffset + at, length))
  if (poolUsed + length > POOL_BYTES) {
    pool = new Uint8Array(POOL_BYTES)
    poolUsed = 0
  }
  const start = poolUsed
  poolUsed += length
  if (length <= LOOPED_BYTES_MAX) for (let i = 0; i < length; i++) pool[start + i] = bytes[at + i] as number
  else pool.set(new Uint8Array(bytes.buffer, bytes.byteOffset + at, length), start)
  // Not `subarray`, which asks what class to make and costs three times as much.
  return new Uint8Array(pool.buffer, start, length)
}
