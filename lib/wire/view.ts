let made: Uint8Array = new Uint8Array(0)
let madeIn: ArrayBufferLike = made.buffer
let madeAt = 0
let asked: Uint8Array = made
let askedIn: ArrayBufferLike = madeIn
let askedAt = 0

/**
 * A view of so many bytes of memory; {@link memoryOf} knows of the last one. Asking a view for its memory, or where in it
 * it lies, is a call into the engine that takes longer than making one, and every frame is cut out of another.
 */
export function viewOf(memory: ArrayBufferLike, at: number, length: number): Uint8Array {
  made = new Uint8Array(memory, at, length)
  madeIn = memory
  madeAt = at
  return made
}

/** `bytes.buffer`, which costs nothing for what was made or asked for last. */
export function memoryOf(bytes: Uint8Array): ArrayBufferLike {
  if (bytes === made) return madeIn
  if (bytes !== asked) ask(bytes)
  return askedIn
}

/** `bytes.byteOffset`, likewise. */
export function offsetOf(bytes: Uint8Array): number {
  if (bytes === made) return madeAt
  if (bytes !== asked) ask(bytes)
  return askedAt
}

function ask(bytes: Uint8Array): void {
  askedIn = bytes.buffer
  askedAt = bytes.byteOffset
  asked = bytes
}
