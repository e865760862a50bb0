import test from 'ava'
import fc from 'fast-check'
import { ClusterClock } from '../../../lib/membership/cluster-clock.js'

function reading(
  peerTimeMs: number,
  nowMs: number,
  roundTripMs = 0,
): { sentMs: number; receivedMs: number; peerTimeMs: number } {
  return { sentMs: nowMs - roundTripMs, receivedMs: nowMs, peerTimeMs }
}

test('a member alone keeps its wall clock and goes on with the monotonic one', t => {
  const clock = new ClusterClock(1_000_000, 50)
  clock.settle(60)
  t.is(clock.time(60), 1_000_010)
  t.is(clock.time(1_060), 1_001_010)
})

test('a joiner adopts the median of the settled peers, whatever the others say', t => {
  const clock = new ClusterClock(1_000, 0)
  clock.sample('a', true, reading(50_000, 0))
  clock.sample('b', true, reading(50_010, 0))
  clock.sample('c', true, reading(50_020, 0))
  clock.sample('d', false, reading(9_000_000, 0))
  clock.settle(0)
  t.is(clock.time(0), 50_010)
})

test('two newcomers agree on the later clock', t => {
  const early = new ClusterClock(1_000, 0)
  const late = new ClusterClock(90_000, 0)
  early.sample('late', false, reading(late.time(0), 0))
  late.sample('early', false, reading(early.time(0), 0))
  early.settle(0)
  late.settle(0)
  t.is(early.time(5), late.time(5))
})

test('the fastest round trip counts', t => {
  const clock = new ClusterClock(0, 0)
  clock.sample('a', true, reading(1_000, 400, 400))
  clock.sample('a', true, reading(1_500, 500, 2))
  clock.sample('a', true, reading(900, 600, 300))
  clock.settle(600)
  t.is(clock.time(600), 1_601)
})

test('settled clocks too far apart diverge, and such readings are ignored', t => {
  const clock = new ClusterClock(0, 0)
  t.false(clock.diverges(20_000, true, 0))
  clock.settle(0)
  t.true(clock.diverges(10_001, true, 0))
  t.true(clock.diverges(-10_001, true, 0))
  t.false(clock.diverges(10_000, true, 0))
  t.false(clock.diverges(20_000, false, 0))
  t.false(clock.sample('a', true, reading(20_000, 0)))
  t.is(clock.time(1_000), 1_000)
})

test('property: a settled clock never steps back and changes its pace by at most the slew', t => {
  const step = fc.record({
    elapsedMs: fc.nat(5_000),
    aheadMs: fc.integer({ min: -9_000, max: 9_000 }),
    peer: fc.nat(4),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const clock = new ClusterClock(1_000_000, 0)
      clock.settle(0)
      let nowMs = 0
      let time = clock.time(0)
      for (const { elapsedMs, aheadMs, peer } of steps) {
        nowMs += elapsedMs
        clock.sample(`p${peer}`, true, reading(clock.time(nowMs) + aheadMs, nowMs, elapsedMs / 10))
        const next = clock.time(nowMs)
        if (next < time) throw new Error('stepped back')
        if (Math.abs(next - time - elapsedMs) > elapsedMs / 1_000 + 1) throw new Error('too fast or too slow')
        time = next
      }
    }),
  )
  t.pass()
})

test('a settled clock reaches its peers by and by', t => {
  const clock = new ClusterClock(0, 0)
  clock.settle(0)
  clock.sample('a', true, reading(100, 0))
  clock.sample('b', true, reading(100, 0))
  t.is(clock.time(50_000), 50_050)
  t.is(clock.time(200_000), 200_100)
})
