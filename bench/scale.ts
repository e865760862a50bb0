import { type Cluster, createCluster } from '../lib/index.js'
import { SimCluster } from '../lib/testing/index.js'
import type { Bench, BenchOptions, BenchResult, Row } from './bench.js'
import { tappedNetwork } from './tapped-network.js'

const NODES = [4, 8, 16, 32, 64]
const QUICK_NODES = [4, 8]
/** Written by each member per second while writes go on. */
const WRITES_PER_SECOND = 10
const ATTRIBUTE_BYTES = 256
const SETTLE_MS = 5_000
const CONVERGED_WITHIN_MS = 120_000
const CUT_MS = 20_000

/** What went over the network, all members together. */
interface Traffic {
  datagrams: number
  datagramBytes: number
  writes: number
  streamBytes: number
}

/** What a member sends when there are more and more of them. */
export const scale: Bench = {
  name: 'scale',
  title: 'Many members, all to all (simulated)',
  describe:
    'The whole library on virtual time and a calm network (1 to 2 ms one way), so figures are exact and the same on ' +
    'every machine. Bytes and messages are what one member hands to the network per second, a write to a stream or a ' +
    'datagram being one message; a multicast counts once. idle: nobody writes; writes: each member writes 10 deltas of ' +
    '256 B a second, each acknowledged as applied by one other. converged: from the last write until all have equal ' +
    'copies; healed: the same from the end of a cut into two halves of 20 s, in which all wrote; met: from the start of the last of all members, at once, until everybody sees everybody.',
  measures: [
    { key: 'bytesPerSecond', title: 'sent per member', unit: 'B', better: 'less' },
    { key: 'messagesPerSecond', title: 'messages per member', unit: '1/s', better: 'less' },
    { key: 'bytesPerDelta', title: 'per delta and peer', unit: 'B', better: 'less' },
    { key: 'convergedMs', title: 'converged', unit: 'ms', better: 'less' },
    { key: 'healedMs', title: 'healed', unit: 'ms', better: 'less' },
    { key: 'metMs', title: 'met', unit: 'ms', better: 'less' },
  ],
  charts: [
    {
      title: 'Bytes a member sends per second',
      kind: 'lines',
      x: 'nodes',
      series: ['load'],
      y: 'bytesPerSecond',
      log: true,
    },
    {
      title: 'Messages a member sends per second',
      kind: 'lines',
      x: 'nodes',
      series: ['load'],
      y: 'messagesPerSecond',
      log: true,
    },
  ],
  run,
}

async function run({ quick, pickNumbers, progress }: BenchOptions): Promise<BenchResult> {
  const rows: Row[] = []
  for (const nodes of pickNumbers('nodes') ?? (quick ? QUICK_NODES : NODES)) {
    progress(`scale ${nodes} members`)
    rows.push(...(await measure(nodes, quick ? 1_000 : 5_000)))
  }
  return { rows }
}

async function measure(nodes: number, windowMs: number): Promise<Row[]> {
  const traffic: Traffic = { datagrams: 0, datagramBytes: 0, writes: 0, streamBytes: 0 }
  const sim = new SimCluster<Cluster>({
    seed: nodes,
    launch: ({ name, runtime }) => {
      const network = tappedNetwork(runtime.network, {
        written: bytes => {
          traffic.writes++
          traffic.streamBytes += bytes
        },
        datagram: bytes => {
          traffic.datagrams++
          traffic.datagramBytes += bytes
        },
      })
      return createCluster({ name, runtime: { ...runtime, network } })
    },
  })
  const names = Array.from({ length: nodes }, (_, index) => `n${String(index).padStart(3, '0')}`)
  const startedAt = sim.sim.now
  const clusters = await sim.started(...names)
  await sim.runUntil(() => clusters.every(({ members }) => members.length === nodes - 1), {
    within: CONVERGED_WITHIN_MS,
    what: 'everybody sees everybody',
  })
  const metMs = sim.sim.now - startedAt
  const ids = clusters.map(cluster => cluster.sessions.create().id)
  await sim.run(SETTLE_MS)

  const idle = await sent(traffic, () => sim.run(windowMs))
  let written = 0
  const busy = await sent(traffic, async () => {
    const stepMs = 1_000 / WRITES_PER_SECOND
    for (let ms = 0; ms < windowMs; ms += stepMs) {
      for (const [index, cluster] of clusters.entries()) write(cluster, ids[index] as string, String(written++))
      await sim.run(stepMs)
    }
  })
  // Once more, to time how long the last ones take.
  for (const [index, cluster] of clusters.entries()) write(cluster, ids[index] as string, 'last')
  const convergedMs = await sim.runUntil(() => equal(clusters), {
    within: CONVERGED_WITHIN_MS,
    what: 'copies are equal',
  })

  const healedMs = await healed(sim, names, ids)

  const perSecond = (traffic: Traffic): Row['values'] => {
    const share = 1_000 / (windowMs * nodes)
    return {
      bytesPerSecond: (traffic.datagramBytes + traffic.streamBytes) * share,
      messagesPerSecond: (traffic.datagrams + traffic.writes) * share,
    }
  }
  const more = busy.streamBytes - idle.streamBytes
  return [
    { labels: { load: 'idle', nodes }, values: { ...perSecond(idle), metMs } },
    {
      labels: { load: 'writes', nodes },
      values: { ...perSecond(busy), bytesPerDelta: more / written / (nodes - 1), convergedMs, healedMs },
    },
  ]
}

/** Cuts the group in two, lets all write, and joins it again: until all have equal copies. */
async function healed(sim: SimCluster<Cluster>, names: readonly string[], ids: readonly string[]): Promise<number> {
  const clusters = names.map(name => sim.node(name))
  const half = names.length / 2
  sim.partition(names.slice(0, half), names.slice(half))
  await sim.run(CUT_MS / 2)
  for (const [index, cluster] of clusters.entries()) write(cluster, ids[index] as string, 'cut off')
  await sim.run(CUT_MS / 2)
  const seen = clusters.map(({ members }) => members.length)
  if (seen.some(count => count !== half - 1)) throw new Error(`The halves see ${seen}`)
  sim.heal()
  return await sim.runUntil(() => equal(clusters), { within: CONVERGED_WITHIN_MS, what: 'halves are equal again' })
}

function write(cluster: Cluster, id: string, text: string): void {
  const session = cluster.sessions.find(id)
  if (session === undefined) throw new Error('A session is gone')
  void cluster.sessions.commit(session.set('v', text.padEnd(ATTRIBUTE_BYTES)))
}

async function sent(traffic: Traffic, run: () => Promise<void>): Promise<Traffic> {
  const before = { ...traffic }
  await run()
  return {
    datagrams: traffic.datagrams - before.datagrams,
    datagramBytes: traffic.datagramBytes - before.datagramBytes,
    writes: traffic.writes - before.writes,
    streamBytes: traffic.streamBytes - before.streamBytes,
  }
}

function equal(clusters: readonly Cluster[]): boolean {
  const [first, ...others] = clusters.map(({ replication }) => JSON.stringify(replication.replica.bucketHashes()))
  return others.every(other => other === first)
}
