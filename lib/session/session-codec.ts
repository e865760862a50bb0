import { decodeValue, encodeValue } from '../wire/value-codec.js'

/** Turns attribute values into bytes and back. Equal values must give equal bytes. */
export interface SessionCodec {
  /**
   * Throws when the value cannot be carried. The bytes are given away: they are kept and sent as they are, so nobody may
   * change them afterwards, nor encode into the same memory again.
   */
  encode(value: unknown): Uint8Array
  /** Throws when the bytes are not a value. */
  decode(bytes: Uint8Array): unknown
}

/** That of sessions without one of their own. */
export const OWN_CODEC: SessionCodec = { encode: encodeValue, decode: decodeValue }
