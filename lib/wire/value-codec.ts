import { Packr, Unpackr } from 'msgpackr'
import { ProtocolError } from '../errors.js'

// Objects travel as records, described in the same bytes: without records a Map would come back as an object.
const options = { structuredClone: true, moreTypes: true, mapsAsObjects: false }
const packr = new Packr(options)
const unpackr = new Unpackr(options)

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
  try {
    return unpackr.unpack(bytes) as unknown
  } catch (error) {
    throw new ProtocolError(`The bytes are no encoded value: ${error instanceof Error ? error.message : String(error)}`)
  }
}
