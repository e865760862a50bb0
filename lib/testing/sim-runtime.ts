import type { Runtime } from '../runtime/runtime.js'
import type { SimNetwork } from './sim-network.js'
import { type SimHost, SimProcess } from './sim-process.js'
import type { Simulator } from './simulator.js'

/** A `Runtime` on virtual time, and the process behind it, by which it is paused, resumed and killed. */
export interface SimRuntime extends Runtime {
  /** For pausing and killing it. */
  readonly process: SimProcess
}

/** Starts a process on a host. Each has a random stream of its own. */
export function createSimRuntime(sim: Simulator, network: SimNetwork, host: SimHost): SimRuntime {
  const process = new SimProcess(sim, host)
  return { process, clock: process.clock, random: sim.random.fork(host.name), network: network.forProcess(process) }
}
