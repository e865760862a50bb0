import test from 'ava'
import fc from 'fast-check'
import { Dated, Deadlines } from '../../../lib/channel/deadlines.js'
import { VirtualClock } from '../../helpers/virtual-clock.js'

class Told extends Dated {
  readonly #tell: () => void

  constructor(tell: () => void) {
    super()
    this.#tell = tell
  }

  override timeout(): void {
    this.#tell()
  }
}

test('each is timed out once, when its time is up, unless it was removed before', t => {
  const one = fc.record({ atMs: fc.nat(50), timeoutMs: fc.integer({ min: 1, max: 30 }), removedAfterMs: fc.nat(60) })
  fc.assert(
    fc.property(fc.array(one, { maxLength: 60 }), plans => {
      const clock = new VirtualClock()
      const deadlines = new Deadlines(clock)
      const told: [number, number][] = []
      for (const [index, { atMs, timeoutMs, removedAfterMs }] of plans.entries()) {
        const dated = new Told(() => told.push([index, clock.nowMs]))
        clock.setTimer(atMs, () => deadlines.add(dated, timeoutMs))
        // Half a millisecond later, so that it is told which comes first.
        clock.setTimer(atMs + removedAfterMs + 0.5, () => deadlines.remove(dated))
      }
      clock.advance(200)
      t.deepEqual([deadlines.size, [...deadlines]], [0, []])
      const expected = plans.flatMap(({ atMs, timeoutMs, removedAfterMs }, index) =>
        removedAfterMs >= timeoutMs ? [[index, atMs + timeoutMs]] : [],
      )
      t.deepEqual(
        told.sort(([a], [b]) => a - b),
        expected as [number, number][],
      )
    }),
  )
})

test('what is added while others are timed out is timed out in its turn', t => {
  const clock = new VirtualClock()
  const deadlines = new Deadlines(clock)
  const told: number[] = []
  const again: Dated = new Told(() => {
    told.push(clock.nowMs)
    if (told.length < 3) deadlines.add(again, 10)
  })
  deadlines.add(again, 10)
  clock.advance(100)
  t.deepEqual(told, [10, 20, 30])
})

test('nobody is timed out after it was cleared, and it may be used again', t => {
  const clock = new VirtualClock()
  const deadlines = new Deadlines(clock)
  const told: string[] = []
  const dated = (name: string): Dated => new Told(() => told.push(name))
  deadlines.add(dated('before'), 10)
  deadlines.clear()
  deadlines.add(dated('after'), 10)
  clock.advance(100)
  t.deepEqual(told, ['after'])
})

test('it lists those that wait, and nobody who was removed keeps another', t => {
  const deadlines = new Deadlines(new VirtualClock())
  const [a, b, c] = [new Told(() => {}), new Told(() => {}), new Told(() => {})]
  deadlines.add(a, 10)
  deadlines.add(b, 10)
  deadlines.add(c, 20)
  t.deepEqual([...deadlines], [a, b, c])
  t.true(deadlines.remove(a))
  t.false(deadlines.remove(a))
  t.deepEqual([...deadlines], [b, c])
  t.deepEqual([a.before, a.after, a.queue], [undefined, undefined, undefined])
  t.is(deadlines.size, 2)
})
