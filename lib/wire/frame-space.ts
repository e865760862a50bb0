const CHUNK_BYTES = 1_048_576
/** Larger frames have memory of their own. */
const SHARED_BYTES_MAX = 262_144

let chunk: Buffer | undefined
let used = 0

/**
 * Room for one frame, next to the frame before: what leaves together then lies together, and a connection hands it to
 * the system as it is (`Connection`), instead of copying each frame once more and asking for memory every turn. What
 * was handed out is never handed out again; a chunk is free when nobody holds a frame of it.
 */
export function frameSpace(length: number): Buffer {
  if (length > SHARED_BYTES_MAX) return Buffer.allocUnsafeSlow(length)
  if (chunk === undefined || used + length > CHUNK_BYTES) {
    chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
    used = 0
  }
  const start = used
  used += length
  return chunk.subarray(start, used)
}
