import test from 'ava'
import { type Cluster, createCluster, type MergeStrategy } from '../../lib/index.js'
import { SimCluster } from '../../lib/testing/sim-cluster.js'
import { frames } from '../../lib/wire/frame-space.js'

// Small, so that it is written again all the time, and large enough for values to be lent that are sent as they lie.
frames.chunkBytes = 40_000

const WRITES = 1_200
const NAMES = ['v', 'w']
const MERGES: MergeStrategy[] = ['attribute', 'attribute', 'last-write', (_name, { mine }) => mine]

/** Says which write it is, everywhere. */
function numbered(number: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at + 4 <= length; at += 4) bytes.writeUInt32LE(number, at)
  return bytes
}

/** What is wrong with a value. */
function faultOf(value: unknown): string | undefined {
  if (!Buffer.isBuffer(value)) return `no bytes but ${typeof value}`
  const number = value.readUInt32LE(0)
  for (let at = 4; at + 4 <= value.length; at += 4) {
    if (value.readUInt32LE(at) !== number) return `byte ${at} of ${value.length} is not of ${number}`
  }
  return undefined
}

for (const seed of [1, 2, 3]) {
  test(`large values arrive as they were written, seed ${seed}`, async t => {
    const sim = new SimCluster<Cluster>({
      seed,
      network: { limits: { highWaterBytes: 6_000, windowBytes: 20_000 } },
      launch: async ({ name, runtime }) =>
        await createCluster({
          name,
          group: 'lent',
          runtime,
          membership: { dropTime: 60_000 },
          sessions: { ack: 'none' },
        }),
    })
    const clusters = await sim.started('a', 'b', 'c')
    await sim.runUntil(() => clusters.every(({ channel }) => channel.members.length === 2), { within: 20_000 })
    const random = sim.sim.random.fork('writes')
    const faults: string[] = []
    const look = ({ sessions }: Cluster, id: string): void => {
      for (const [name, value] of sessions.find(id)?.entries() ?? []) {
        const fault = faultOf(value)
        if (fault !== undefined) faults.push(`${name}: ${fault}`)
      }
    }
    const ids = clusters.map(({ sessions }) => sessions.create({ attributes: [['v', numbered(0, 4_000)]] }).id)
    for (const cluster of clusters) cluster.sessions.on('changed', ({ id }) => look(cluster, id))
    await sim.runUntil(() => clusters.every(({ sessions }) => sessions.size === 3), { within: 20_000 })
    for (let written = 1; written <= WRITES; written++) {
      const { sessions } = random.pick(clusters)
      const view = sessions.find(random.pick(ids))
      if (view === undefined) return t.fail('a session is gone')
      const others = random.chance(0.2) ? sessions.find(view.id) : undefined
      view.set(random.pick(NAMES), numbered(written, random.chance(0.7) ? 9_000 : random.between(8, 9_900)))
      sessions.commit(view, { detect: random.pick(['set', 'modified', 'all']), merge: random.pick(MERGES) })
      for (const [, value] of others?.entries() ?? [])
        if (faultOf(value)) faults.push(`what was loaded: ${faultOf(value)}`)
      const stalling = random.chance(0.02) ? random.pick(['a', 'b', 'c']) : undefined
      if (stalling !== undefined) sim.pause(stalling)
      if (random.chance(0.3)) await sim.run(random.between(0, 20))
      if (stalling !== undefined) sim.resume(stalling)
    }
    await sim.run(60_000)
    for (const id of ids) {
      const [first, ...rest] = clusters.map(({ sessions }) => [...(sessions.find(id)?.entries() ?? [])].toSorted())
      for (const other of rest) t.deepEqual(other, first)
      for (const cluster of clusters) look(cluster, id)
    }
    t.deepEqual(faults.slice(0, 3), [])
    for (const { name } of sim.members) sim.crash(name)
    await sim.run(100)
  })
}
