import { randomBytes, randomInt } from 'node:crypto'
import type { ExecutionContext } from 'ava'
import { type Cluster, type ClusterOptions, createCluster } from '../../lib/index.js'

/** Starts members of a group nobody else uses, over loopback; they leave when the test is over. */
export function loopbackGroup(t: ExecutionContext): (name: string, more?: ClusterOptions) => Promise<Cluster> {
  const group = `test-${randomBytes(6).toString('hex')}`
  const port = randomInt(20_000, 60_000)
  return async (name, more = {}) => {
    const cluster = await createCluster({
      ...more,
      name,
      group,
      membership: { bind: '127.0.0.1', port, ...more.membership },
      receiver: { address: '127.0.0.1', port: 0, ...more.receiver },
    })
    t.teardown(() => cluster.leave())
    return cluster
  }
}

/** Resolves when `holds` does, looked at after every event of the loop's timers; rejects after `withinMs`. */
export async function until(holds: () => boolean, withinMs = 10_000): Promise<void> {
  const end = performance.now() + withinMs
  while (!holds()) {
    if (performance.now() > end) throw new Error(`Not within ${withinMs} ms: ${holds.toString()}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
