import test from 'ava'
import { SessionOvertakenError } from '../../lib/errors.js'
import { type Cluster, type ClusterOptions, createCluster } from '../../lib/index.js'
import { type Launch, SimCluster } from '../../lib/testing/sim-cluster.js'

const SEEDS = 8
const SESSIONS = 10
const TIMEOUT_MS = 1_000

/** Members a, b and c with sessions `0` to `9`, each with a counter at 1, everywhere. */
async function start(seed: number, more: ClusterOptions = {}): Promise<SimCluster<Cluster>> {
  const launch = ({ name, runtime }: Launch): Promise<Cluster> => createCluster({ ...more, name, runtime })
  const sim = new SimCluster<Cluster>({ seed, launch })
  const [a] = await sim.started('a', 'b', 'c')
  for (let i = 0; i < SESSIONS; i++) a?.sessions.create({ id: String(i), attributes: [['count', 1]] })
  const complete = (): boolean =>
    sim.members.every(({ node }) => node?.sessions.size === SESSIONS && node.members.length === 2)
  await sim.runUntil(complete, { within: 20_000 })
  return sim
}

async function leave(sim: SimCluster<Cluster>): Promise<void> {
  for (const { name } of sim.members) sim.crash(name)
  await sim.run(100)
}

function increment({ sessions }: Cluster, id: string): void {
  const session = sessions.find(id)
  if (session === undefined) throw new Error(`no session ${id}`)
  session.set('count', Number(session.get('count')) + 1)
  sessions.commit(session)
}

/** What an adapter does with a request: waits if it must, then reads and writes. */
async function serve(cluster: Cluster, id: string): Promise<void> {
  for (let wait = cluster.sessions.whenFresh(); wait !== undefined; wait = cluster.sessions.whenFresh()) await wait
  increment(cluster, id)
}

function counts({ sessions }: Cluster): unknown[] {
  return Array.from({ length: SESSIONS }, (_, i) => sessions.find(String(i))?.get('count'))
}

/** Stops a process; `first` runs when it goes on, before anything else of it does. */
function pause(sim: SimCluster<Cluster>, name: string, first: (cluster: Cluster) => void): void {
  const node = sim.node(name)
  sim.pause(name)
  sim.member(name).runtime.process.enter(() => first(node))
}

for (const sleepMs of [1_300, 5_000, 12_000, 40_000]) {
  test(`a member that slept ${sleepMs} ms does not undo what the others wrote meanwhile`, async t => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const sim = await start(seed)
      const [a, b, c] = [sim.node('a'), sim.node('b'), sim.node('c')]
      const view = a.sessions.find('0')?.set('count', 2)
      let wasFresh = true
      pause(sim, 'a', () => {
        wasFresh = a.sessions.fresh
        for (let i = 0; i < SESSIONS; i++) void serve(a, String(i))
      })
      for (let round = 1; round <= 10; round++) {
        for (let i = 0; i < SESSIONS; i++) increment(round % 2 === 0 ? b : c, String(i))
        await sim.run(sleepMs / 10)
      }
      sim.resume('a')
      await sim.run(10_000)
      const { stalls, fenceTimeouts, fencedMs } = a.replication.stats()
      const expected = Array(SESSIONS).fill(12)
      t.deepEqual([counts(a), counts(b), counts(c)], [expected, expected, expected], `seed ${seed}`)
      t.deepEqual([wasFresh, stalls, fenceTimeouts], [false, 1, 0], `seed ${seed}`)
      t.true(fencedMs < 1_000, `${fencedMs} ms, seed ${seed}`)
      t.throws(() => view && a.sessions.commit(view), { instanceOf: SessionOvertakenError })
      await leave(sim)
    }
  })
}

test('after a short halt nobody waits', async t => {
  const sim = await start(1)
  let wait: Promise<void> | 'unasked' | undefined = 'unasked'
  pause(sim, 'a', a => {
    wait = a.sessions.whenFresh()
  })
  await sim.run(900)
  sim.resume('a')
  await sim.run(1_000)
  t.is<unknown, unknown>(wait, undefined)
  t.is(sim.node('a').replication.stats().stalls, 0)
  await leave(sim)
})

test('the others cannot be reached: the fence opens when its time is up, and that is counted', async t => {
  const sim = await start(2, { replication: { stallFenceTimeoutMs: TIMEOUT_MS } })
  const a = sim.node('a')
  let served = false
  pause(sim, 'a', () => {
    void serve(a, '0').then(() => {
      served = true
    })
  })
  await sim.run(1_500)
  sim.partition(['a'], ['b', 'c'])
  sim.resume('a')
  await sim.run(TIMEOUT_MS - 200)
  t.false(served)
  await sim.run(400)
  t.true(served)
  t.is(a.replication.stats().fenceTimeouts, 1)
  await leave(sim)
})

test('a machine that was suspended with all its members does not wait for the time to be up', async t => {
  const sim = await start(3)
  const served: string[] = []
  for (const name of ['a', 'b', 'c']) {
    pause(sim, name, cluster => {
      void serve(cluster, name.charCodeAt(0).toString().at(-1) ?? '').then(() => served.push(name))
    })
  }
  await sim.run(60_000)
  for (const name of ['a', 'b', 'c']) sim.resume(name)
  await sim.run(1_000)
  t.is(served.length, 3)
  for (const { node } of sim.members) t.is(node?.replication.stats().fenceTimeouts, 0)
  await leave(sim)
})

test('two that slept do not take each other for awake', async t => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const sim = await start(seed)
    const [a, b, c] = [sim.node('a'), sim.node('b'), sim.node('c')]
    pause(sim, 'a', () => void serve(a, '0'))
    pause(sim, 'b', () => void serve(b, '1'))
    for (let round = 1; round <= 10; round++) {
      for (let i = 0; i < SESSIONS; i++) increment(c, String(i))
      await sim.run(500)
    }
    sim.resume('a')
    sim.resume('b')
    await sim.run(10_000)
    const expected = [12, 12, ...Array(SESSIONS - 2).fill(11)]
    t.deepEqual([counts(a), counts(b), counts(c)], [expected, expected, expected], `seed ${seed}`)
    await leave(sim)
  }
})

test('who is alone has nothing to wait for', async t => {
  const sim = new SimCluster<Cluster>({ seed: 4, launch: ({ name, runtime }) => createCluster({ name, runtime }) })
  await sim.started('a')
  let wait: Promise<void> | 'unasked' | undefined = 'unasked'
  pause(sim, 'a', a => {
    wait = a.sessions.whenFresh()
  })
  await sim.run(12_000)
  sim.resume('a')
  await sim.run(100)
  t.is<unknown, unknown>(wait, undefined)
  t.is(sim.node('a').replication.stats().stalls, 1)
  await leave(sim)
})
