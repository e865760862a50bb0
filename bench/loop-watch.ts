import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks'

/** What a process was busy with between two looks. */
export interface LoopWatched {
  /** How late timers were, beyond the millisecond they are set to. */
  readonly loopP99Ms: number
  readonly loopMaxMs: number
  /** Pauses of the garbage collector, and the longest. */
  readonly gcMs: number
  readonly gcMaxMs: number
  /** Marking of the whole heap, which bytes outside of it bring about as well. */
  readonly fullGcs: number
  readonly cpuMs: number
}

const RESOLUTION_MS = 1
const NS = 1_000_000
/** `perf_hooks.constants.NODE_PERFORMANCE_GC_MAJOR`; marking and its last step are told apart from it. */
const MAJOR = 4

/** Watches the event loop of this process, from the last look on. */
export class LoopWatch {
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  #gcMs = 0
  #gcMaxMs = 0
  #fullGcs = 0
  #cpuMs = cpuMs()

  constructor() {
    this.#delay.enable()
    new PerformanceObserver(list => {
      for (const entry of list.getEntries()) {
        const { duration } = entry
        this.#gcMs += duration
        this.#gcMaxMs = Math.max(this.#gcMaxMs, duration)
        if ((entry as { detail?: { kind?: number } }).detail?.kind === MAJOR) this.#fullGcs++
      }
    }).observe({ entryTypes: ['gc'] })
  }

  /** What has been since the last look. */
  look(): LoopWatched {
    const now = cpuMs()
    const watched = {
      loopP99Ms: Math.max(0, this.#delay.percentile(99) / NS - RESOLUTION_MS),
      loopMaxMs: Math.max(0, this.#delay.max / NS - RESOLUTION_MS),
      gcMs: this.#gcMs,
      gcMaxMs: this.#gcMaxMs,
      fullGcs: this.#fullGcs,
      cpuMs: now - this.#cpuMs,
    }
    this.#delay.reset()
    this.#gcMs = 0
    this.#gcMaxMs = 0
    this.#fullGcs = 0
    this.#cpuMs = now
    return watched
  }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
