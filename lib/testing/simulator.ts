import type { Timer } from '../runtime/runtime.js'
import { EventHeap, type SimEvent } from './event-heap.js'
import { SimRandom } from './sim-random.js'

/** How a simulation is set up. */
export interface SimulatorOptions {
  /** Everything random follows from it. */
  readonly seed: string | number
  /** Most events in one virtual millisecond before the run is stopped as a livelock. Default 100,000. */
  readonly eventLimitPerMs?: number
  /** Lets pending promises settle; default: one turn of the host's event loop. */
  readonly settle?: () => Promise<void>
}

/**
 * Virtual time: a heap of events run one after the other from one seed, so that a run can be repeated exactly
 * (the idea is FoundationDB's and TigerBeetle's). Events are synchronous; after all events of one millisecond the
 * host's event loop turns once, which settles every promise they resolved.
 */
export class Simulator {
  /** As given. */
  readonly seed: string | number
  /** The lots of the whole simulation; `fork` it for lots of your own. */
  readonly random: SimRandom
  readonly #heap = new EventHeap()
  readonly #marks = new Map<string, number>()
  readonly #kinds = new Map<string, number>()
  readonly #settle: () => Promise<void>
  readonly #eventLimitPerMs: number
  #nowMs = 0
  #order = 0
  #events = 0
  #traceHigh = 0x6a09e667
  #traceLow = 0xbb67ae85
  #failure: { readonly error: unknown } | undefined

  constructor(options: SimulatorOptions) {
    this.seed = options.seed
    this.random = new SimRandom(options.seed)
    this.#settle = options.settle ?? turnOfEventLoop
    this.#eventLimitPerMs = options.eventLimitPerMs ?? 100_000
  }

  /** Virtual milliseconds since the start. */
  get now(): number {
    return this.#nowMs
  }

  /** How many events have run. */
  get events(): number {
    return this.#events
  }

  /** A running 64-bit hash over time, kind and node of every event: equal for equal runs. */
  get trace(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0')
    return hex(this.#traceHigh) + hex(this.#traceLow)
  }

  /** How often each named situation was met. */
  get marks(): ReadonlyMap<string, number> {
    return this.#marks
  }

  /** Notes that a named situation was met; one that no seed ever meets is a hole in the tests. */
  mark(name: string, times = 1): void {
    this.#marks.set(name, (this.#marks.get(name) ?? 0) + times)
  }

  /** Has `run` called after `delayMs` (rounded up to whole milliseconds). */
  schedule(delayMs: number, kind: string, node: string, run: () => void): Timer {
    const event: SimEvent = {
      atMs: this.#nowMs + Math.max(0, Math.ceil(delayMs)),
      order: this.#order++,
      kind,
      node,
      run,
    }
    this.#heap.push(event)
    return { cancel: () => void (event.run = undefined) }
  }

  /** Stops the run; `run` and `runUntil` reject with the error. The first failure wins. */
  fail(error: unknown): void {
    this.#failure ??= { error }
  }

  /** Runs `durationMs` of virtual time. */
  async run(durationMs: number): Promise<void> {
    await this.#runTo(this.#nowMs + durationMs, undefined)
  }

  /**
   * Runs until `predicate` holds (asked after every millisecond with events).
   *
   * @returns the virtual milliseconds it took
   * @throws {Error} when it does not within `within` milliseconds
   */
  async runUntil(
    predicate: () => boolean,
    options: { readonly within: number; readonly what?: string },
  ): Promise<number> {
    const startMs = this.#nowMs
    if (await this.#runTo(startMs + options.within, predicate)) return this.#nowMs - startMs
    throw new Error(
      `Not within ${options.within} ms of virtual time: ${options.what ?? predicate.toString().slice(0, 120)} (seed ${this.seed})`,
    )
  }

  /** Lets promises settle without moving time. */
  async settle(): Promise<void> {
    await this.#settle()
    this.#rethrow()
  }

  async #runTo(endMs: number, predicate: (() => boolean) | undefined): Promise<boolean> {
    await this.settle()
    if (predicate?.()) return true
    for (;;) {
      const next = this.#heap.peek()
      if (next === undefined || next.atMs > endMs) break
      if (next.run === undefined) {
        this.#heap.pop()
        continue
      }
      this.#nowMs = next.atMs
      this.#runInstant()
      await this.settle()
      if (predicate?.()) return true
    }
    this.#nowMs = endMs
    return predicate?.() ?? false
  }

  #runInstant(): void {
    let budget = this.#eventLimitPerMs
    for (;;) {
      const event = this.#heap.peek()
      if (event === undefined || event.atMs > this.#nowMs || this.#failure !== undefined) return
      this.#heap.pop()
      const run = event.run
      if (run === undefined) continue
      if (budget-- <= 0)
        throw new Error(`Livelock at ${this.#nowMs} ms in ${event.kind} of ${event.node} (seed ${this.seed})`)
      event.run = undefined
      this.#events++
      this.#addToTrace(event)
      run()
    }
  }

  #addToTrace(event: SimEvent): void {
    const what = this.#number(event.kind) * 4_096 + this.#number(event.node)
    this.#traceHigh = Math.imul(this.#traceHigh ^ event.atMs, 0x01000193) ^ (this.#traceLow >>> 15)
    this.#traceLow = Math.imul(this.#traceLow ^ what, 0x85ebca6b) + this.#traceHigh
  }

  #number(name: string): number {
    let number = this.#kinds.get(name)
    if (number === undefined) this.#kinds.set(name, (number = this.#kinds.size + 1))
    return number
  }

  #rethrow(): void {
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

function turnOfEventLoop(): Promise<void> {
  return new Promise(resolve => void setImmediate(resolve))
}
