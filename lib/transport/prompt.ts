import type { Clock } from '../runtime/runtime.js'

/**
 * Runs a job once for all that asked for it: when the code that asked is done, so that what is alone does not wait; but
 * the next time only at the end of the turn of the event loop, so that what is busy gathers. A message by itself saves
 * a round of the event loop, and many requests in one turn still share one write.
 *
 * Nothing but a second asking ends the turn for it, for to have oneself called at the end of every turn costs as much
 * as a small message. Who knows that it is over says so ({@link renew}).
 */
export class Prompt {
  readonly #clock: Clock
  readonly #run: () => void
  readonly #now = (): void => this.#atOnce()
  readonly #end = (): void => this.#endOfTurn()
  #asked = false
  /** Whether it has run, perhaps in this turn. */
  #waits = false

  constructor(clock: Clock, run: () => void) {
    this.#clock = clock
    this.#run = run
  }

  /** Has the job run, once for all who ask until then. */
  ask(): void {
    if (this.#asked) return
    this.#asked = true
    if (this.#waits || this.#clock.next === undefined) this.#clock.soon(this.#end)
    else this.#clock.next(this.#now)
  }

  /** The turn in which it ran last is over, or what came meanwhile is worth another run. */
  renew(): void {
    this.#waits = false
  }

  #atOnce(): void {
    this.#waits = true
    this.#asked = false
    this.#run()
  }

  #endOfTurn(): void {
    this.#waits = false
    this.#asked = false
    this.#run()
  }
}
