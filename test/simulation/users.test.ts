import test from 'ava'
import { type Cluster, type ClusterOptions, createCluster, LoginRefusedError } from '../../lib/index.js'
import { SimCluster } from '../../lib/testing/sim-cluster.js'
import { SimRandom } from '../../lib/testing/sim-random.js'

const SEEDS = 12
const NAMES = ['a', 'b', 'c', 'd', 'e']
const PRINCIPALS = ['ann', 'bob', 'cy']
/** More than members' clocks and a delta's way differ by. */
const ABOUT_MS = 500

type Sim = SimCluster<Cluster>

async function start(seed: string, size: number, more: ClusterOptions = {}): Promise<Sim> {
  const sim: Sim = new SimCluster<Cluster>({
    seed,
    launch: ({ name, runtime }) => createCluster({ ...more, name, runtime }),
  })
  const names = NAMES.slice(0, size)
  await sim.started(...names)
  await sim.runUntil(() => running(sim).every(node => node.members.length === size - 1), { within: 20_000 })
  return sim
}

function running(sim: Sim): Cluster[] {
  return sim.members.flatMap(({ node }) => (node === undefined ? [] : [node]))
}

async function leave(sim: Sim): Promise<void> {
  for (const { name } of sim.members) sim.crash(name)
  await sim.run(100)
}

/** Logs in with a new session; its id, or undefined when that was refused. */
function login(cluster: Cluster, principal: string, signOn = false): string | undefined {
  const session = cluster.sessions.create({ deferred: true })
  try {
    cluster.users.login(session, principal, { signOn })
    return session.id
  } catch (error) {
    if (error instanceof LoginRefusedError) return undefined
    throw error
  }
}

function ids({ users }: Cluster, principal: string): string[] {
  return users
    .sessions(principal)
    .map(({ id }) => id)
    .sort()
}

/** What every member says, if all say the same. */
function agreed(sim: Sim, principal: string): string[] | string {
  const all = running(sim).map(node => ids(node, principal))
  const [first = []] = all
  return all.every(one => one.join() === first.join())
    ? first
    : `members disagree: ${JSON.stringify(all.map(list => list.map(id => id.slice(0, 4))))}`
}

function split(sim: Sim, random: SimRandom): void {
  const names = random.shuffle(sim.members.map(({ name }) => name))
  const cut = random.between(1, names.length - 1)
  sim.partition(names.slice(0, cut), names.slice(cut))
}

for (const whenFull of ['endOldest', 'refuse'] as const) {
  test(`logins of one principal on all members at once, ${whenFull}: as many stay as may, the same everywhere`, async t => {
    for (let seed = 1; seed <= SEEDS; seed++) {
      const random = new SimRandom(`${whenFull} ${seed}`)
      const size = random.between(3, 5)
      const maxSessions = random.between(1, 3)
      const sim = await start(`${whenFull} ${seed}`, size, { users: { maxSessions, whenFull } })
      const partitioned = random.chance(0.6)
      if (partitioned) {
        split(sim, random)
        await sim.run(random.between(0, 8_000))
      }
      const made: { id: string; atMs: number }[] = []
      for (let round = random.between(1, 3); round > 0; round--) {
        for (const node of random.shuffle(running(sim))) {
          const id = login(node, 'ann')
          if (id !== undefined) made.push({ id, atMs: sim.sim.now })
          if (random.chance(0.5)) await sim.run(random.between(1, 40))
        }
        await sim.run(random.between(1, 3_000))
      }
      sim.heal()
      await sim.run(15_000)
      const left = agreed(sim, 'ann')
      t.is(left.length, Math.min(maxSessions, made.length), `${String(left)}, seed ${seed}`)
      // Those in between may have been made within the same milliseconds.
      const atMs = made.filter(({ id }) => left.includes(id)).map(one => one.atMs)
      const others = made.filter(({ id }) => !left.includes(id)).map(one => one.atMs)
      const inOrder =
        whenFull === 'refuse'
          ? Math.max(...atMs) <= Math.min(Infinity, ...others) + ABOUT_MS
          : Math.min(...atMs) >= Math.max(0, ...others) - ABOUT_MS
      t.true(inOrder, `${atMs.join()} of ${others.join()}, seed ${seed}`)
      await leave(sim)
    }
  })
}

test('whoever logs in, logs out, is thrown out or signs off while members crash and part: all come to the same', async t => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = new SimRandom(`mix ${seed}`)
    const size = random.between(3, 5)
    const maxSessions = random.between(0, 3)
    const sim = await start(`mix ${seed}`, size, {
      users: { maxSessions, whenFull: random.pick(['endOldest', 'refuse']) },
    })
    const madeMs = new Map<string, number>()
    const endedAllMs = new Map<string, number>()
    const loggedOut = new Set<string>()
    const isAlive = (name: string): boolean => sim.members.some(member => member.name === name)
    for (let step = 0; step < 60; step++) {
      const node = random.pick(running(sim))
      const principal = random.pick(PRINCIPALS)
      const draw = random.between(0, 99)
      if (draw < 55) {
        const id = login(node, principal, random.chance(0.4))
        if (id !== undefined) madeMs.set(id, sim.sim.now)
      } else if (draw < 65) {
        const id = ids(node, principal)[0]
        if (id !== undefined) {
          void node.users.end(id)
          loggedOut.add(id)
        }
      } else if (draw < 72) {
        const [session] = node.users.sessions(principal)
        if (session !== undefined) {
          void node.users.logout(session)
          loggedOut.add(session.id)
        }
      } else if (draw < 80) {
        void node.users.endAll(principal)
        endedAllMs.set(principal, sim.sim.now)
      } else if (draw < 86) split(sim, random)
      else if (draw < 92) sim.heal()
      else if (draw < 95 && running(sim).length > 2) {
        if (random.chance(0.5)) {
          // What it knew alone is gone with it: nothing that was ended so far need stay so.
          loggedOut.clear()
          endedAllMs.clear()
        } else {
          sim.heal()
          await sim.run(12_000)
        }
        sim.crash(random.pick(sim.members).name)
      } else {
        const dead = NAMES.slice(0, size).find(name => !isAlive(name))
        if (dead !== undefined) sim.start(dead)
      }
      await sim.run(random.chance(0.4) ? random.between(0, 30) : random.between(100, 3_000))
    }
    sim.heal()
    for (const name of NAMES.slice(0, size)) if (!isAlive(name)) sim.start(name)
    await sim.run(60_000)
    for (const principal of PRINCIPALS) {
      const left = agreed(sim, principal)
      if (typeof left === 'string') {
        t.fail(`${left}, seed ${seed}`)
        continue
      }
      const { users } = running(sim)[0]!
      const logins = new Set(users.sessions(principal).map(session => users.signOnOf(session) ?? session.id))
      if (maxSessions > 0) t.true(logins.size <= maxSessions, `${logins.size} of ${maxSessions}, seed ${seed}`)
      const endedMs = endedAllMs.get(principal) ?? -Infinity
      for (const id of left) {
        t.false(loggedOut.has(id), `logged out, seed ${seed}`)
        t.true(madeMs.get(id)! > endedMs - ABOUT_MS, `made ${madeMs.get(id)}, all ended ${endedMs}, seed ${seed}`)
      }
    }
    t.pass(`seed ${seed}`)
    await leave(sim)
  }
})

test('sessions on the side of a partition that did not hear of it end when it is over', async t => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const sim = await start(`cut off ${seed}`, 3)
    const [a, b, c] = [sim.node('a'), sim.node('b'), sim.node('c')]
    const kept = login(a, 'ann')
    await sim.run(1_000)
    sim.partition(['a', 'b'], ['c'])
    login(b, 'ann')
    login(c, 'ann')
    await sim.run(10_000)
    const except = a.sessions.find(kept as string)
    void a.users.endAll('ann', except === undefined ? {} : { except })
    t.deepEqual([ids(a, 'ann').length, ids(c, 'ann').length], [1, 2], `seed ${seed}`)
    const heard: string[] = []
    c.users.on('ended', ({ why, cause }) => heard.push(`${why} ${cause}`))
    await sim.run(5_000)
    sim.heal()
    await sim.run(20_000)
    t.deepEqual(agreed(sim, 'ann'), [kept as string], `seed ${seed}`)
    // Of what b began meanwhile it may have heard both the beginning and the end.
    t.regex(heard.join(), /^forced \w+(,forced \w+)?$/, `seed ${seed}`)
    await leave(sim)
  }
})

test('a sign-off ends the sessions of all applications, also one that began on the other side of a partition', async t => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const sim = await start(`sign-off ${seed}`, 4)
    const [a, b, c] = [sim.node('a'), sim.node('b'), sim.node('c')]
    const first = login(a, 'ann', true) as string
    const session = a.sessions.find(first)!
    const signOn = a.users.signOnOf(session) as string
    await sim.run(1_000)
    const join = (node: Cluster): void => {
      const other = node.sessions.create({ deferred: true })
      t.is(node.users.join(other, signOn), 'ann', `seed ${seed}`)
      node.sessions.commit(other)
    }
    join(b)
    await sim.run(1_000)
    t.is(agreed(sim, 'ann').length, 2, `seed ${seed}`)
    sim.partition(['a', 'b'], ['c', 'd'])
    await sim.run(seed * 700)
    void a.users.logout(session)
    t.is(a.users.count('ann'), 0, `seed ${seed}`)
    join(c)
    await sim.run(seed * 400)
    const why = new Set<string>()
    sim.node('d').users.on('ended', event => why.add(event.why))
    sim.heal()
    await sim.run(20_000)
    t.deepEqual(agreed(sim, 'ann'), [], `seed ${seed}`)
    for (const node of running(sim)) t.is(node.users.signedOn(signOn), undefined, `seed ${seed}`)
    t.true(why.has('signOff'), `${[...why].join()}, seed ${seed}`)
    await leave(sim)
  }
})

test('a session that expires leaves its sign-on, which ends when the last has left', async t => {
  const sim = await start('expiry', 3, { sessions: { maxInactiveInterval: 20 } })
  const [a, b, c] = [sim.node('a'), sim.node('b'), sim.node('c')]
  const first = login(a, 'ann', true) as string
  const signOn = a.users.signOnOf(a.sessions.find(first)!) as string
  await sim.run(1_000)
  const other = b.sessions.create({ deferred: true, maxInactiveInterval: 60 })
  b.users.join(other, signOn)
  b.sessions.commit(other)
  const told: string[] = []
  c.users.on('ended', ({ why }) => told.push(why))
  await sim.run(40_000)
  t.deepEqual([agreed(sim, 'ann').length, c.users.signedOn(signOn), told.join()], [1, 'ann', 'expired'])
  await sim.run(100_000)
  t.deepEqual([agreed(sim, 'ann').length, c.users.signedOn(signOn), told.join()], [0, undefined, 'expired,expired'])
  t.is(c.replication.replica.size, 0)
  await leave(sim)
})

test('a member that ends a session and dies has still ended what belongs to it', async t => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const sim = await start(`dies ${seed}`, 4, { users: { maxSessions: 1 } })
    const [a, b, d] = [sim.node('a'), sim.node('b'), sim.node('d')]
    login(b, 'ann')
    await sim.run(1_000)
    const id = login(a, 'ann') as string
    // As if it had died between the login and the end of the other session.
    await sim.run(seed * 3)
    sim.crash('a', { powerLoss: seed % 2 === 0 })
    await sim.run(30_000)
    t.is(agreed(sim, 'ann').length, 1, `seed ${seed}`)
    if (d.sessions.find(id) !== undefined) t.deepEqual(agreed(sim, 'ann'), [id], `seed ${seed}`)
    await leave(sim)
  }
})

test('a signal aborts on the member that serves a connection, with the reason', async t => {
  const sim = await start('signal', 3)
  const [a, c] = [sim.node('a'), sim.node('c')]
  const session = c.sessions.create({ deferred: true })
  const early = session.signal
  c.users.login(session, 'ann')
  await sim.run(1_000)
  const late = c.sessions.find(session.id)!.signal
  t.is(late, early)
  t.false(early.aborted)
  void a.users.end(session.id)
  await sim.run(1_000)
  t.true(early.aborted)
  t.like(early.reason, { code: 'SESSION_ENDED', why: 'forced' })
  t.true(session.signal.aborted)
  await leave(sim)
})
