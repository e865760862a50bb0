import test from 'ava'
import { Peers } from '../../../lib/replication/peers.js'
import { resolveReplicaOptions } from '../../../lib/replication/replica-options.js'
import { ReplicaState } from '../../../lib/replication/replica-state.js'
import { UpheldRemovals } from '../../../lib/replication/upheld-removals.js'

const START_MS = 1_700_000_000_000
const TICK_MS = 100
const [OWN, OTHER] = ['1'.repeat(32), '2'.repeat(32)] as const

/** A member named `name` among others that are ready. */
class Bench {
  readonly state: ReplicaState
  readonly removals: UpheldRemovals
  readonly ended: string[] = []
  #now = 0

  constructor(name: string, others: readonly string[] = []) {
    const env = {
      id: OWN,
      name,
      send: (): void => {},
      monotonic: (): number => this.#now,
      clusterTime: (): number => START_MS + this.#now,
      random: { uint32: (): number => 0 },
    }
    this.state = new ReplicaState(env, resolveReplicaOptions({}), () => {})
    this.state.ready = true
    const peers = new Peers({ id: OWN, name })
    for (const [index, other] of others.entries()) {
      const id = (index + 2).toString(16).repeat(32)
      peers.added({ id, name: other, host: 'h', port: 1 }, 0)
      peers.get(id)!.ready = true
    }
    this.removals = new UpheldRemovals(this.state, peers, key => ({ origin: OWN, seq: this.ended.push(key) }))
  }

  run(ms: number): void {
    for (const end = this.#now + ms; this.#now < end; ) {
      this.#now += TICK_MS
      this.state.forgetTime()
      this.removals.tick()
    }
  }
}

function keys(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${OTHER}#${index + 1}`)
}

test('the first by name upholds a removal at its next tick, the others when it has not', t => {
  const [first, third] = [new Bench('a', ['b', 'c']), new Bench('c', ['a', 'b'])]
  const [key] = keys(1) as [string]
  for (const { removals } of [first, third]) removals.add(key)
  t.deepEqual(first.ended, [])
  first.run(TICK_MS)
  t.deepEqual(first.ended, [key])
  third.run(300)
  t.deepEqual(third.ended, [])
  third.run(TICK_MS)
  t.deepEqual(third.ended, [key])
})

test('what another has ended is not ended again, and while it is at it the rest is left to it', t => {
  const bench = new Bench('b', ['a'])
  const all = keys(20)
  for (const key of all) bench.removals.add(key)
  for (const [index, key] of all.slice(0, 10).entries()) {
    bench.removals.ended(key, { origin: OTHER, seq: index + 1 })
    bench.run(TICK_MS)
  }
  t.deepEqual(bench.ended, [])
  bench.run(TICK_MS)
  t.deepEqual(bench.ended, all.slice(10))
  t.false(all.some(key => bench.removals.has(key)))
})

test('so many are upheld a tick, each once for half a minute, without a tombstone as well', t => {
  const bench = new Bench('a')
  const all = keys(1_200)
  for (const key of all) bench.removals.add(key)
  bench.run(TICK_MS)
  t.is(bench.ended.length, 500)
  bench.run(2 * TICK_MS)
  t.deepEqual(bench.ended, all)
  t.is(bench.state.counters.removalsUpheld, 1_200)
  bench.removals.add(all[0]!)
  bench.run(29_000)
  t.is(bench.ended.length, 1_200)
  bench.run(2_000)
  bench.removals.add(all[0]!)
  bench.run(TICK_MS)
  t.is(bench.ended.length, 1_201)
})

test('an end by an origin that has been closed since counts as seen everywhere, and is told again', t => {
  const bench = new Bench('b', ['a'])
  const [key] = keys(1) as [string]
  bench.removals.add(key)
  bench.removals.ended(key, { origin: OTHER, seq: 2 })
  t.true(bench.removals.isTold(key))
  bench.state.seen.close([OTHER])
  t.false(bench.removals.isTold(key))
  bench.removals.add(key)
  bench.run(1_000)
  t.deepEqual(bench.ended, [key])
})
