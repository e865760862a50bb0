import { Buffer } from 'node:buffer'
import { ProtocolError } from '../errors.js'

/** Bytes of the length before every frame. */
export const PREFIX_BYTES = 4

/** Default limit of one frame, without its length: 1 MiB. */
export const DEFAULT_FRAME_LIMIT_BYTES = 1_048_576

const NOTHING = new Uint8Array(0)

/** A decoder holds on to so much memory for the beginnings of frames; more is given back once it is empty. */
const ROOM_KEPT_BYTES = 65_536

/**
 * Cuts a stream of bytes into frames, whatever the chunks it comes in. A frame is read where it was pushed; of one that
 * came in pieces, only those are put together, in memory that the next ones are put together in, too.
 *
 * Invariant: a length is compared with the limit before anything is made of it, and memory is only allocated for bytes
 * that have arrived, at most twice as much.
 */
export class FrameDecoder {
  readonly #limitBytes: number
  /** What was pushed last, and what of it is not yet taken. */
  #chunk: Uint8Array = NOTHING
  #chunkAt = 0
  /** What came before it and is not yet taken. */
  #room: Uint8Array = NOTHING
  #roomAt = 0
  #roomUntil = 0
  /** The frame that `advance` came to. */
  bytes: Uint8Array = NOTHING
  start = 0
  end = 0

  constructor(limitBytes: number = DEFAULT_FRAME_LIMIT_BYTES) {
    this.#limitBytes = limitBytes
  }

  /** Bytes pushed and not yet taken as frames. */
  get bufferedBytes(): number {
    return this.#roomUntil - this.#roomAt + this.#chunk.length - this.#chunkAt
  }

  /** Takes bytes over; until `keep` they must not change. Frames that came before must have been dealt with. */
  push(chunk: Uint8Array): void {
    if (this.#chunkAt < this.#chunk.length) this.keep()
    this.#chunk = chunk
    this.#chunkAt = 0
  }

  /** Copies what is left of the bytes pushed last: they may change now. */
  keep(): void {
    this.#take(this.#chunk.length - this.#chunkAt)
    this.#chunk = NOTHING
    this.#chunkAt = 0
    this.bytes = NOTHING
    if (this.#roomAt === this.#roomUntil && this.#room.length > ROOM_KEPT_BYTES) this.#room = NOTHING
  }

  /**
   * A copy of the next complete frame without its length, or undefined if it has not all arrived.
   *
   * @throws {ProtocolError} when the frame is empty or longer than the limit; the decoder is of no use afterwards
   */
  next(): Uint8Array | undefined {
    return this.advance() ? Uint8Array.from(this.bytes.subarray(this.start, this.end)) : undefined
  }

  /**
   * Moves on to the next complete frame: the bytes from `start` to `end` of `bytes` are it, without its length, until
   * something is pushed, or kept. `false` if it has not all arrived.
   */
  advance(): boolean {
    if (this.#roomAt < this.#roomUntil) return this.#advanceInRoom()
    const chunk = this.#chunk
    const at = this.#chunkAt
    const available = chunk.length - at - PREFIX_BYTES
    if (available < 0) return false
    const length = this.#lengthAt(chunk, at)
    if (available < length) return false
    this.bytes = chunk
    this.start = at + PREFIX_BYTES
    this.end = this.#chunkAt = this.start + length
    return true
  }

  /** The same for a frame of which something came earlier. */
  #advanceInRoom(): boolean {
    if (!this.#fill(PREFIX_BYTES)) return false
    const length = this.#lengthAt(this.#room, this.#roomAt)
    if (!this.#fill(PREFIX_BYTES + length)) return false
    this.bytes = this.#room
    this.start = this.#roomAt + PREFIX_BYTES
    this.end = this.#roomAt = this.start + length
    return true
  }

  /** Whether so many bytes are together now. */
  #fill(wanted: number): boolean {
    const missing = wanted - (this.#roomUntil - this.#roomAt)
    if (missing > 0) this.#take(Math.min(missing, this.#chunk.length - this.#chunkAt))
    return this.#roomUntil - this.#roomAt >= wanted
  }

  /** Copies so many bytes of the chunk to the others. */
  #take(count: number): void {
    if (count === 0) return
    this.#makeRoom(count)
    this.#room.set(this.#chunk.subarray(this.#chunkAt, this.#chunkAt + count), this.#roomUntil)
    this.#chunkAt += count
    this.#roomUntil += count
  }

  #makeRoom(more: number): void {
    if (this.#roomUntil + more <= this.#room.length) return
    const left = this.#roomUntil - this.#roomAt
    if (left + more <= this.#room.length) this.#room.copyWithin(0, this.#roomAt, this.#roomUntil)
    else {
      const room = Buffer.allocUnsafeSlow(2 * (left + more))
      room.set(this.#room.subarray(this.#roomAt, this.#roomUntil))
      this.#room = room
    }
    this.#roomAt = 0
    this.#roomUntil = left
  }

  #lengthAt(bytes: Uint8Array, at: number): number {
    const length = bytes[at]! * 16_777_216 + (bytes[at + 1]! << 16) + (bytes[at + 2]! << 8) + bytes[at + 3]!
    if (length > this.#limitBytes) throw new ProtocolError(`Frame of ${length} bytes; the limit is ${this.#limitBytes}`)
    if (length === 0) throw new ProtocolError('Empty frame')
    return length
  }
}
