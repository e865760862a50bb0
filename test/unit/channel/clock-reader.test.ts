import test from 'ava'
import { ClockReader } from '../../../lib/channel/clock-reader.js'
import type { EchoResult } from '../../../lib/channel/transport-port.js'
import type { Member, MemberId } from '../../../lib/membership/member.js'
import { VirtualClock } from '../../helpers/virtual-clock.js'

const b: Member = { id: 'b'.repeat(32), name: 'b', host: '10.0.0.2', port: 4_000 }
const c: Member = { id: 'c'.repeat(32), name: 'c', host: '10.0.0.3', port: 4_000 }

interface Echo {
  readonly to: MemberId
  answer(result: EchoResult | undefined): void
}

function bench(): {
  readonly clock: VirtualClock
  readonly reader: ClockReader
  readonly echoes: Echo[]
  readonly live: Set<MemberId>
  readonly seen: MemberId[]
  readonly diverged: [name: string, aheadMs: number][]
} {
  const clock = new VirtualClock()
  const echoes: Echo[] = []
  const live = new Set([b.id, c.id])
  const seen: MemberId[] = []
  const diverged: [string, number][] = []
  const reader = new ClockReader({
    clock,
    transport: { echo: (to, _timeoutMs, settled) => echoes.push({ to: to.id, answer: settled }) },
    isLive: id => live.has(id),
    seen: id => seen.push(id),
    diverged: ({ name }, aheadMs) => diverged.push([name, aheadMs]),
  })
  return { clock, reader, echoes, live, seen, diverged }
}

test('alone, the time is the host’s, and settled after a while', t => {
  const { clock, reader } = bench()
  reader.start(clock.after, 1_000)
  t.is(reader.time(), clock.wall())
  clock.advance(999)
  t.false(reader.clusterClock.settled)
  clock.advance(1)
  t.true(reader.clusterClock.settled)
  t.is(reader.time(), clock.wall())
})

test('a newcomer reads a settled clock eight times in a row, then takes its time on', t => {
  const { clock, reader, echoes, seen } = bench()
  reader.readOften(b, true)
  for (let round = 1; round <= 8; round++) {
    t.is(echoes.length, round)
    t.false(reader.clusterClock.settled)
    clock.advance(10)
    // Five seconds ahead, half-way through the round trip.
    echoes[round - 1]!.answer({ clusterTime: clock.wall() - 5 + 5_000 })
  }
  t.is(echoes.length, 8)
  t.true(reader.clusterClock.settled)
  t.is(reader.time(), clock.wall() + 5_000)
  t.deepEqual(seen, Array(8).fill(b.id))
})

test('no answer ends the readings; the answer of a member that is gone counts for nothing', t => {
  const { clock, reader, echoes, live, seen } = bench()
  reader.readOften(b, false)
  live.delete(b.id)
  clock.advance(10)
  echoes[0]!.answer({ clusterTime: clock.wall() + 9_000 })
  t.is(echoes.length, 1)
  t.deepEqual(seen, [])
  reader.readOften(c, false)
  echoes[1]!.answer(undefined)
  t.is(echoes.length, 2)
  t.false(reader.clusterClock.settled)
  reader.clusterClock.settle(clock.nowMs)
  t.is(reader.time(), clock.wall())
})

for (const [frequencyMs, every] of [
  [500, 10],
  [100, 50],
  [10_000, 1],
] as const) {
  test(`at ${frequencyMs} ms a heartbeat, every ${every}. reads all clocks once`, t => {
    const { reader, echoes } = bench()
    for (let count = 1; count <= 3 * every; count++) reader.readAgain([b, c], count, frequencyMs)
    t.deepEqual(
      echoes.map(({ to }) => to),
      Array.from({ length: 3 }, () => [b.id, c.id]).flat(),
    )
    echoes[0]!.answer({ clusterTime: reader.time() })
    t.is(echoes.length, 6, 'one round')
  })
}

test('a settled clock too far away is refused, counted and told; an unsettled one is not', t => {
  const { clock, reader, diverged } = bench()
  const far = clock.wall() + 10_001
  t.false(reader.diverges(b, far, true, clock.nowMs), 'our own is not settled yet')
  reader.clusterClock.settle(clock.nowMs)
  t.false(reader.diverges(b, far, false, clock.nowMs))
  t.false(reader.diverges(b, far - 1, true, clock.nowMs))
  t.true(reader.diverges(b, far, true, clock.nowMs))
  t.is(reader.divergences, 1)
  t.deepEqual(diverged, [['b', 10_001]])
})
