import { Buffer } from 'node:buffer'
import { memoryOf } from '../wire/view.js'

/** Pieces shorter than this, on average, are copied together: each takes the system some time. */
const PIECE_BYTES = 2_048

/**
 * Frames that are to leave together. Those that lie one behind the other (`frameRoom` sees to that) are one piece and
 * are written as they lie, as are large ones wherever they lie; many small pieces are copied into one.
 */
export class FrameRuns {
  #runs: Uint8Array[] = []
  #bytes = 0
  /** The run that still grows, by its place in memory: a view for each frame would cost more than most frames. */
  #memory: ArrayBufferLike | undefined
  #start = 0
  #end = 0

  /** Bytes of all of them. */
  get bytes(): number {
    return this.#bytes
  }

  add(frame: Uint8Array): void {
    this.#bytes += frame.length
    const memory = memoryOf(frame)
    if (memory === this.#memory && frame.byteOffset === this.#end) {
      this.#end += frame.length
      return
    }
    this.#finish()
    this.#memory = memory
    this.#start = frame.byteOffset
    this.#end = frame.byteOffset + frame.length
  }

  /** All of them, as pieces that belong one behind the other; none are left. */
  take(): Uint8Array[] {
    this.#finish()
    const runs = this.#runs
    const bytes = this.#bytes
    this.#runs = []
    this.#bytes = 0
    return runs.length === 1 || bytes >= PIECE_BYTES * runs.length ? runs : [Buffer.concat(runs, bytes)]
  }

  clear(): void {
    this.#runs = []
    this.#bytes = 0
    this.#memory = undefined
  }

  #finish(): void {
    if (this.#memory === undefined) return
    this.#runs.push(new Uint8Array(this.#memory, this.#start, this.#end - this.#start))
    this.#memory = undefined
  }
}
