import { SimNetwork } from '../../lib/testing/sim-network.js'
import { createSimRuntime } from '../../lib/testing/sim-runtime.js'
import { Simulator } from '../../lib/testing/simulator.js'
import { networkConformance } from './network-suite.js'

networkConformance('simulated', () => {
  const sim = new Simulator({ seed: 11 })
  const network = new SimNetwork(sim, { quality: { minDelayMs: 1, maxDelayMs: 3 } })
  const a = network.addHost('a')
  const b = network.addHost('b')
  return {
    runtimes: [createSimRuntime(sim, network, a), createSimRuntime(sim, network, b)],
    hosts: [a.address, b.address],
    settle: () => sim.run(2),
    multicast: { address: '228.0.0.4', bind: [a.address, b.address] },
  }
})
