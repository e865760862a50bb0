import test from 'ava'
import { MAX_INACTIVE, type RecordKey } from '../../lib/replication/replica-contract.js'
import { SimCluster } from '../../lib/testing/sim-cluster.js'
import { SimRandom } from '../../lib/testing/sim-random.js'
import { channelStack } from './channel-stack.js'
import { expiryInUse } from './checkers/expiry-in-use.js'
import { drawPace } from './pace.js'
import type { SimNode } from './sim-node.js'
import { Violation, World } from './world.js'

const IDLE_MS = 6_000

/** Two members and a record that `a` made a second ago and both hold. */
async function held(): Promise<{ world: World; a: SimNode; b: SimNode; key: RecordKey }> {
  const stack = channelStack()
  const setup = {
    replica: {},
    pace: { heartbeatMs: 250, skewMaxMs: 0 },
    now: () => cluster.sim.now,
    messages: { drop: 0, duplicate: 0, delay: 0, fullQueue: 0 },
    changed: () => {},
    mark: () => {},
    random: new SimRandom('checked'),
  }
  const cluster: SimCluster<SimNode> = new SimCluster<SimNode>({ seed: 7, launch: launch => stack(launch, setup) })
  const world = new World(cluster)
  await cluster.started('a', 'b')
  const [a, b] = [cluster.node('a'), cluster.node('b')]
  await cluster.runUntil(() => a.replica.ready && b.replica.ready && b.view.length === 1, { within: 15_000 })
  const { key } = a.replica.create(new Map([[MAX_INACTIVE, Buffer.from(String(IDLE_MS / 1_000))]]))
  world.maxInactiveMs.set(key, IDLE_MS)
  world.used(key, a.id)
  await cluster.run(1_000)
  return { world, a, b, key }
}

/** What the checker says when `node` lets the record expire. */
function judged(world: World, node: SimNode, key: RecordKey): string | undefined {
  try {
    const pace = drawPace(new SimRandom('pace'), 'usual')
    expiryInUse(pace).changed?.(node, { kind: 'removed', key, cause: 'local', names: [], reason: 'expired' }, world)
    return undefined
  } catch (error) {
    if (error instanceof Violation) return error.message
    throw error
  }
}

test('a record that a user used at another member in reach may not expire', async t => {
  const { world, a, b, key } = await held()
  b.replica.touch(key)
  world.used(key, b.id)
  await world.cluster.run(4_000)
  t.is(judged(world, a, key), `9 expiry in use: a let ${key} expire, used by b 4000 ms ago`)
})

test('nor if another use is known there that came later', async t => {
  const { world, a, b, key } = await held()
  b.replica.touch(key)
  world.used(key, b.id)
  await world.cluster.run(500)
  a.replica.touch(key)
  await world.cluster.run(3_500)
  t.is(b.replica.inspect(key)?.access.origin, a.id)
  t.regex(judged(world, a, key) ?? '', /used by b 4000 ms ago/)
})

test('what a member took for a use, since the write came late, was none', async t => {
  const { world, a, b, key } = await held()
  const { access } = b.replica.inspect(key)!
  b.replica.receive({ kind: 'check', round: 1, entries: [{ key, access }] }, a.id)
  t.is(b.replica.inspect(key)?.access.origin, b.id)
  await world.cluster.run(3_000)
  t.is(judged(world, a, key), undefined)
})
