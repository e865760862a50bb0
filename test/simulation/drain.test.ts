import test from 'ava'
import { readyAnswer } from '../../lib/http/index.js'
import { type Cluster, type ClusterOptions, createCluster, type DrainReport } from '../../lib/index.js'
import { type Launch, SimCluster } from '../../lib/testing/sim-cluster.js'

const SESSIONS = 20

/** Members a, b and c, and sessions `0` to `19` written on a. */
async function start(seed: number, more: ClusterOptions = {}): Promise<SimCluster<Cluster>> {
  const launch = ({ name, runtime }: Launch): Promise<Cluster> => createCluster({ ...more, name, runtime })
  const sim = new SimCluster<Cluster>({ seed, launch })
  const [a] = await sim.started('a', 'b', 'c')
  await sim.runUntil(() => sim.members.every(({ node }) => node?.members.length === 2), { within: 20_000 })
  for (let i = 0; i < SESSIONS; i++) a?.sessions.create({ id: String(i), attributes: [['count', 1]] })
  return sim
}

/** Runs until the drain is over, and until then at most a minute. */
async function over(sim: SimCluster<Cluster>, drain: Promise<DrainReport>): Promise<DrainReport> {
  let report: DrainReport | undefined
  void drain.then(done => {
    report = done
  })
  await sim.runUntil(() => report !== undefined, { within: 60_000, what: 'the drain ends' })
  return report as DrainReport
}

async function end(sim: SimCluster<Cluster>): Promise<void> {
  for (const { name } of sim.members) sim.crash(name)
  await sim.run(100)
}

test('a drain serves on for the grace, hands over, and leaves', async t => {
  const sim = await start(1)
  const a = sim.node('a')
  const states: string[] = []
  a.on('stateChanged', state => states.push(state))
  const goodbyes: string[] = []
  sim.node('b').on('memberDisappeared', (member, reason) => goodbyes.push(`${member.name} ${reason}`))
  t.is(a.state, 'ready')
  const drain = a.drain()
  t.is(a.state, 'draining')
  await sim.run(4_900)
  t.deepEqual([a.members.length, a.signal.aborted, goodbyes], [2, false, []])
  a.sessions.create({ id: 'late' })
  const report = await over(sim, drain)
  t.true(a.signal.aborted)
  t.deepEqual(states, ['draining', 'left'])
  t.is(report.graceMs, 5_000)
  t.true(report.handOverMs <= 200, `${report.handOverMs}`)
  const { undelivered, behind, aborted, connectionsCut } = report
  t.deepEqual(
    { undelivered, behind, aborted, connectionsCut },
    {
      undelivered: 0,
      behind: [],
      aborted: false,
      connectionsCut: 0,
    },
  )
  t.is(a.stats().state, 'left')
  await sim.run(100)
  t.deepEqual(goodbyes, ['a left'])
  for (const name of ['b', 'c']) t.is(sim.node(name).sessions.size, SESSIONS + 1)
  await end(sim)
})

test('a member that stood still wants no requests until it has caught up', async t => {
  const sim = await start(10)
  await sim.run(2_000)
  const a = sim.node('a')
  const said = [readyAnswer(a).body]
  sim.pause('a')
  sim.member('a').runtime.process.enter(() => said.push(readyAnswer(a).body))
  await sim.run(3_000)
  sim.resume('a')
  await sim.runUntil(() => readyAnswer(a).status === 200, { within: 10_000 })
  t.deepEqual(said, ['{"ready":true}', '{"ready":false,"reason":"stalled"}'])
  await end(sim)
})

test('calls share one drain, and leaving cuts it short', async t => {
  const sim = await start(2)
  const a = sim.node('a')
  const first = a.drain({ graceMs: 60_000 })
  const second = a.drain({ graceMs: 0 })
  await sim.run(1_000)
  t.is(a.state, 'draining')
  void a.leave()
  const report = await over(sim, first)
  t.is(await second, report)
  t.true(report.aborted)
  t.true(report.graceMs >= 1_000 && report.graceMs < 1_100, `${report.graceMs}`)
  t.is(a.state, 'left')
  const after = await over(sim, a.drain())
  t.is(after, report)
  await end(sim)
})

test('a drain after leaving is over at once', async t => {
  const sim = await start(3)
  const a = sim.node('a')
  let left = false
  void a.leave().then(() => {
    left = true
  })
  await sim.runUntil(() => left, { within: 10_000 })
  const report = await over(sim, a.drain())
  t.deepEqual([report.graceMs, report.requestsMs, report.handOverMs, report.aborted], [0, 0, 0, true])
  t.is(a.state, 'left')
  await end(sim)
})

test('a signal ends the waiting', async t => {
  const sim = await start(4)
  const stop = new AbortController()
  const drain = sim.node('a').drain({ graceMs: 60_000, signal: stop.signal })
  await sim.run(2_000)
  stop.abort()
  const report = await over(sim, drain)
  t.true(report.aborted)
  t.true(report.graceMs >= 2_000 && report.graceMs < 2_100, `${report.graceMs}`)
  t.is(sim.node('a').state, 'left')
  await end(sim)
})

test('what nobody can be given is counted, and the wait for it is bounded', async t => {
  for (let seed = 1; seed <= 4; seed++) {
    const sim = await start(seed)
    await sim.runUntil(() => sim.members.every(({ node }) => node?.sessions.size === SESSIONS), { within: 10_000 })
    // Long enough for all to tell each other in heartbeats that they have the same.
    await sim.run(2_000)
    sim.partition(['a'], ['b', 'c'])
    const a = sim.node('a')
    a.sessions.create({ id: 'new' })
    const old = a.sessions.find('0')
    old?.set('count', 2)
    if (old) void a.sessions.commit(old)
    const report = await over(sim, a.drain({ graceMs: 0, handOverTimeoutMs: 1_000 }))
    t.is(report.undelivered, 2, `seed ${seed}`)
    t.deepEqual(report.behind, ['b', 'c'])
    t.true(report.handOverMs >= 1_000 && report.handOverMs <= 1_200, `${report.handOverMs}`)
    await end(sim)
  }
})

test('what one member got in time is not undelivered, though another is behind', async t => {
  const sim = await start(5)
  await sim.runUntil(() => sim.members.every(({ node }) => node?.sessions.size === SESSIONS), { within: 10_000 })
  sim.pause('c')
  const a = sim.node('a')
  a.sessions.create({ id: 'new' })
  const report = await over(sim, a.drain({ graceMs: 0, handOverTimeoutMs: 1_000 }))
  t.deepEqual([report.undelivered, report.behind], [0, ['c']])
  sim.resume('c')
  await sim.runUntil(() => sim.node('c').sessions.size === SESSIONS + 1, { within: 30_000 })
  t.pass()
  await end(sim)
})

test('the last member has nobody to hand over to, and does not wait', async t => {
  const sim = new SimCluster<Cluster>({
    seed: 6,
    launch: ({ name, runtime }) => createCluster({ name, runtime, sessions: { ack: 'none' } }),
  })
  await sim.started('a')
  const a = sim.node('a')
  a.sessions.create({ id: 'only' })
  a.map<number>('prices').set('tea', 3)
  const report = await over(sim, a.drain({ graceMs: 0 }))
  t.deepEqual([report.undelivered, report.behind, report.handOverMs], [2, [], 0])
  await end(sim)
})

test('a member that is still joining gets everything before the only one who has it leaves', async t => {
  const launch = ({ name, runtime }: Launch): Promise<Cluster> => createCluster({ name, runtime })
  for (let seed = 1; seed <= 6; seed++) {
    const sim = new SimCluster<Cluster>({ seed, launch })
    await sim.started('a')
    const a = sim.node('a')
    for (let i = 0; i < 2_000; i++) a.sessions.create({ id: String(i), attributes: [['bag', 'x'.repeat(500)]] })
    sim.start('b')
    await sim.runUntil(() => a.members.length === 1, { within: 10_000 })
    const report = await over(sim, a.drain({ graceMs: 0 }))
    t.deepEqual([report.undelivered, report.behind], [0, []], `seed ${seed}`)
    await sim.runUntil(() => sim.member('b').node !== undefined, { within: 20_000 })
    t.is(sim.node('b').sessions.size, 2_000, `seed ${seed}`)
    await end(sim)
  }
})

test('maps are handed over too, and so is the use of sessions', async t => {
  const sim = await start(7, { sessions: { maxInactiveInterval: 60 }, replication: { touchFlushMs: 60_000 } })
  const [a, b] = [sim.node('a'), sim.node('b')]
  const maps = [a, b].map(node => node.map<number>('prices'))
  await sim.run(10_000)
  maps[0]?.set('tea', 3)
  a.sessions.find('0')?.touch()
  const report = await over(sim, a.drain({ graceMs: 0 }))
  // Although c has not opened this map.
  t.deepEqual([report.undelivered, report.behind], [0, []])
  t.true(report.handOverMs <= 200, `${report.handOverMs}`)
  await sim.run(100)
  t.is(maps[1]?.get('tea'), 3)
  t.true((b.sessions.find('0')?.idleMs ?? Number.NaN) < 1_000)
  t.true((b.sessions.find('1')?.idleMs ?? Number.NaN) > 9_000)
  await end(sim)
})

test('a map that nobody else has opened is not waited for long', async t => {
  const sim = await start(9)
  const a = sim.node('a')
  a.map<number>('mine').set('tea', 3)
  const report = await over(sim, a.drain({ graceMs: 0 }))
  t.deepEqual([report.undelivered, report.behind], [1, []])
  t.true(report.handOverMs >= 1_500 && report.handOverMs <= 1_700, `${report.handOverMs}`)
  await end(sim)
})

test('all members restarted one by one under load: every acknowledged write is on every one of them', async t => {
  const names = ['a', 'b', 'c']
  for (let seed = 1; seed <= 6; seed++) {
    const sim = await start(seed)
    await sim.runUntil(() => sim.members.every(({ node }) => node?.sessions.size === SESSIONS), { within: 10_000 })
    const counts = Array<number>(SESSIONS).fill(1)
    /** Every session has a home, as a sticky balancer would have it, and is served elsewhere while that is not ready. */
    const write = (): void => {
      for (let i = 0; i < SESSIONS; i++) {
        const order = [0, 1, 2].map(step => names[(i + step) % 3] as string)
        const server = order.map(name => sim.member(name).node).find(node => node?.state === 'ready')
        const session = server?.sessions.find(String(i))
        if (server === undefined || session === undefined) throw new Error(`session ${i} is not served, seed ${seed}`)
        session.set('count', Number(session.get('count')) + 1)
        void server.sessions.commit(session)?.then(({ outcome }) => {
          if (outcome === 'met') counts[i] = Number(counts[i]) + 1
        })
      }
    }
    const load = async (isOver: () => boolean): Promise<void> => {
      for (let round = 0; !isOver(); round++) {
        if (round > 600) throw new Error(`not over after a minute, seed ${seed}`)
        write()
        await sim.run(100)
      }
    }
    for (const name of names) {
      let report: DrainReport | undefined
      void sim
        .node(name)
        .drain({ graceMs: 500 })
        .then(done => {
          report = done
        })
      await load(() => report !== undefined)
      t.deepEqual([report?.undelivered, report?.behind], [0, []], `${name}, seed ${seed}`)
      sim.crash(name)
      sim.start(name)
      await load(() => sim.member(name).node?.state === 'ready')
    }
    await load(() => Math.min(...counts) >= 40)
    await sim.run(5_000)
    for (const name of names) {
      const { sessions } = sim.node(name)
      t.deepEqual(
        counts.map((_, i) => sessions.find(String(i))?.get('count')),
        counts,
        `${name}, seed ${seed}`,
      )
    }
    await end(sim)
  }
})

test('options are checked before anything happens', async t => {
  const sim = await start(8)
  const a = sim.node('a')
  await t.throwsAsync(a.drain({ graceMs: -1 }), {
    message: 'Option graceMs must be a whole number from 0 to 600000; got -1',
  })
  await t.throwsAsync(a.drain({ grace: 1 } as never), { message: /grace must be one of the known names/ })
  await t.throwsAsync(a.drain({ server: {} as never }), { message: /server must be an HTTP server/ })
  await t.throwsAsync(a.drain({ signal: true as never }), { message: /signal must be an AbortSignal/ })
  t.is(a.state, 'ready')
  await end(sim)
})
