let made: Uint8Array = new Uint8Array(0)
let madeIn: ArrayBufferLike = made.buffer
let asked: Uint8Array = made
let askedIn: ArrayBufferLike = madeIn

/**
 * A view of so many bytes of memory; {@link memoryOf} knows of the last one. Asking a view for its memory is a call into
 * the engine that takes longer than making one, and every frame is cut out of another.
 */
export function viewOf(memory: ArrayBufferLike, at: number, length: number): Uint8Array {
  made = new Uint8Array(memory, at, length)
  madeIn = memory
  return made
}

/** `bytes.buffer`, which costs nothing for what was made or asked for last. */
export function memoryOf(bytes: Uint8Array): ArrayBufferLike {
  if (bytes === made) return madeIn
  if (bytes !== asked) {
    askedIn = bytes.buffer
    asked = bytes
  }
  return askedIn
}
