import type { Clock, Timer } from '../runtime/runtime.js'
import type { Simulator } from './simulator.js'

/** A machine: what outlives a process. Its wall clock may be off and may jump. */
export interface SimHost {
  /** As given to `SimNetwork.addHost`. */
  readonly name: string
  /** Its IPv4 address in the simulation. */
  readonly address: string
  /** Milliseconds its wall clock is ahead of virtual time; may be changed while it runs. */
  wallOffsetMs: number
  /** Switched off: nothing answers, not even with a refusal. */
  dark: boolean
}

/** Wall time of virtual millisecond 0. */
const EPOCH_MS = 1_700_000_000_000

/**
 * One life of one process. Its callbacks run only while it runs: a paused process (SIGSTOP) gets everything that
 * piled up, in order, when it goes on; a dead one never runs again.
 */
export class SimProcess {
  /** The machine it runs on. */
  readonly host: SimHost
  /** Virtual time as this process sees it; the monotonic one starts somewhere else in every life. */
  readonly clock: Clock
  readonly #sim: Simulator
  readonly #held: (() => void)[] = []
  readonly #onDeath: (() => void)[] = []
  readonly #monotonicOriginMs: number
  #state: 'running' | 'paused' | 'dead' = 'running'

  constructor(sim: Simulator, host: SimHost) {
    this.#sim = sim
    this.host = host
    this.#monotonicOriginMs = sim.random.between(0, 1_000_000)
    let recentMs = this.#monotonicOriginMs + sim.now
    this.clock = {
      wall: () => EPOCH_MS + sim.now + host.wallOffsetMs,
      monotonic: () => {
        recentMs = this.#monotonicOriginMs + sim.now
        return recentMs
      },
      recent: () => recentMs,
      setTimer: (delayMs, run) => {
        const looking = (): void => {
          this.clock.monotonic()
          run()
        }
        return this.#timer(delayMs, 'timer', looking)
      },
      soon: run => void this.#timer(0, 'soon', run),
      next: run => void this.#timer(0, 'next', run),
    }
  }

  /** A dead one stays dead: the next life is another object. */
  get state(): 'running' | 'paused' | 'dead' {
    return this.#state
  }

  /** Runs process code now, on resume, or never. */
  enter(run: () => void): void {
    if (this.#state === 'running') run()
    else if (this.#state === 'paused') this.#held.push(run)
  }

  /** Stops it as SIGSTOP does, until `resume`; virtual time goes on. Nothing happens unless it is running. */
  pause(): void {
    if (this.#state === 'running') this.#state = 'paused'
  }

  /** Runs all that piled up, in order and within the call. Nothing happens unless it is paused. */
  resume(): void {
    if (this.#state !== 'paused') return
    this.#state = 'running'
    for (let run = this.#held.shift(); run !== undefined; run = this.#held.shift()) {
      if (this.#state !== 'running') return
      run()
    }
  }

  /** The process is gone at once; its sockets close. */
  kill(): void {
    if (this.#state === 'dead') return
    this.#state = 'dead'
    this.#held.length = 0
    for (const tellOwner of this.#onDeath.splice(0)) tellOwner()
  }

  /** Has `run` called when the process dies. */
  atDeath(run: () => void): void {
    this.#onDeath.push(run)
  }

  #timer(delayMs: number, kind: string, run: () => void): Timer {
    let pending = true
    const timer = this.#sim.schedule(delayMs, kind, this.host.name, () => {
      if (this.#state === 'dead') return
      this.enter(() => {
        if (!pending) return
        pending = false
        run()
      })
    })
    return {
      cancel: () => {
        pending = false
        timer.cancel()
      },
    }
  }
}
