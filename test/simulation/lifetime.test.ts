import test from 'ava'
import { type Cluster, createCluster } from '../../lib/index.js'
import { SimCluster } from '../../lib/testing/sim-cluster.js'
import { SimRandom } from '../../lib/testing/sim-random.js'

const NAMES = ['a', 'b', 'c']
const LIFE_S = 30
/** By how much members' readings of cluster time may differ, and a delta's way. */
const ABOUT_MS = 200

for (let seed = 1; seed <= 8; seed++) {
  test(`every member ends a session at one time, whatever their clocks say, seed ${seed}`, async t => {
    const random = new SimRandom(`lifetime-${seed}`)
    const sim = new SimCluster<Cluster>({
      seed,
      launch: ({ name, runtime }) => createCluster({ name, runtime, sessions: { maxLifetime: LIFE_S } }),
    })
    for (const name of NAMES) sim.jumpWallClock(name, random.between(-2_000, 2_000))
    const members = await sim.started(...NAMES)
    await sim.runUntil(() => members.every(member => member.members.length === 2), { within: 20_000 })
    const told: string[] = []
    for (const { name, sessions } of members) {
      sessions.on('destroyed', ({ reason, cause }) => told.push(`${name} ${reason} ${cause}`))
    }
    const any = (): Cluster => members[random.between(0, 2)] as Cluster
    const { id } = any().sessions.create({ attributes: [['uses', 0]] })
    const bornMs = sim.sim.now
    await sim.run(500)
    let endedMs = 0
    while (endedMs === 0 && sim.sim.now < bornMs + 2 * LIFE_S * 1000) {
      await sim.run(random.between(50, 150))
      // A host whose clock is set has nothing to do with it.
      if (random.between(0, 9) === 0)
        sim.jumpWallClock(NAMES[random.between(0, 2)] as string, random.between(-3_600_000, 3_600_000))
      const { sessions } = any()
      const session = sessions.find(id)
      if (session === undefined) endedMs = sim.sim.now
      else if (random.between(0, 1) === 0) session.touch()
      else sessions.commit(session.set('uses', Number(session.get('uses')) + 1))
    }
    const lifeMs = endedMs - bornMs
    t.true(lifeMs >= LIFE_S * 1000 - ABOUT_MS && lifeMs <= LIFE_S * 1000 + ABOUT_MS, `it lived ${lifeMs} ms`)
    await sim.run(1_000)
    t.deepEqual(
      members.map(({ sessions }) => sessions.size),
      [0, 0, 0],
    )
    t.deepEqual(
      told.map(one => one.slice(2, 9)),
      ['expired', 'expired', 'expired'],
    )
    t.is(told.filter(one => one.endsWith('local')).length, 1)
    for (const name of NAMES) sim.crash(name)
  })
}

test('a session nobody looks at any more goes by the ordinary expiry, also one that would never be idle', async t => {
  const sim = new SimCluster<Cluster>({
    seed: 'unused',
    launch: ({ name, runtime }) =>
      createCluster({ name, runtime, sessions: { maxLifetime: LIFE_S, maxInactiveInterval: 0 } }),
  })
  const members = await sim.started(...NAMES)
  await sim.runUntil(() => members.every(member => member.members.length === 2), { within: 20_000 })
  members[0]?.sessions.create()
  await sim.run(1_000)
  t.true(members.every(({ sessions }) => sessions.size === 1))
  await sim.runUntil(() => members.every(({ sessions }) => sessions.size === 0), { within: 2 * LIFE_S * 1000 })
  for (const name of NAMES) sim.crash(name)
})
