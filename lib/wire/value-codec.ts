import { Packr, Unpackr } from 'msgpackr'
import { ProtocolError } from '../errors.js'

// Objects travel as records, described in the same bytes: without records a Map would come back as an object.
const options = { structuredClone: true, moreTypes: true, mapsAsObjects: false }
const packr = new Packr(options)
const unpackr = new Unpackr(options)

/** MessagePack's marks of short texts: up to 31 bytes, the length in the mark; up to 255, in the byte that follows. */
const FIX_STR = 0xa0
const STR_8 = 0xd9
/** Buffer's own reader, which takes any Uint8Array. */
const { utf8Slice } = Buffer.prototype as unknown as {
  utf8Slice: (this: Uint8Array, start: number, end: number) => string
}

/**
 * A value as bytes: what structured clone keeps survives (Date, Map, Set, BigInt, typed arrays, undefined, cycles).
 * The caller owns the bytes.
 */
export function encodeValue(value: unknown): Uint8Array {
  return packr.pack(value)
}

/**
 * The value of `encodeValue`'s bytes.
 *
 * @throws {ProtocolError} when the bytes are no such value
 */
export function decodeValue(bytes: Uint8Array): unknown {
  const text = decodeText(bytes)
  if (text !== undefined) return text
  try {
    return unpackr.unpack(bytes) as unknown
  } catch (error) {
    throw new ProtocolError(`The bytes are no encoded value: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/**
 * The text, if the bytes are one short enough for a byte of length. Most attributes are, and setting up the decoder for
 * each of them costs several times more than reading it.
 */
function decodeText(bytes: Uint8Array): string | undefined {
  const head = bytes[0] as number
  if (head === STR_8 && bytes.length === 2 + (bytes[1] as number)) return textIn(bytes, 2)
  return head >= FIX_STR && head < FIX_STR + 32 && bytes.length === 1 + head - FIX_STR ? textIn(bytes, 1) : undefined
}

function textIn(bytes: Uint8Array, start: number): string {
  return utf8Slice.call(bytes, start, bytes.length)
}
