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

/** A codec that can also write what is sent and not kept. */
export interface LendingCodec extends SessionCodec {
  /** As `encode`, in memory of frames; undefined: not this value. */
  lend?(value: unknown): Uint8Array | undefined
}
