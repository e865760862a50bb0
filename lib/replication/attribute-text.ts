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

/** The number in 1 to 16 characters, NaN for anything else. Nearly always a few digits, and asked of every record. */
export function decodeNumber(bytes: Uint8Array): number {
  const { length } = bytes
  if (length === 0 || length > 16) return Number.NaN
  let number = 0
  for (let at = 0; at < length; at++) {
    const digit = (bytes[at] as number) - 48
    if (digit < 0 || digit > 9 || length > 15) return Number(decodeText(bytes))
    number = number * 10 + digit
  }
  return number
}
