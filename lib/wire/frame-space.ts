import { Buffer } from 'node:buffer'
import { memoryOf, viewOf } from './view.js'

const CHUNK_BYTES = 1_048_576
/** Larger frames have memory of their own. */
const SHARED_BYTES_MAX = 262_144

/** Where something is to be written: in `bytes`, from `at` on. Good until the next is asked for. */
export class FrameRoom {
  bytes: Buffer
  at = 0
  /** Bytes before `at` that are the frame's as well. */
  head = 0
  /** What `view` made last, while this room is good. */
  viewed: Uint8Array | undefined
  /** Of `bytes`, which begin where it does. Kept, as asking a view for its memory costs as much as making a view. */
  #memory: ArrayBufferLike

  /** In memory of its own. */
  constructor(length: number) {
    this.bytes = Buffer.allocUnsafeSlow(length)
    this.#memory = this.bytes.buffer
  }

  /** Moves on. */
  place(bytes: Buffer, at: number): this {
    if (bytes !== this.bytes) {
      this.bytes = bytes
      this.#memory = bytes.buffer
    }
    this.at = at
    this.head = 0
    this.viewed = undefined
    return this
  }

  /** What has been written. */
  view(length: number): Uint8Array {
    return (this.viewed = viewOf(this.#memory, this.at, length))
  }

  /** What has been written, with its head. */
  frame(length: number): Uint8Array {
    return viewOf(this.#memory, this.at - this.head, this.head + length)
  }
}

/**
 * Room for one frame, next to the frame before: what leaves together then lies together, and a connection hands it to
 * the system as it is (`Connection`), instead of copying each frame once more and asking for memory every turn. What
 * was handed out is never handed out again; a chunk is free when nobody holds a frame of it.
 */
export function frameRoom(length: number): FrameRoom {
  if (length > SHARED_BYTES_MAX) return room.place(Buffer.allocUnsafeSlow(length), 0)
  if (used + length > chunk.length) {
    before = chunk
    chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
    used = 0
  }
  const at = used
  used += length
  return room.place(chunk, at)
}

/** One for all: an object for each frame would be one to throw away. */
const room = new FrameRoom(0)
let chunk = room.bytes
let before = chunk
let used = 0

/** The chunk that these bytes lie in, if frames have been written into it lately. */
export function chunkOf(bytes: Uint8Array): Buffer | undefined {
  const memory = memoryOf(bytes)
  return memory === chunk.buffer ? chunk : memory === before.buffer ? before : undefined
}
