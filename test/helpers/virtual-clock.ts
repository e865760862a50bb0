import type { Clock, Timer } from '../../lib/runtime/runtime.js'

interface Due {
  readonly atMs: number
  readonly run: () => void
}

/** A clock that moves when it is told to, and runs what is due on the way, in order. */
export class VirtualClock implements Clock {
  nowMs = 0
  #due: Due[] = []

  wall(): number {
    return 1_800_000_000_000 + this.nowMs
  }

  monotonic(): number {
    return this.nowMs
  }

  soon(run: () => void): void {
    this.setTimer(0, run)
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const due = { atMs: this.nowMs + delayMs, run }
    this.#due.push(due)
    return {
      cancel: () => {
        this.#due = this.#due.filter(other => other !== due)
      },
    }
  }

  /** As coordinators hand it to their parts. */
  readonly after = (delayMs: number, run: () => void): void => {
    this.setTimer(delayMs, run)
  }

  advance(ms: number): void {
    const endMs = this.nowMs + ms
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#due = this.#due.filter(due => due !== next)
      this.nowMs = Math.max(this.nowMs, next.atMs)
      next.run()
    }
    this.nowMs = endMs
  }

  #next(endMs: number): Due | undefined {
    const due = this.#due.filter(({ atMs }) => atMs <= endMs)
    return due.reduce<Due | undefined>(
      (first, one) => (first === undefined || one.atMs < first.atMs ? one : first),
      undefined,
    )
  }
}
