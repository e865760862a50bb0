import type { Clock, Random, Timer } from '../runtime/runtime.js'

const TICK_MS = 100

/** Tasks, each named by a text and kept once: those of this turn, and those of later. Costs nothing while empty. */
export class Agenda {
  readonly #clock: Clock
  readonly #random: Random
  readonly #run: (task: string) => void
  readonly #now = new Set<string>()
  readonly #later = new Map<string, number>()
  #timer: Timer | undefined
  #stopped = false

  constructor(clock: Clock, random: Random, run: (task: string) => void) {
    this.#clock = clock
    this.#random = random
    this.#run = run
  }

  /** At the end of this turn, or at the next `flush`. */
  soon(task: string): void {
    if (this.#stopped) return
    if (this.#now.size === 0) this.#clock.soon(() => this.flush())
    this.#now.add(task)
  }

  /** After a time drawn from this range, milliseconds; as planned, if it is planned already. */
  later(task: string, leastMs: number, mostMs: number): void {
    if (this.#stopped || this.#later.has(task)) return
    const delayMs = leastMs + ((mostMs - leastMs) * this.#random.uint32()) / 2 ** 32
    this.#later.set(task, this.#clock.monotonic() + delayMs)
    this.#timer ??= this.#clock.setTimer(TICK_MS, () => this.#tick())
  }

  /** Strikes a task of later. */
  drop(task: string): void {
    if (this.#later.size > 0) this.#later.delete(task)
  }

  /** Runs what is due in this turn, and what that makes due. */
  flush(): void {
    for (const task of this.#now) {
      this.#now.delete(task)
      this.#run(task)
    }
  }

  /** Nothing runs any more. */
  stop(): void {
    this.#stopped = true
    this.#now.clear()
    this.#later.clear()
    this.#timer?.cancel()
  }

  #tick(): void {
    this.#timer = undefined
    const now = this.#clock.monotonic()
    for (const [task, dueMs] of this.#later) {
      if (dueMs > now) continue
      this.#later.delete(task)
      this.#run(task)
    }
    if (this.#later.size > 0 && !this.#stopped) this.#timer ??= this.#clock.setTimer(TICK_MS, () => this.#tick())
  }
}
