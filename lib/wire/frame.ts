import { ProtocolError } from '../errors.js'

/** Bytes of the length before every frame. */
export const PREFIX_BYTES = 4

/** Default limit of one frame, without its length: 1 MiB. */
export const DEFAULT_FRAME_LIMIT_BYTES = 1_048_576

const SMALL_BYTES = 1_024
const SLAB_BYTES = 16_384
const NOTHING = new Uint8Array(0)

/**
 * Cuts a stream of bytes into frames, whatever the chunks it comes in.
 *
 * Invariant: what is held is what was pushed and not yet taken, plus at most one slab; a length is compared with the
 * limit before anything of its size is allocated, and memory is only allocated for bytes that have arrived.
 */
export class FrameDecoder {
  readonly #limitBytes: number
  readonly #chunks: Uint8Array[] = []
  /** First chunk not yet used up, and where in it. */
  #first = 0
  #offset = 0
  #buffered = 0
  #slab: Uint8Array | undefined
  #slabUsed = 0
  /** The frame that `advance` came to. */
  bytes: Uint8Array = NOTHING
  start = 0
  end = 0

  constructor(limitBytes: number = DEFAULT_FRAME_LIMIT_BYTES) {
    this.#limitBytes = limitBytes
  }

  /** Bytes pushed and not yet taken as frames. */
  get bufferedBytes(): number {
    return this.#buffered
  }

  /** Takes bytes over; the caller must not change them afterwards. */
  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    this.#buffered += chunk.length
    if (this.#first < this.#chunks.length && chunk.length < SMALL_BYTES) this.#pushSmall(chunk)
    else this.#chunks.push(chunk)
  }

  /**
   * The next complete frame without its length, or undefined if it has not all arrived. A view of the pushed bytes when
   * it lies in one chunk.
   *
   * @throws {ProtocolError} when the frame is empty or longer than the limit; the decoder is of no use afterwards
   */
  next(): Uint8Array | undefined {
    return this.advance() ? this.bytes.subarray(this.start, this.end) : undefined
  }

  /**
   * Moves on to the next complete frame: the bytes from `start` to `end` of `bytes` are it, without its length. `false`
   * if it has not all arrived. As `next`, without the view, which costs more than a small frame.
   */
  advance(): boolean {
    this.bytes = NOTHING
    if (this.#buffered < PREFIX_BYTES) return false
    const length = this.#peekLength()
    if (length > this.#limitBytes) throw new ProtocolError(`Frame of ${length} bytes; the limit is ${this.#limitBytes}`)
    if (length === 0) throw new ProtocolError('Empty frame')
    if (this.#buffered < PREFIX_BYTES + length) return false
    this.#skip(PREFIX_BYTES)
    this.#take(length)
    return true
  }

  #peekLength(): number {
    const chunk = this.#chunks[this.#first] as Uint8Array
    const at = this.#offset
    if (chunk.length - at >= PREFIX_BYTES) {
      return (
        (((chunk[at] as number) << 24) |
          ((chunk[at + 1] as number) << 16) |
          ((chunk[at + 2] as number) << 8) |
          (chunk[at + 3] as number)) >>>
        0
      )
    }
    let length = 0
    let index = this.#first
    let offset = at
    for (let n = 0; n < PREFIX_BYTES; n += 1) {
      while (offset === (this.#chunks[index] as Uint8Array).length) {
        index += 1
        offset = 0
      }
      length = ((length << 8) | ((this.#chunks[index] as Uint8Array)[offset] as number)) >>> 0
      offset += 1
    }
    return length
  }

  #take(length: number): void {
    this.#settleFirst()
    const chunk = this.#chunks[this.#first] as Uint8Array
    if (chunk.length - this.#offset >= length) {
      this.bytes = chunk
      this.start = this.#offset
      this.end = this.#offset + length
      return this.#skip(length)
    }
    const frame = Buffer.allocUnsafeSlow(length)
    let filled = 0
    while (filled < length) {
      this.#settleFirst()
      const part = (this.#chunks[this.#first] as Uint8Array).subarray(this.#offset, this.#offset + length - filled)
      frame.set(part, filled)
      filled += part.length
      this.#skip(part.length)
    }
    this.bytes = frame
    this.start = 0
    this.end = length
  }

  #skip(count: number): void {
    this.#buffered -= count
    let left = count
    while (left > 0) {
      this.#settleFirst()
      const step = Math.min(left, (this.#chunks[this.#first] as Uint8Array).length - this.#offset)
      this.#offset += step
      left -= step
    }
    if (this.#buffered === 0) this.#clear()
  }

  /** Moves on from a chunk that is used up; lets go of used chunks now and then, so that shifting stays cheap. */
  #settleFirst(): void {
    while (this.#offset === (this.#chunks[this.#first] as Uint8Array).length) {
      this.#first += 1
      this.#offset = 0
    }
    if (this.#first >= 64) {
      this.#chunks.splice(0, this.#first)
      this.#first = 0
    }
  }

  #clear(): void {
    this.#chunks.length = 0
    this.#first = 0
    this.#offset = 0
    this.#slab = undefined
  }

  /** Many tiny chunks would cost more in objects than in bytes, so they are gathered. */
  #pushSmall(chunk: Uint8Array): void {
    if (this.#slab === undefined || this.#slabUsed + chunk.length > SLAB_BYTES) {
      this.#slab = new Uint8Array(SLAB_BYTES)
      this.#slabUsed = 0
    }
    const slab = this.#slab
    const last = this.#chunks.at(-1) as Uint8Array
    const start = this.#slabUsed
    slab.set(chunk, start)
    this.#slabUsed += chunk.length
    if (last.buffer === slab.buffer && last.byteOffset + last.length === slab.byteOffset + start) {
      this.#chunks[this.#chunks.length - 1] = slab.subarray(last.byteOffset - slab.byteOffset, this.#slabUsed)
    } else {
      this.#chunks.push(slab.subarray(start, this.#slabUsed))
    }
  }
}
