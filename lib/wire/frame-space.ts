import { Buffer } from 'node:buffer'
import { viewOf } from './view.js'

const CHUNK_BYTES = 262_144
/** So many are kept to be written again; of more that are on their way the oldest are left to the collector. */
const KEPT_MAX = 16

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

/** Memory that many frames lie in. */
export class FrameChunk {
  readonly bytes: Buffer
  readonly memory: ArrayBufferLike
  /** How many wait for something in it to be sent. Who lets a frame wait adds one before the code that made it is done. */
  holders = 0
  /** Whether the code that wrote the last of it is done, so that whatever is still needed is held. */
  isSettled = false

  constructor(length: number) {
    this.bytes = Buffer.allocUnsafeSlow(length)
    this.memory = this.bytes.buffer
  }
}

/**
 * Room for frames, one next to the other: what leaves together then lies together, and a connection hands it to the
 * system as it is (`Connection`), instead of copying each frame once more and asking for memory every turn.
 *
 * A chunk that is full is written again when nobody holds it ({@link FrameChunk.holders}) and the code that filled it is
 * done: memory outside the heap sets off a collection of everything every few ten MB, which at full speed costs more
 * than the writing. So a frame is either sent, held or copied by the code that made it, or within its calls.
 */
export class FrameSpace {
  /** Simulations have less, so that memory is written again all the time. */
  chunkBytes: number = CHUNK_BYTES
  /**
   * Code on the stack that has a frame in hand and calls others meanwhile: nothing is written again while there is any.
   * Those may be listeners who run what waits for this code to be done, as `deasync` does.
   */
  inHand = 0
  /** What `room` gave out last. One for all: an object for each frame would be one to throw away. */
  readonly latest: FrameRoom = new FrameRoom(0)
  #chunk = new FrameChunk(0)
  #used = 0
  /** Full ones, that of the latest last. */
  readonly #full: FrameChunk[] = []

  /** What is longer has memory of its own. */
  get sharedBytesMax(): number {
    return this.chunkBytes >>> 2
  }

  /** Room for one frame, or a part of one, next to what was given room before. */
  room(length: number): FrameRoom {
    if (this.#used + length > this.#chunk.bytes.length) {
      if (length > this.sharedBytesMax) return this.latest.place(Buffer.allocUnsafeSlow(length), 0)
      this.#next()
    }
    const at = this.#used
    this.#used += length
    return this.latest.place(this.#chunk.bytes, at)
  }

  /** Has the room given out last back, which was not needed. */
  takeBack({ byteOffset, length }: Uint8Array): void {
    if (this.latest.bytes === this.#chunk.bytes && byteOffset + length === this.#used) this.#used = byteOffset
  }

  /** The chunk that has this memory, unless it is never written again. */
  chunkOf(memory: ArrayBufferLike): FrameChunk | undefined {
    if (memory === this.#chunk.memory) return this.#chunk
    for (const chunk of this.#full) if (memory === chunk.memory) return chunk
    return undefined
  }

  /** The chunk that has this memory, which is not written again until {@link letGo} has been called with it. */
  hold(memory: ArrayBufferLike): FrameChunk | undefined {
    const chunk = this.chunkOf(memory)
    if (chunk !== undefined) chunk.holders++
    return chunk
  }

  #next(): void {
    const last = this.#chunk
    last.isSettled = false
    queueMicrotask(() => {
      last.isSettled = true
    })
    this.#full.push(last)
    this.#chunk = this.#free() ?? new FrameChunk(this.chunkBytes)
    this.#used = 0
    if (this.#full.length > KEPT_MAX) this.#full.shift()
  }

  /** The one used last, which the processor still has at hand. */
  #free(): FrameChunk | undefined {
    if (this.inHand > 0) return undefined
    const full = this.#full
    const place = full.findLastIndex(
      ({ holders, isSettled, bytes }) => isSettled && holders === 0 && bytes.length === this.chunkBytes,
    )
    return place === -1 ? undefined : full.splice(place, 1)[0]
  }
}

/** Nobody waits for these any more, each as often as it is listed. */
export function letGo(chunks: readonly FrameChunk[]): void {
  for (const chunk of chunks) chunk.holders--
}

/** That of this process. */
export const frames: FrameSpace = new FrameSpace()

/** For what is copied into a frame: among the frames it would keep them from lying one behind the other. */
export const scratch: FrameSpace = new FrameSpace()
