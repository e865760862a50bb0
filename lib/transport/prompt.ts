import type { Clock } from '../runtime/runtime.js'

/**
 * Runs a job once for all that asked for it: when the code that asked is done, so that what is alone does not wait; but
 * a second time in the same turn of the event loop only at its end, so that what is busy gathers. A message by itself
 * saves a round of the event loop, and many requests in one turn still share one write.
 */
export class Prompt {
  readonly #clock: Clock
  readonly #run: () => void
  readonly #now = (): void => this.#atOnce()
  readonly #end = (): void => this.#endOfTurn()
  #asked = false
  /** Whether it has run in this turn, or waits for its end. */
  #waits = false

  constructor(clock: Clock, run: () => void) {
    this.#clock = clock
    this.#run = run
  }

  /** Has the job run, once for all who ask until then. */
  ask(): void {
    if (this.#asked) return
    this.#asked = true
    if (this.#waits) return
    if (this.#clock.next !== undefined) return this.#clock.next(this.#now)
    this.#waits = true
    this.#clock.soon(this.#end)
  }

  #atOnce(): void {
    this.#waits = true
    this.#clock.soon(this.#end)
    this.#asked = false
    this.#run()
  }

  #endOfTurn(): void {
    this.#waits = false
    if (!this.#asked) return
    this.#asked = false
    this.#run()
  }
}
