import { ProtocolError } from '../errors.js'

/** Bytes of the length before every frame. */
export const PREFIX_BYTES = 4

/** Default limit of one frame, without its length: 1 MiB. */
export const DEFAULT_FRAME_LIMIT_BYTES = 1_048_576

const NOTHING = new Uint8Array(0)

/**
 * Cuts a stream of bytes into frames, whatever the chunks it comes in. A frame is read where it was pushed, or, when it
 * came in pieces, where they were put together: in memory that the next ones are put together in, too.
 *
 * Invariant: a length is compared with the limit before anything is made of it, and memory is only allocated for bytes
 * that have arrived, at most twice as much.
 */
export class FrameDecoder {
  readonly #limitBytes: number
  /** Where the bytes are that are not yet taken: in what was pushed last, or in memory of our own. */
  #held: Uint8Array = NOTHING
  #at = 0
  #until = 0
  #own = false
  /** The frame that `advance` came to. */
  bytes: Uint8Array = NOTHING
  start = 0
  end = 0

  constructor(limitBytes: number = DEFAULT_FRAME_LIMIT_BYTES) {
    this.#limitBytes = limitBytes
  }

  /** Bytes pushed and not yet taken as frames. */
  get bufferedBytes(): number {
    return this.#until - this.#at
  }

  /** Takes bytes over; until `keep` they must not change. Frames that came before must have been dealt with. */
  push(chunk: Uint8Array): void {
    if (this.#at < this.#until) {
      this.#makeRoom(chunk.length)
      this.#held.set(chunk, this.#until)
      this.#until += chunk.length
      return
    }
    this.#held = chunk
    this.#own = false
    this.#at = 0
    this.#until = chunk.length
  }

  /** Copies what is left of the bytes pushed last: they may change now. */
  keep(): void {
    if (this.#at < this.#until) this.#makeRoom(0)
    else this.#held = NOTHING
    this.bytes = NOTHING
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
    const held = this.#held
    const at = this.#at
    const available = this.#until - at - PREFIX_BYTES
    if (available < 0) return false
    const length = held[at]! * 16_777_216 + (held[at + 1]! << 16) + (held[at + 2]! << 8) + held[at + 3]!
    if (length > this.#limitBytes) throw new ProtocolError(`Frame of ${length} bytes; the limit is ${this.#limitBytes}`)
    if (length === 0) throw new ProtocolError('Empty frame')
    if (available < length) return false
    this.bytes = held
    this.start = at + PREFIX_BYTES
    this.end = this.#at = this.start + length
    return true
  }

  /** Has what is left lie in memory of our own, with room for so many bytes behind it. */
  #makeRoom(more: number): void {
    const left = this.#until - this.#at
    if (this.#own && this.#until + more <= this.#held.length) return
    if (this.#own && left + more <= this.#held.length) this.#held.copyWithin(0, this.#at, this.#until)
    else {
      const room = Buffer.allocUnsafeSlow(2 * (left + more))
      room.set(this.#held.subarray(this.#at, this.#until))
      this.#held = room
      this.#own = true
    }
    this.#at = 0
    this.#until = left
  }
}
