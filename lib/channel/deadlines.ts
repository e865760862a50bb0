import type { Clock, Timer } from '../runtime/runtime.js'

/** What has a deadline. */
export interface Dated {
  /** On the monotonic clock, in milliseconds; for {@link Deadlines}. */
  dueMs: number
  /** The time is up. */
  timeout(): void
}

/** Those that wait equally long, the first due first, and the timer of the first. */
interface Queue {
  readonly waiting: Set<Dated>
  timer: Timer
}

/** Different waits remembered while nobody waits as long. */
const IDLE_QUEUES_MAX = 16

/**
 * Deadlines of many things that nearly all are over long before: one timer for all that wait equally long, instead of
 * one to set and one to cancel for each. It goes off when the first would have been due and is set again for the next.
 */
export class Deadlines {
  readonly #clock: Clock
  readonly #queues = new Map<number, Queue>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Calls its `timeout` once after `timeoutMs`, unless it is removed. */
  add(dated: Dated, timeoutMs: number): void {
    dated.dueMs = this.#clock.monotonic() + timeoutMs
    const queue = this.#queues.get(timeoutMs)
    if (queue !== undefined) {
      queue.waiting.add(dated)
      return
    }
    this.#queues.set(timeoutMs, { waiting: new Set([dated]), timer: this.#timer(timeoutMs, timeoutMs) })
  }

  /** `timeoutMs`: as it was added. */
  remove(dated: Dated, timeoutMs: number): void {
    const queue = this.#queues.get(timeoutMs)
    if (queue === undefined) return
    queue.waiting.delete(dated)
    if (queue.waiting.size > 0 || this.#queues.size <= IDLE_QUEUES_MAX) return
    queue.timer.cancel()
    this.#queues.delete(timeoutMs)
  }

  /** Nobody is timed out any more. */
  clear(): void {
    for (const { timer } of this.#queues.values()) timer.cancel()
    this.#queues.clear()
  }

  #timer(timeoutMs: number, inMs: number): Timer {
    return this.#clock.setTimer(inMs, () => this.#due(timeoutMs))
  }

  #due(timeoutMs: number): void {
    const queue = this.#queues.get(timeoutMs)
    if (queue === undefined) return
    const now = this.#clock.monotonic()
    for (const dated of queue.waiting) {
      if (dated.dueMs > now) {
        queue.timer = this.#timer(timeoutMs, dated.dueMs - now)
        return
      }
      queue.waiting.delete(dated)
      dated.timeout()
    }
    // Not another that has begun meanwhile.
    if (this.#queues.get(timeoutMs) === queue) this.#queues.delete(timeoutMs)
  }
}
