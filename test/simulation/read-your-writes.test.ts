import test from 'ava'
import { ALL_SEEN, type Unseen } from '../../lib/http/requests/read-your-writes.js'
import { SessionGate } from '../../lib/http/requests/session-gate.js'
import { SessionHttpStats } from '../../lib/http/requests/session-http-stats.js'
import { type Cluster, createCluster } from '../../lib/index.js'
import { type ChannelFaults, faultInterceptor, SimCluster, SimRandom } from '../../lib/testing/index.js'

const NAMES = ['a', 'b', 'c']
const STEPS = 60
const secret = 'keep it to yourself'

interface Node {
  readonly cluster: Cluster
  readonly gate: SessionGate<undefined>
}

/** What became of a client's step. */
interface Step {
  readonly stale: boolean
  /** The counter it read. */
  readonly n: number
}

/** Members whose messages get lost and late, with a client that goes from one to another with every request. */
class Tour {
  readonly stats = new SessionHttpStats()
  readonly sim: SimCluster<Node>
  readonly #cookies = new Map<string, string>()

  constructor(seed: number, faults: ChannelFaults) {
    const random = new SimRandom(`faults ${seed}`)
    this.sim = new SimCluster<Node>({
      seed,
      launch: async ({ name, runtime }) => {
        const interceptors = [faultInterceptor(faults, random)]
        const cluster = await createCluster({ name, runtime, interceptors, sessions: { ack: 'none' } })
        return { cluster, gate: new SessionGate<undefined>({ cluster, secret, stats: this.stats }) }
      },
    })
  }

  /** One request that reads the counter and, if it may, adds one. */
  async visit(name: string, mayWrite: (step: Step) => boolean): Promise<Step> {
    const { cluster, gate } = this.sim.node(name)
    const header = [...this.#cookies].map(([key, value]) => `${key}=${value}`).join('; ')
    let unseen: Unseen | undefined
    const wait = gate.whenReady(header)
    if (wait === undefined) unseen = ALL_SEEN
    else {
      void wait.then(found => {
        unseen = found
      })
      await this.sim.runUntil(() => unseen !== undefined, { within: 10_000, what: 'the request goes on' })
    }
    const known = unseen ?? ALL_SEEN
    const session = gate.find(gate.read(header), undefined, undefined) ?? gate.create(undefined)
    const step = { stale: known.lacking.length > 0, n: session.get<number>('n') ?? 0 }
    if (mayWrite(step)) {
      session.set('n', step.n + 1)
      cluster.sessions.commit(session)
      this.#cookies.set('tribeline.sid', /=([^;]*)/.exec(gate.cookie.issue(session.id, false))?.[1] as string)
    }
    const written = session.writeToken === undefined ? [] : [session.writeToken]
    for (const { name: cookie, value } of gate.readYourWrites?.after(known, written) ?? []) {
      if (value === '') this.#cookies.delete(cookie)
      else this.#cookies.set(cookie, value)
    }
    return step
  }
}

test('lost and late messages: who reads less than was written is told so', async t => {
  let waits = 0
  let stale = 0
  for (let seed = 1; seed <= 12; seed++) {
    const tour = new Tour(seed, { drop: 0.3, duplicate: 0.1, delay: 0.4, fullQueue: 0, delayMaxMs: 600 })
    await tour.sim.started(...NAMES)
    const random = new SimRandom(`client ${seed}`)
    let written = 0
    for (let step = 0; step < STEPS; step++) {
      const name = NAMES[random.between(0, NAMES.length - 1)] as string
      const writes = random.chance(0.6)
      const visit = await tour.visit(name, ({ stale }) => writes && !stale)
      if (!visit.stale) {
        t.is(visit.n, written, `seed ${seed}, step ${step}, ${name}`)
        if (writes) written++
      }
      await tour.sim.run(random.between(0, 20))
    }
    waits += tour.stats.waits
    stale += tour.stats.stale
    t.is(tour.stats.refusedTokens, 0)
  }
  t.true(waits > 100 && stale > 10, `${waits} waits, ${stale} stale`)
})

test('stale requests that write all the same: what they lacked is still asked for, and nothing lacks in the end', async t => {
  for (let seed = 1; seed <= 6; seed++) {
    const faults: ChannelFaults = { drop: 0.5, duplicate: 0, delay: 0.4, fullQueue: 0, delayMaxMs: 600 }
    const tour = new Tour(seed, faults)
    await tour.sim.started(...NAMES)
    const random = new SimRandom(`client ${seed}`)
    for (let step = 0; step < STEPS; step++) {
      await tour.visit(NAMES[random.between(0, NAMES.length - 1)] as string, () => true)
    }
    Object.assign(faults, { drop: 0, delay: 0 })
    await tour.sim.run(10_000)
    const last = await tour.visit('a', ({ stale }) => !stale)
    t.false(last.stale, `seed ${seed}`)
    for (const name of NAMES) t.deepEqual(await tour.visit(name, () => false), { stale: false, n: last.n + 1 }, name)
  }
})

test('the only writer of a write is gone: told once, and nobody waits for it again', async t => {
  for (let seed = 1; seed <= 6; seed++) {
    const faults: ChannelFaults = { drop: 0, duplicate: 0, delay: 0, fullQueue: 0 }
    const tour = new Tour(seed, faults)
    await tour.sim.started(...NAMES)
    await tour.visit('a', () => true)
    t.deepEqual(await tour.visit('b', () => false), { stale: false, n: 1 })
    tour.sim.partition(['a'], ['b', 'c'])
    t.deepEqual(await tour.visit('a', () => true), { stale: false, n: 1 })
    tour.sim.crash('a', { powerLoss: true })
    tour.sim.heal()
    await tour.sim.runUntil(() => tour.sim.node('b').cluster.members.length === 1, { within: 60_000 })
    t.deepEqual(await tour.visit('b', () => false), { stale: true, n: 1 })
    const { waits } = tour.stats
    for (const name of ['c', 'b', 'c']) t.deepEqual(await tour.visit(name, () => false), { stale: false, n: 1 })
    t.is(tour.stats.waits, waits)
  }
})
