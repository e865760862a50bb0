/** Varints of up to four bytes, for those who read and write where bytes lie. What is longer is left to protobufjs. */

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

/** Writes a number of 32 bits at most; where it ends. */
export function writeVarint(bytes: Uint8Array, start: number, value: number): number {
  let at = start
  let rest = value
  for (; rest > 127; rest >>>= 7) bytes[at++] = (rest & 127) | 128
  bytes[at++] = rest
  return at
}

/** How many bytes a number of 32 bits at most takes. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x20_0000) return 3
  return value < VARINT_END ? 4 : 5
}
