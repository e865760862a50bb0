import type { Clock, Timer } from '../runtime/runtime.js'

/** Those that wait equally long, the first due first, and the timer of the first. */
interface Queue {
  readonly timeoutMs: number
  first: Dated | undefined
  last: Dated | undefined
  timer: Timer
}

/** What has a deadline. Its fields are {@link Deadlines}'s own. */
export abstract class Dated {
  /** On the monotonic clock, in milliseconds. */
  dueMs = 0
  queue: Queue | undefined = undefined
  before: Dated | undefined = undefined
  after: Dated | undefined = undefined

  /** The time is up. */
  abstract timeout(): void
}

/** Different waits remembered while nobody waits as long. */
const IDLE_QUEUES_MAX = 16

/**
 * Deadlines of many things that nearly all are over long before: one timer for all that wait equally long, instead of
 * one to set and one to cancel for each. It goes off when the first would have been due and is set again for the next.
 *
 * Links instead of a Set: one that grows and shrinks all the time replaces its table every few operations, and V8 has
 * each old table refer to the next one. As soon as one of them is old, all later ones survive with everything in them,
 * which was a third of a writer's memory until the whole heap was collected.
 */
export class Deadlines<D extends Dated = Dated> implements Iterable<D> {
  readonly #clock: Clock
  readonly #queues = new Map<number, Queue>()
  #size = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Those that neither were removed nor have been timed out. */
  get size(): number {
    return this.#size
  }

  /** As they are now, whatever becomes of them meanwhile. */
  [Symbol.iterator](): Iterator<D> {
    const all: D[] = []
    for (const { first } of this.#queues.values()) {
      for (let dated = first; dated !== undefined; dated = dated.after) all.push(dated as D)
    }
    return all.values()
  }

  /** Calls its `timeout` once after `timeoutMs`, unless it is removed. It must not be waiting already. */
  add(dated: D, timeoutMs: number): void {
    dated.dueMs = this.#clock.monotonic() + timeoutMs
    let queue = this.#queues.get(timeoutMs)
    if (queue === undefined) {
      queue = { timeoutMs, first: undefined, last: undefined, timer: this.#timer(timeoutMs, timeoutMs) }
      this.#queues.set(timeoutMs, queue)
    }
    dated.queue = queue
    dated.before = queue.last
    if (queue.last === undefined) queue.first = dated
    else queue.last.after = dated
    queue.last = dated
    this.#size++
  }

  /** `false`: it was not waiting. */
  remove(dated: D): boolean {
    const { queue, before, after } = dated
    if (queue === undefined) return false
    if (before === undefined) queue.first = after
    else before.after = after
    if (after === undefined) queue.last = before
    else after.before = before
    // What is gone and old must not keep what is young.
    dated.queue = dated.before = dated.after = undefined
    this.#size--
    if (queue.first === undefined && this.#queues.size > IDLE_QUEUES_MAX) {
      queue.timer.cancel()
      this.#queues.delete(queue.timeoutMs)
    }
    return true
  }

  /** Nobody is timed out any more. */
  clear(): void {
    for (const { timer } of this.#queues.values()) timer.cancel()
    for (const dated of this) this.remove(dated)
    this.#queues.clear()
  }

  #timer(timeoutMs: number, inMs: number): Timer {
    return this.#clock.setTimer(inMs, () => this.#due(timeoutMs))
  }

  #due(timeoutMs: number): void {
    const queue = this.#queues.get(timeoutMs)
    if (queue === undefined) return
    const now = this.#clock.monotonic()
    for (let dated = queue.first; dated !== undefined; dated = queue.first) {
      if (dated.dueMs > now) {
        queue.timer = this.#timer(timeoutMs, dated.dueMs - now)
        return
      }
      this.remove(dated as D)
      dated.timeout()
    }
    // Not another that has begun meanwhile.
    if (this.#queues.get(timeoutMs) === queue) this.#queues.delete(timeoutMs)
  }
}
