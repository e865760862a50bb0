/**
 * Frames that are to leave together. Those that lie one behind the other (`frameSpace` sees to that) are one run and
 * are written as they lie; only where there are several runs are they copied into one piece.
 */
export class FrameRuns {
  #runs: Uint8Array[] = []
  /** The run that still grows, by its place in memory: a view for each frame would cost more than most frames. */
  #memory: ArrayBufferLike | undefined
  #start = 0
  #end = 0

  add(frame: Uint8Array): void {
    if (frame.buffer === this.#memory && frame.byteOffset === this.#end) {
      this.#end += frame.length
      return
    }
    this.#finish()
    this.#memory = frame.buffer
    this.#start = frame.byteOffset
    this.#end = frame.byteOffset + frame.length
  }

  /** All of them in one piece of `length` bytes, which is what they are together; none are left. */
  take(length: number): Uint8Array {
    this.#finish()
    const runs = this.#runs
    this.#runs = []
    if (runs.length === 1) return runs[0] as Uint8Array
    const whole = Buffer.allocUnsafeSlow(length)
    let at = 0
    for (const run of runs) {
      whole.set(run, at)
      at += run.length
    }
    return whole
  }

  clear(): void {
    this.#runs = []
    this.#memory = undefined
  }

  #finish(): void {
    if (this.#memory === undefined) return
    this.#runs.push(new Uint8Array(this.#memory, this.#start, this.#end - this.#start))
    this.#memory = undefined
  }
}
