const CHUNK_BYTES = 1_048_576
/** Larger frames have memory of their own. */
const SHARED_BYTES_MAX = 262_144

/** Where something is to be written: in `bytes`, from `at` on. Good until the next is asked for. */
export interface FrameRoom {
  readonly bytes: Buffer
  readonly at: number
}

let chunk: Buffer = Buffer.alloc(0)
let before: Buffer = chunk
let used = 0
/** One for all: an object for each frame would be one to throw away. */
const room: { bytes: Buffer; at: number } = { bytes: chunk, at: 0 }

/**
 * Room for one frame, next to the frame before: what leaves together then lies together, and a connection hands it to
 * the system as it is (`Connection`), instead of copying each frame once more and asking for memory every turn. What
 * was handed out is never handed out again; a chunk is free when nobody holds a frame of it.
 */
export function frameRoom(length: number): FrameRoom {
  if (length > SHARED_BYTES_MAX) {
    room.bytes = Buffer.allocUnsafeSlow(length)
    room.at = 0
    return room
  }
  if (used + length > chunk.length) {
    before = chunk
    chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
    used = 0
  }
  room.bytes = chunk
  room.at = used
  used += length
  return room
}

/** The chunk that these bytes lie in, if frames have been written into it lately. */
export function chunkOf({ buffer }: Uint8Array): Buffer | undefined {
  return buffer === chunk.buffer ? chunk : buffer === before.buffer ? before : undefined
}
