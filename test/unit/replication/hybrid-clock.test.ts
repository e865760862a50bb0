import test from 'ava'
import fc from 'fast-check'
import { HybridClock, MAX_AHEAD_MS } from '../../../lib/replication/hybrid-clock.js'

test('every tick is above all earlier ticks and all stamps observed, whatever the time does', t => {
  const step = fc.oneof(
    fc.record({ now: fc.integer({ min: 0, max: 1_000 }) }),
    fc.record({ wallMs: fc.integer({ min: 0, max: 1_000 }), counter: fc.integer({ min: 0, max: 65_535 }) }),
  )
  fc.assert(
    fc.property(fc.array(step), steps => {
      const clock = new HybridClock()
      let floor = -1
      for (const each of steps) {
        if ('now' in each) {
          const { wallMs, counter } = clock.access(each.now, '')
          const value = wallMs * 65_536 + counter
          if (value <= floor || counter > 65_535) return false
          floor = value
        } else {
          clock.observe(each)
          floor = Math.max(floor, each.wallMs * 65_536 + each.counter)
        }
      }
      return true
    }),
  )
  t.pass()
})

test('a full counter carries into the milliseconds', t => {
  const clock = new HybridClock()
  clock.observe({ wallMs: 5, counter: 65_535 })
  const { wallMs, counter } = clock.access(5, '')
  t.deepEqual({ wallMs, counter }, { wallMs: 6, counter: 0 })
})

test('refuses what is more than ten seconds ahead of now, not of the last value', t => {
  const clock = new HybridClock()
  clock.observe({ wallMs: 1_000_000, counter: 0 })
  t.false(clock.isAhead({ wallMs: MAX_AHEAD_MS, counter: 0 }, 0))
  t.true(clock.isAhead({ wallMs: MAX_AHEAD_MS + 1, counter: 0 }, 0))
})
