import { randomBytes, randomInt } from 'node:crypto'
import type { ClusterOptions } from '../lib/index.js'

/** How the members of one bench find each other, and nobody else. */
export interface LoopbackGroup {
  readonly service: 'multicast' | 'static'
  readonly group: string
  readonly multicastPort: number
  /** First of `ports` ports the members listen on. */
  readonly receiverPort: number
  readonly ports: number
}

/** Beside the ephemeral ports, so that two runs at once rarely try the same one. */
const PORT_MIN = 20_000
const PORT_MAX = 30_000

/** A group of at most `nodes` members at a time on 127.0.0.1. */
export function loopbackGroup(nodes: number, service: LoopbackGroup['service'] = 'multicast'): LoopbackGroup {
  return {
    service,
    group: `bench-${randomBytes(6).toString('hex')}`,
    multicastPort: randomInt(PORT_MIN, PORT_MAX),
    receiverPort: randomInt(PORT_MIN, PORT_MAX),
    // With multicast a port another program has is skipped; the static list must name them all.
    ports: service === 'static' ? nodes : nodes + 100,
  }
}

/** What a member of the group starts with: the product's defaults but for the addresses. */
export function loopbackOptions(name: string, group: LoopbackGroup): ClusterOptions {
  const { receiverPort, ports, multicastPort } = group
  const members = Array.from({ length: ports }, (_, index) => `127.0.0.1:${receiverPort + index}`)
  return {
    name,
    group: group.group,
    membership:
      group.service === 'static'
        ? { service: 'static', members }
        : { service: 'multicast', bind: '127.0.0.1', port: multicastPort },
    receiver: { address: '127.0.0.1', port: receiverPort, autoBind: ports },
  }
}
