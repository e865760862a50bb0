import { Buffer } from 'node:buffer'
import { type FrameChunk, frames, letGo } from '../wire/frame-space.js'
import { memoryOf, offsetOf } from '../wire/view.js'

/** Pieces shorter than this, on average, are copied together: each takes the system some time. */
const PIECE_BYTES = 2_048

/**
 * Frames that are to leave together. Those that lie one behind the other (`FrameSpace` sees to that) are one piece and
 * are written as they lie, as are large ones wherever they lie; many small pieces are copied into one. What they lie in
 * is held until somebody says that they have left.
 */
export class FrameRuns {
  #runs: Uint8Array[] = []
  #bytes = 0
  /** The run that still grows, by its place in memory: a view for each frame would cost more than most frames. */
  #memory: ArrayBufferLike | undefined
  #start = 0
  #end = 0
  /** What the runs lie in, and what those that were taken do. */
  readonly #held: FrameChunk[] = []
  readonly #taken: FrameChunk[] = []

  /** Bytes of all of them. */
  get bytes(): number {
    return this.#bytes
  }

  add(frame: Uint8Array): void {
    this.#bytes += frame.length
    const memory = memoryOf(frame)
    const start = offsetOf(frame)
    if (memory === this.#memory && start === this.#end) {
      this.#end += frame.length
      return
    }
    this.#finish()
    this.#memory = memory
    this.#start = start
    this.#end = start + frame.length
    const chunk = frames.hold(memory)
    if (chunk !== undefined) this.#held.push(chunk)
  }

  /** All of them, as pieces that belong one behind the other and stay as they are until `release`; none are left. */
  take(): Uint8Array[] {
    this.#finish()
    const runs = this.#runs
    const bytes = this.#bytes
    this.#runs = []
    this.#bytes = 0
    if (runs.length === 1 || bytes >= PIECE_BYTES * runs.length) {
      for (const chunk of this.#held) this.#taken.push(chunk)
      this.#held.length = 0
      return runs
    }
    const copy = Buffer.concat(runs, bytes)
    this.#letGo(this.#held)
    return [copy]
  }

  /** Whatever was taken has left. */
  release(): void {
    this.#letGo(this.#taken)
  }

  /** None are left; what was taken may still be on its way, so it is held for good. */
  clear(): void {
    this.#runs = []
    this.#bytes = 0
    this.#memory = undefined
    this.#letGo(this.#held)
  }

  #letGo(chunks: FrameChunk[]): void {
    letGo(chunks)
    chunks.length = 0
  }

  #finish(): void {
    if (this.#memory === undefined) return
    this.#runs.push(new Uint8Array(this.#memory, this.#start, this.#end - this.#start))
    this.#memory = undefined
  }
}
