import test from 'ava'
import type { RecordChange, RecordKey } from '../../lib/replication/replica-contract.js'
import { SimCluster } from '../../lib/testing/sim-cluster.js'
import { SimRandom } from '../../lib/testing/sim-random.js'
import { channelStack } from './channel-stack.js'
import { killMutant, RULES, type RuleName } from './mutants.js'
import { runSeed } from './run-seed.js'
import type { SimNode } from './sim-node.js'

const SEEDS = [1, 2, 3, 4, 5, 6]

for (const seed of SEEDS) {
  test(`seed ${seed} keeps every invariant under its faults`, async t => {
    const { violation } = await runSeed(seed, 'channel')
    t.is(violation, undefined, `replay: npm run sim -- --seed ${seed} --seeds 1`)
  })
}

/** Where each broken rule is known to show; later changes may shift it, so the seeds after it are tried as well. */
const KILLERS: { readonly [rule in RuleName]: number } = {
  claimV0Last: 1,
  checkDeps: 3,
  ruleR: 14,
  keepTombstoneUntilSeen: 14,
  digestRanges: 59,
  markRecordDots: 81,
  checkBeforeExpire: 37,
  inheritAbsent: 137,
  expiredTombstoneNeedsAgreement: 61,
  renewAsDelta: 11,
  removalAsDelta: 15,
  absorbingInvalidate: 7,
  ackAfterMerge: 1,
  closeUnheldOnly: 6,
  closeAsOthers: 6,
  renewOrigin: 1,
}
const KILL_BUDGET = 80

for (const rule of RULES) {
  test(`a replica that breaks the rule ${rule} is caught`, async t => {
    const { killedBy } = await killMutant(rule, 'replica', KILLERS[rule], KILL_BUDGET)
    t.not(killedBy, undefined, `npm run sim -- --mutants --rule ${rule}`)
  })
}

test('a seed run twice takes the same steps', async t => {
  const first = await runSeed(2, 'channel')
  const second = await runSeed(2, 'channel')
  t.is(first.trace, second.trace)
  t.is(first.events, second.events)
})

test('writes on both sides of a partition are on all members after it heals', async t => {
  const cluster = await started('a', 'b', 'c')
  const key = create(cluster, 'a', 'cart')
  await everywhere(cluster, key, 'cart')
  cluster.partition(['a'], ['b', 'c'])
  write(cluster, 'a', key, 'left')
  write(cluster, 'b', key, 'right')
  await cluster.run(15_000)
  t.false(cluster.node('b').view.includes(cluster.node('a').id))
  t.is(cluster.node('b').replica.attribute(key, 'left'), undefined)
  cluster.heal()
  await everywhere(cluster, key, 'left')
  await everywhere(cluster, key, 'right')
  t.pass()
})

test('what was acknowledged survives the crash of its writer, and the restarted member has it again', async t => {
  const cluster = await started('a', 'b', 'c')
  let outcome = ''
  const { key } = cluster.node('a').replica.create(new Map([['user', bytes('ann')]]), {
    ack: 'applied',
    copies: 1,
    settled: receipt => void (outcome = receipt.outcome),
  })
  await cluster.runUntil(() => outcome !== '', { within: 2_000 })
  t.is(outcome, 'met')
  cluster.crash('a')
  await cluster.runUntil(() => views(cluster, 2), { within: 10_000, what: 'the others notice' })
  t.true(['b', 'c'].some(name => cluster.node(name).replica.has(key)))
  const [again] = await cluster.started('a')
  t.truthy(again)
  await everywhere(cluster, key, 'user')
  t.true(views(cluster, 3))
})

test('a power loss is noticed without a word', async t => {
  const cluster = await started('a', 'b', 'c')
  cluster.crash('c', { powerLoss: true })
  const tookMs = await cluster.runUntil(() => views(cluster, 2), { within: 15_000 })
  t.true(tookMs > 1_000)
})

test('a member paused for long is left out, and catches up when it goes on', async t => {
  const cluster = await started('a', 'b', 'c')
  cluster.pause('c')
  await cluster.runUntil(() => !cluster.node('a').view.includes(cluster.node('c').id), { within: 30_000 })
  const key = create(cluster, 'a', 'late')
  await cluster.run(1_000)
  t.false(cluster.node('c').replica.has(key))
  cluster.resume('c')
  await everywhere(cluster, key, 'late')
  await cluster.runUntil(() => views(cluster, 3), { within: 30_000 })
})

test('a log-out during a partition is final on both sides', async t => {
  const cluster = await started('a', 'b', 'c')
  const key = create(cluster, 'a', 'user')
  await everywhere(cluster, key, 'user')
  cluster.partition(['a'], ['b', 'c'])
  cluster.node('b').replica.invalidate(key)
  write(cluster, 'a', key, 'later')
  await cluster.run(12_000)
  t.true(cluster.node('a').replica.has(key))
  cluster.heal()
  await cluster.runUntil(() => !cluster.node('a').replica.has(key), { within: 20_000 })
  await cluster.run(10_000)
  t.false(cluster.members.some(({ node }) => node?.replica.has(key)))
})

test('clocks that differ by seconds and jump by an hour change nothing', async t => {
  const cluster = simCluster()
  cluster.jumpWallClock('b', 4_000)
  await cluster.started('a', 'b', 'c')
  await ready(cluster)
  const key = create(cluster, 'b', 'first')
  await everywhere(cluster, key, 'first')
  cluster.jumpWallClock('a', -3_600_000)
  write(cluster, 'a', key, 'second')
  await everywhere(cluster, key, 'second')
  t.true(views(cluster, 3))
})

function simCluster(): SimCluster<SimNode> {
  const stack = channelStack()
  const setup = {
    replica: {},
    pace: { heartbeatMs: 250, skewMaxMs: 0 },
    now: () => 0,
    messages: { drop: 0, duplicate: 0, delay: 0, fullQueue: 0 },
    changed: (_node: SimNode, _change: RecordChange) => {},
    mark: () => {},
    random: new SimRandom('scenario'),
  }
  return new SimCluster<SimNode>({ seed: 42, launch: launch => stack(launch, setup) })
}

async function started(...names: string[]): Promise<SimCluster<SimNode>> {
  const cluster = simCluster()
  await cluster.started(...names)
  await ready(cluster)
  return cluster
}

async function ready(cluster: SimCluster<SimNode>): Promise<void> {
  const count = cluster.members.length
  await cluster.runUntil(
    () => views(cluster, count) && cluster.members.every(({ node }) => node?.replica.ready === true),
    { within: 15_000, what: 'all see all' },
  )
}

function views(cluster: SimCluster<SimNode>, count: number): boolean {
  return cluster.members.length === count && cluster.members.every(({ node }) => node?.view.length === count - 1)
}

function bytes(text: string): Uint8Array {
  return Buffer.from(text)
}

function create(cluster: SimCluster<SimNode>, name: string, attribute: string): RecordKey {
  return cluster.node(name).replica.create(new Map([[attribute, bytes(name)]])).key
}

function write(cluster: SimCluster<SimNode>, name: string, key: RecordKey, attribute: string): void {
  cluster.node(name).replica.write(key, new Map([[attribute, bytes(name)]]))
}

async function everywhere(cluster: SimCluster<SimNode>, key: RecordKey, attribute: string): Promise<void> {
  await cluster.runUntil(
    () => cluster.members.every(({ node }) => node?.replica.attribute(key, attribute) !== undefined),
    { within: 40_000, what: `${attribute} is everywhere` },
  )
}
