/** Varints, for those who read and write where bytes lie. To read more than four bytes of one is left to others. */

/** The first number that takes more than four bytes. */
export const VARINT_END = 0x1000_0000

/** How many bytes the varint at a place takes; 0: more than four. Beyond the end it reads on in nothing. */
export function lengthBytes(bytes: Uint8Array, at: number): number {
  for (let n = 0; n < 4; n++) if ((bytes[at + n] ?? 0) < 128) return n + 1
  return 0
}

/** The number at a place, of four bytes at most. */
export function lengthAt(bytes: Uint8Array, at: number): number {
  let value = 0
  for (let n = 0; n < 4; n++) {
    const byte = bytes[at + n] ?? 0
    value |= (byte & 127) << (7 * n)
    if (byte < 128) break
  }
  return value
}

/** Writes a whole number, 0 to 2^53 - 1; where it ends. */
export function writeVarint(bytes: Uint8Array, start: number, value: number): number {
  let at = start
  let rest = value
  if (rest > 0x7fff_ffff) {
    // Four bytes at once: remainders of what is no 32-bit integer cost a call each.
    const high = Math.floor(rest / VARINT_END)
    const low = rest - high * VARINT_END
    bytes[at] = (low & 127) | 128
    bytes[at + 1] = ((low >>> 7) & 127) | 128
    bytes[at + 2] = ((low >>> 14) & 127) | 128
    bytes[at + 3] = (low >>> 21) | 128
    at += 4
    rest = high
  }
  for (; rest > 127; rest >>>= 7) bytes[at++] = (rest & 127) | 128
  bytes[at++] = rest
  return at
}

/** How many bytes a whole number takes, 0 to 2^53 - 1. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x20_0000) return 3
  if (value < VARINT_END) return 4
  return 4 + varintBytes(Math.floor(value / VARINT_END))
}
