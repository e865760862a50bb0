import { Buffer } from 'node:buffer'

/** A text as an attribute's bytes. */
export function encodeText(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'utf8'))
}

/** Text of an attribute; the inverse of `encodeText`. */
export function decodeText(bytes: Uint8Array): string {
  const buffer = bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return buffer.toString('utf8')
}

/**
 * The number that 1 to 16 characters between two places say, NaN for anything else. Nearly always a few digits, and asked
 * of every record.
 */
export function decodeNumber(bytes: Uint8Array, start = 0, end: number = bytes.length): number {
  const length = end - start
  if (length === 0 || length > 16) return Number.NaN
  let number = 0
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] as number) - 48
    if (digit < 0 || digit > 9 || length > 15) return Number(decodeText(bytes.subarray(start, end)))
    number = number * 10 + digit
  }
  return number
}
