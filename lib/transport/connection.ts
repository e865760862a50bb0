import { Buffer } from 'node:buffer'
import { ProtocolError } from '../errors.js'
import type { Clock, Stream, StreamEnd, StreamHandlers } from '../runtime/runtime.js'
import { decodeFrame } from '../wire/codec.js'
import { FrameDecoder } from '../wire/frame.js'
import type { Frame } from '../wire/messages.js'
import { FrameRuns } from './frame-runs.js'
import { Prompt } from './prompt.js'

const TURN_MS = 2
/** The same where everything else goes first. */
const BULK_TURN_MS = 0.5
/**
 * Between two looks at the clock, which cost as much as a small frame each: so many bytes, and a frame counts for some
 * more than it has.
 */
const WORK_BYTES = 32_768
const FRAME_WORK_BYTES = 2_048
const BATCH_BYTES = 262_144

/** How a connection ended: as its stream did, or because we closed it over bytes the protocol does not allow. */
export type ConnectionEnd = StreamEnd | 'protocol'

/** What a connection tells its owner. Nothing is called after `closed`, which is called exactly once. */
export interface ConnectionHandlers {
  opened?(): void
  /** @throws {ProtocolError} to have the connection closed as `protocol` */
  frame(frame: Frame): void
  /** All frames of what came in have been told, or as many as one turn has time for. */
  read?(): void
  /** `congested` has become false. */
  drained?(): void
  closed(end: ConnectionEnd): void
}

/**
 * Frames over one stream. Frames written by one run of the program leave as one buffer at its end; those of a later run
 * together at the end of the turn of the event loop, unless something has come in over the connection since. Decoding
 * stops after about 2 ms, or a quarter of that where it is bulk, and goes on in the next turn, so that no peer holds up
 * the others.
 */
export class Connection {
  readonly #clock: Clock
  readonly #handlers: ConnectionHandlers
  readonly #decoder: FrameDecoder
  #stream: Stream | undefined
  readonly #pending = new FrameRuns()
  readonly #flush: Prompt
  #turnMs = TURN_MS
  #full = false
  #wasCongested = false
  #decoding = false
  #paused = false
  #ending = false
  #closed = false
  #protocol = false

  constructor(clock: Clock, options: { readonly frameLimitBytes: number }, handlers: ConnectionHandlers) {
    this.#clock = clock
    this.#handlers = handlers
    this.#decoder = new FrameDecoder(options.frameLimitBytes)
    this.#flush = new Prompt(clock, () => this.flush())
  }

  /** What the stream is to be made with; {@link attach} must follow in the same call. */
  get streamHandlers(): StreamHandlers {
    return {
      opened: () => this.#handlers.opened?.(),
      data: bytes => this.#data(bytes),
      borrows: true,
      drain: () => this.#drain(),
      closed: end => this.#close(end),
    }
  }

  /** From now on it carries bulk, which leaves the turn to others much sooner. */
  carryBulk(): void {
    this.#turnMs = BULK_TURN_MS
  }

  attach(stream: Stream): void {
    this.#stream = stream
  }

  /** Whether the owner should hold back: the peer or the network is slower than we write. */
  get congested(): boolean {
    const congested = this.#full || this.#pending.bytes >= BATCH_BYTES
    if (congested) this.#wasCongested = true
    return congested
  }

  /** Bytes taken over and not yet taken by the system. */
  get bufferedBytes(): number {
    return this.#pending.bytes + (this.#stream?.bufferedBytes ?? 0)
  }

  /** Takes an encoded frame over; never refuses, so look at {@link congested} first. */
  write(frame: Uint8Array): void {
    if (this.#closed || this.#ending) return
    this.#pending.add(frame)
    this.#flush.ask()
  }

  /** As `write`, with what has gathered, and not a little later. */
  send(frame: Uint8Array): void {
    if (this.#closed || this.#ending) return
    this.#pending.add(frame)
    this.flush()
  }

  /** Writes what has gathered now instead of a little later. */
  flush(): void {
    if (this.#closed || this.#full || this.#stream === undefined) return
    // The system may have taken the rest of an earlier write, of which it tells only after large ones.
    this.#release()
    if (this.#pending.bytes === 0) return
    this.#full = !writeAll(this.#stream, this.#pending.take())
    this.#release()
    if (!this.#full) this.#tellDrained()
  }

  /** Sends what is written, then closes. */
  end(): void {
    this.#full = false
    this.flush()
    this.#ending = true
    this.#stream?.end()
  }

  /** Closes at once; `closed('local')` follows. */
  destroy(): void {
    this.#stream?.destroy()
  }

  #drain(): void {
    this.#full = false
    this.flush()
    if (!this.#full) this.#tellDrained()
  }

  /** What the system has taken may be written over. */
  #release(): void {
    if (this.#stream?.bufferedBytes === 0) this.#pending.release()
  }

  #tellDrained(): void {
    if (!this.#wasCongested || this.#closed) return
    this.#wasCongested = false
    this.#handlers.drained?.()
  }

  #data(bytes: Uint8Array): void {
    if (this.#closed || this.#protocol) return
    this.#flush.renew()
    this.#decoder.push(bytes)
    if (!this.#decoding) this.#decode()
    if (!this.#decoding) return
    this.#decoder.keep()
    // What is not read stays with the system, which makes the peer wait.
    if (this.#decoding && !this.#paused) {
      this.#paused = true
      this.#stream?.pause()
    }
  }

  /** `#decoding` stays set while complete frames may be left for the next turn. */
  #decode(): void {
    this.#decoding = true
    const decoder = this.#decoder
    const until = this.#clock.monotonic() + this.#turnMs
    try {
      for (let work = 0; !this.#closed; ) {
        if (!decoder.advance()) break
        const { start, end } = decoder
        const frame = decodeFrame(decoder.bytes, start, end)
        if (frame !== undefined) this.#handlers.frame(frame)
        work += FRAME_WORK_BYTES + end - start
        if (work < WORK_BYTES) continue
        work = 0
        if (this.#clock.monotonic() < until) continue
        this.#clock.soon(() => this.#decode())
        return this.#handlers.read?.()
      }
    } catch (error) {
      // What came can neither be taken in twice nor left out.
      this.#protocol = error instanceof ProtocolError
      this.destroy()
      if (!this.#protocol) throw error
      return
    }
    this.#decoding = false
    decoder.keep()
    this.#handlers.read?.()
    if (this.#paused && !this.#closed) {
      this.#paused = false
      this.#stream?.resume()
    }
  }

  #close(end: StreamEnd): void {
    if (this.#closed) return
    this.#closed = true
    this.#pending.clear()
    this.#handlers.closed(this.#protocol ? 'protocol' : end)
  }
}

function writeAll(stream: Stream, pieces: readonly Uint8Array[]): boolean {
  if (pieces.length > 1 && stream.writeAll !== undefined) return stream.writeAll(pieces)
  return stream.write(pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces))
}
