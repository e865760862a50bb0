import { Packr } from 'msgpackr'
import { ProtocolError } from '../errors.js'

const packr = new Packr({ structuredClone: true, moreTypes: true, useRecords: false })

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
    return packr.unpack(bytes) as unknown
  } catch (error) {
    throw new ProtocolError(`The bytes are no encoded value: ${error instanceof Error ? error.message : String(error)}`)
  }
}
