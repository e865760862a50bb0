import type { Fleet } from '../../examples/demo/fleet.js'
import { haproxy } from '../balancers/haproxy.js'
import { find, RunningBalancer } from '../balancers/running-balancer.js'

/** What stands in front of the nodes. */
export interface Front {
  readonly name: string
  readonly port: number
  stop(): Promise<void>
}

/** HAProxy with the file in `examples/balancers`, which repeats no write, or the demo's own balancer, which does. */
export async function startFront(fleet: Fleet, wanted: 'haproxy' | 'demo' | undefined): Promise<Front> {
  const installed = wanted === 'demo' ? undefined : find(haproxy)
  if (installed) {
    const ports = fleet.nodes.map(node => node.httpPort)
    const running = await RunningBalancer.start(haproxy, installed, ports)
    return { name: `haproxy ${installed.version}`, port: running.port, stop: () => running.stop() }
  }
  if (wanted === 'haproxy') throw new Error('HAProxy is not installed')
  await fleet.startBalancer()
  return { name: 'demo', port: fleet.balancerPort, stop: async () => {} }
}
