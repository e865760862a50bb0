import test from 'ava'
import { Heartbeats } from '../../../lib/channel/heartbeats.js'
import type { Member, MemberId } from '../../../lib/membership/member.js'
import type { Frame, Heartbeat } from '../../../lib/wire/messages.js'
import { VirtualClock } from '../../helpers/virtual-clock.js'

const FREQUENCY_MS = 500
const DROP_TIME_MS = 3_000
const member = (digit: string): Member => ({
  id: digit.repeat(32),
  name: `node-${digit}`,
  host: '10.0.0.1',
  port: 4_000,
})
const a = member('a')
const b = member('b')
const c = member('c')

interface Bench {
  readonly clock: VirtualClock
  readonly heartbeats: Heartbeats
  readonly broadcasts: { readonly atMs: number; readonly heartbeat: Heartbeat }[]
  readonly controls: { readonly to: MemberId; readonly heartbeat: Heartbeat }[]
  readonly counted: number[]
  /** Members whose datagrams do not arrive here. */
  readonly missing: Set<MemberId>
}

function bench({ broadcasts: reaches = true, random = 0 } = {}): Bench {
  const clock = new VirtualClock()
  const missing = new Set<MemberId>()
  const broadcasts: { atMs: number; heartbeat: Heartbeat }[] = []
  const controls: { to: MemberId; heartbeat: Heartbeat }[] = []
  const counted: number[] = []
  const heartbeats = new Heartbeats({
    clock,
    random: { bytes: length => new Uint8Array(length), uint32: () => random },
    service: {
      broadcasts: reaches,
      seeds: [],
      counts: { sent: 0, heard: 0, foreign: 0, garbage: 0 },
      start: async () => {},
      broadcast: heartbeat => broadcasts.push({ atMs: clock.nowMs, heartbeat }),
      stop: () => {},
    },
    transport: {
      control: (to, frame: Frame) => {
        if (frame.kind === 'heartbeat') controls.push({ to: to.id, heartbeat: frame.heartbeat })
      },
    },
    after: clock.after,
    frequencyMs: FREQUENCY_MS,
    dropTimeMs: DROP_TIME_MS,
    members: () => [b, c],
    datagramsMissing: id => missing.has(id),
    content: leaving => ({
      group: 'g',
      member: a,
      incarnation: 0,
      view: '0'.repeat(16),
      leaving,
      clusterTime: clock.nowMs,
      advertisements: [{ topic: 'sessions', bytes: Uint8Array.of(1) }],
    }),
    sent: count => counted.push(count),
  })
  return { clock, heartbeats, broadcasts, controls, counted, missing }
}

function from(who: Member, ...topics: string[]): Heartbeat {
  const advertisements = topics.map(topic => ({ topic, bytes: Uint8Array.of(1) }))
  const view = '0'.repeat(16)
  return { group: 'g', member: who, incarnation: 0, count: 1, view, leaving: false, clusterTime: 0, advertisements }
}

for (const [random, gapMs] of [
  [0, 450],
  [37, 487],
  [100, 550],
  [101, 450],
] as const) {
  test(`the first goes out at once, the others ${gapMs} ms apart when the dice say ${random}, numbered from 1`, t => {
    const { clock, heartbeats, broadcasts, counted } = bench({ random })
    heartbeats.start()
    clock.advance(4 * gapMs)
    t.deepEqual(
      broadcasts.map(({ heartbeat }) => heartbeat.count),
      [1, 2, 3, 4, 5],
    )
    t.deepEqual(counted, [1, 2, 3, 4, 5])
    t.is(heartbeats.count, 5)
    for (const [index, { atMs }] of broadcasts.entries()) t.is(atMs, index * gapMs)
  })
}

test('kicks make one urgent heartbeat, 20 ms after the last at the earliest', t => {
  const { clock, heartbeats, broadcasts } = bench()
  heartbeats.send(false)
  clock.advance(5)
  for (let n = 0; n < 10; n++) heartbeats.kick()
  clock.advance(14)
  t.is(broadcasts.length, 1)
  clock.advance(1)
  t.deepEqual(
    broadcasts.map(({ atMs }) => atMs),
    [0, 20],
  )
  clock.advance(100)
  heartbeats.kick()
  clock.advance(0)
  t.is(broadcasts.at(-1)?.atMs, 120)
})

test('without multicast everybody hears over the connection', t => {
  const { heartbeats, controls } = bench({ broadcasts: false })
  heartbeats.send(true)
  t.deepEqual(
    controls.map(({ to }) => to),
    [b.id, c.id],
  )
  t.true(controls.every(({ heartbeat }) => heartbeat.leaving && heartbeat.count === 1))
})

test('a member whose datagrams stay away is told so over the connection, the others are not', t => {
  const { heartbeats, controls, missing, broadcasts } = bench()
  missing.add(b.id)
  heartbeats.send(false)
  t.is(broadcasts.length, 1)
  t.deepEqual(
    controls.map(({ to }) => to),
    [b.id],
  )
  const sent = controls[0]!.heartbeat
  t.is(sent.advertisements.length, 2)
  t.deepEqual(broadcasts[0]!.heartbeat.advertisements.length, 1)
  t.deepEqual(
    heartbeats.advertised(sent).map(({ topic }) => topic),
    ['sessions'],
    'the wish is ours, not the application’s',
  )
})

test('who wishes for heartbeats over the connection gets them until the wish is old', t => {
  const { clock, heartbeats, controls, missing } = bench()
  const other = bench()
  other.missing.add(b.id)
  other.heartbeats.send(false)
  const wish = other.controls[0]!.heartbeat.advertisements.map(({ topic }) => topic)

  heartbeats.heard(from(b, ...wish), 'datagram', clock.nowMs)
  heartbeats.heard(from(c, 'sessions'), 'connection', clock.nowMs)
  heartbeats.send(false)
  t.deepEqual(controls, [], 'a datagram that arrived is no wish, nor is a heartbeat without one')

  heartbeats.heard(from(b, ...wish), 'connection', clock.nowMs)
  heartbeats.send(false)
  t.deepEqual(
    controls.map(({ to, heartbeat }) => [to, heartbeat.advertisements.length]),
    [[b.id, 1]],
  )
  clock.advance(DROP_TIME_MS - 1)
  heartbeats.sweep(clock.nowMs)
  heartbeats.send(false)
  t.is(controls.length, 2)
  clock.advance(1)
  heartbeats.sweep(clock.nowMs)
  heartbeats.send(false)
  t.is(controls.length, 2)

  heartbeats.heard(from(b, ...wish), 'connection', clock.nowMs)
  heartbeats.forget(b.id)
  heartbeats.send(false)
  t.is(controls.length, 2, 'a member that is gone has no wishes')
  t.is(missing.size, 0)
})
