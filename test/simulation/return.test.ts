import test from 'ava'
import { MAX_INACTIVE } from '../../lib/replication/replica-contract.js'
import { SimCluster } from '../../lib/testing/sim-cluster.js'
import { SimRandom } from '../../lib/testing/sim-random.js'
import { channelStack } from './channel-stack.js'
import type { SimNode } from './sim-node.js'

const RECORDS = 100
/** Of the first record; each next one may be idle for so much longer, so that some are due at any time. */
const IDLE_MS = 2_000
const STEP_MS = 100
const USE_EVERY_MS = 50

// In these one member has the other again long before it hears anything of it.
for (const seed of [5, 7, 15, 22]) {
  test(`what a member used while it was cut off does not expire once it is there again, seed ${seed}`, async t => {
    let together = false
    const expired = { apart: 0, together: 0 }
    const messages = { drop: 0, duplicate: 0, delay: 0, fullQueue: 0 }
    const stack = channelStack()
    const setup = {
      replica: {},
      pace: { heartbeatMs: 250, skewMaxMs: 0 },
      now: () => cluster.sim.now,
      messages,
      changed: ({ name }: SimNode, { reason, cause }: { reason?: string; cause: string }) => {
        if (name === 'a' && reason === 'expired' && cause === 'local') expired[together ? 'together' : 'apart']++
      },
      mark: () => {},
      random: new SimRandom('return'),
    }
    const cluster: SimCluster<SimNode> = new SimCluster<SimNode>({ seed, launch: launch => stack(launch, setup) })
    await cluster.started('a', 'b')
    const [a, b] = [cluster.node('a'), cluster.node('b')]
    await cluster.runUntil(() => a.replica.ready && b.replica.ready && a.view.length === 1, { within: 15_000 })
    const keys = Array.from({ length: RECORDS }, (_, i) => {
      const seconds = (IDLE_MS + i * STEP_MS) / 1_000
      return b.replica.create(new Map([[MAX_INACTIVE, Buffer.from(String(seconds))]])).key
    })
    await cluster.run(500)
    const use = (): void => {
      for (const key of keys) b.replica.touch(key)
      cluster.sim.schedule(USE_EVERY_MS, 'use', 'b', use)
    }
    use()
    cluster.partition(['a'], ['b'])
    const isApart = (): boolean => a.view.length === 0 && b.view.length === 0
    await cluster.runUntil(() => isApart() && expired.apart > 0, { within: 20_000, what: 'both go on alone' })
    await cluster.run(4_100)
    // All that was said before both have each other again is lost, uses as well.
    messages.drop = 1
    cluster.heal()
    await cluster.runUntil(() => a.view.length === 1 && b.view.length === 1, { within: 20_000, what: 'both meet' })
    messages.drop = 0
    together = true
    await cluster.run(10_000)
    t.is(expired.together, 0)
    t.true(keys.every(key => a.replica.has(key) && b.replica.has(key)))
  })
}
