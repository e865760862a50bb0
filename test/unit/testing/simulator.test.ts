import test from 'ava'
import fc from 'fast-check'
import { EventHeap } from '../../../lib/testing/event-heap.js'
import { SimRandom } from '../../../lib/testing/sim-random.js'
import { Simulator } from '../../../lib/testing/simulator.js'

test('events run by time, and in the order of scheduling when the times are equal', t => {
  fc.assert(
    fc.property(fc.array(fc.nat(20)), times => {
      const heap = new EventHeap()
      for (const [order, atMs] of times.entries()) heap.push({ atMs, order, kind: '', node: '', run: undefined })
      const popped: [number, number][] = []
      for (let event = heap.pop(); event !== undefined; event = heap.pop()) popped.push([event.atMs, event.order])
      t.deepEqual(
        popped,
        times.map((atMs, order): [number, number] => [atMs, order]).sort((a, b) => a[0] - b[0] || a[1] - b[1]),
      )
    }),
  )
})

test('time jumps from event to event and stops where it was told', async t => {
  const sim = new Simulator({ seed: 1 })
  const seen: number[] = []
  sim.schedule(10, 'x', '', () => seen.push(sim.now))
  sim.schedule(25, 'x', '', () => seen.push(sim.now))
  const cancelled = sim.schedule(15, 'x', '', () => t.fail())
  cancelled.cancel()
  await sim.run(20)
  t.deepEqual([seen, sim.now], [[10], 20])
  await sim.run(20)
  t.deepEqual([seen, sim.now], [[10, 25], 40])
})

test('promises resolved by an event settle before time moves on', async t => {
  const sim = new Simulator({ seed: 1 })
  let settledAt = -1
  sim.schedule(5, 'x', '', () => {
    void (async () => {
      for (let i = 0; i < 20; i++) await undefined
      settledAt = sim.now
    })()
  })
  sim.schedule(6, 'x', '', () => {})
  await sim.run(10)
  t.is(settledAt, 5)
})

test('runUntil says how long it took, or that it took too long', async t => {
  const sim = new Simulator({ seed: 7 })
  let done = false
  sim.schedule(30, 'x', '', () => (done = true))
  t.is(await sim.runUntil(() => done, { within: 100 }), 30)
  await t.throwsAsync(
    sim.runUntil(() => false, { within: 100, what: 'never' }),
    { message: /never \(seed 7\)/ },
  )
})

test('an error in an event, a failure, and a livelock end the run', async t => {
  const thrown = new Simulator({ seed: 1 })
  thrown.schedule(1, 'x', '', () => {
    throw new Error('broken')
  })
  await t.throwsAsync(thrown.run(10), { message: 'broken' })
  const failed = new Simulator({ seed: 1 })
  failed.schedule(1, 'x', '', () => failed.fail(new Error('failed')))
  await t.throwsAsync(failed.run(10), { message: 'failed' })
  const busy = new Simulator({ seed: 1, eventLimitPerMs: 100 })
  const again = (): void => void busy.schedule(0, 'again', '', again)
  again()
  await t.throwsAsync(busy.run(10), { message: /Livelock/ })
})

test('the trace tells equal runs from different ones', async t => {
  const trace = async (delayMs: number): Promise<string> => {
    const sim = new Simulator({ seed: 1 })
    sim.schedule(delayMs, 'x', 'a', () => {})
    sim.schedule(3, 'y', 'b', () => {})
    await sim.run(10)
    return sim.trace
  }
  t.is(await trace(1), await trace(1))
  t.not(await trace(1), await trace(2))
})

test('random streams repeat by seed, differ between forks and keep their ranges', t => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(50), (seed, length) => {
      const a = new SimRandom(seed)
      const b = new SimRandom(seed)
      t.deepEqual(a.bytes(length), b.bytes(length))
      t.is(a.uint32(), b.uint32())
      t.not(a.fork('x').bytes(8).join(), b.fork('y').bytes(8).join())
      const drawn = a.between(3, 5)
      t.true(drawn >= 3 && drawn <= 5)
      t.deepEqual(a.shuffle([1, 2, 3, 4]).sort(), [1, 2, 3, 4])
    }),
  )
})
