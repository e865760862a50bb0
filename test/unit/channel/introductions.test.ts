import test from 'ava'
import { ClockReader } from '../../../lib/channel/clock-reader.js'
import { Introductions } from '../../../lib/channel/introductions.js'
import type { Member } from '../../../lib/membership/member.js'
import { MemberTable } from '../../../lib/membership/member-table.js'
import { memberTableDefaults } from '../../../lib/membership/member-table-types.js'
import type { Endpoint } from '../../../lib/runtime/runtime.js'
import type { DialResult } from '../../../lib/transport/types.js'
import { PROTOCOL_VERSIONS } from '../../../lib/wire/codec.js'
import type { Hello, Welcome } from '../../../lib/wire/messages.js'
import { VirtualClock } from '../../helpers/virtual-clock.js'

const member = (digit: string, port = 4_000): Member => ({ id: digit.repeat(32), name: digit, host: '10.0.0.1', port })
const a = member('a', 4_000)
const b = member('b', 4_001)
const c = member('c', 4_002)

interface Asked {
  readonly endpoint: Endpoint
  settle(result: DialResult): void
}

interface Bench {
  readonly clock: VirtualClock
  readonly introductions: Introductions
  readonly table: MemberTable
  readonly dials: Asked[]
  readonly asks: Asked[]
  /** Addresses the table wants dialled. */
  readonly wanted: number[]
  running: boolean
  started: boolean
}

function bench(): Bench {
  const clock = new VirtualClock()
  const random = { bytes: (length: number) => new Uint8Array(length), uint32: () => 0 }
  const wanted: number[] = []
  const dials: Asked[] = []
  const asks: Asked[] = []
  const table = new MemberTable(
    a,
    random,
    memberTableDefaults,
    effect => {
      if (effect.kind === 'dial') wanted.push(effect.endpoint.port)
    },
    0,
  )
  const clocks = new ClockReader({
    clock,
    transport: { echo: () => {} },
    isLive: () => true,
    seen: () => {},
    diverged: () => {},
  })
  const it: Bench = {
    clock,
    table,
    dials,
    asks,
    wanted,
    running: true,
    started: true,
    introductions: new Introductions({
      clock,
      clocks,
      transport: {
        dial: (endpoint, settle) => dials.push({ endpoint, settle }),
        ask: (endpoint, settle) => asks.push({ endpoint, settle }),
      },
      group: 'g',
      local: () => a,
      table: () => (it.started ? table : undefined),
      running: () => it.running,
      awake: () => clock.nowMs,
    }),
  }
  clocks.clusterClock.settle(0)
  return it
}

function hello({ clock }: Bench, more: Partial<Hello> = {}): Hello {
  return {
    kind: 'hello',
    protocolMin: PROTOCOL_VERSIONS.min,
    protocolMax: PROTOCOL_VERSIONS.max,
    group: 'g',
    purpose: 'control',
    member: b,
    incarnation: 0,
    clusterTime: clock.wall(),
    clockSettled: true,
    ...more,
  }
}

function welcome(
  { clock }: Bench,
  from: Member,
  known: Welcome['known'] = [],
  more: Partial<Welcome> = {},
): DialResult {
  return {
    kind: 'welcome',
    welcome: {
      kind: 'welcome',
      protocol: PROTOCOL_VERSIONS.max,
      member: from,
      incarnation: 0,
      clusterTime: clock.wall(),
      clockSettled: true,
      known,
      ...more,
    },
  }
}

const names = ({ table }: Bench): string[] => table.members.map(({ name }) => name)

test('a dial that is welcomed makes a member, and whom it knows is dialled next', t => {
  const it = bench()
  it.introductions.dial(b)
  t.is(it.dials[0]?.endpoint.port, b.port)
  it.dials[0]?.settle(welcome(it, b, [{ member: c, absent: false }]))
  t.deepEqual(names(it), ['b'])
  t.true(it.wanted.includes(c.port))
  t.is(it.introductions.incarnation, 0)
})

test('who was held for dead comes back as a new incarnation', t => {
  const it = bench()
  it.introductions.dial(b)
  it.dials[0]?.settle(welcome(it, b, [{ member: a, absent: true }]))
  t.is(it.introductions.incarnation, 1)
  t.is(it.introductions.hello('control').incarnation, 1)
})

const unwelcome: readonly (readonly [string, (it: Bench) => DialResult])[] = [
  ['nobody answered', () => ({ kind: 'failed', end: 'refused' })],
  ['we were refused', () => ({ kind: 'refused', reason: 'group', detail: 'another group' })],
  ['we reached ourselves', it => welcome(it, a)],
  ['its clock is another', it => welcome(it, b, [], { clusterTime: it.clock.wall() + 60_000 })],
]
for (const [why, result] of unwelcome) {
  test(`a dial makes no member when ${why}`, t => {
    const it = bench()
    it.introductions.dial(b)
    it.dials[0]?.settle(result(it))
    t.deepEqual(names(it), [])
  })
}

test('failed and refused dials are counted, the latter by reason', t => {
  const it = bench()
  for (const reason of ['group', 'protocol', 'group'] as const) {
    it.introductions.dial(b)
    it.dials.at(-1)?.settle({ kind: 'refused', reason, detail: '' })
  }
  it.introductions.dial(b)
  it.dials.at(-1)?.settle({ kind: 'failed', end: 'timeout' })
  t.like(it.introductions.counts, { dialsFailed: 1, dialsRefused: { group: 2, protocol: 1 } })
})

test('an answer that comes after the end changes nothing', t => {
  const it = bench()
  it.introductions.dial(b)
  it.running = false
  it.dials[0]?.settle(welcome(it, b))
  t.deepEqual(names(it), [])
})

test('a dialler is let in, and dialled back; a probe is only answered', t => {
  const it = bench()
  t.like(it.introductions.greeted(hello(it, { purpose: 'probe' })), { kind: 'welcome', member: a })
  t.deepEqual(it.wanted, [])
  t.like(it.introductions.greeted(hello(it)), { kind: 'welcome', member: a })
  t.deepEqual(it.wanted, [b.port])
  t.deepEqual(names(it), [], 'only the dial back makes it a member')
})

const refused: readonly (readonly [reason: string, more: Partial<Hello>, before?: (it: Bench) => void])[] = [
  ['group', { group: 'other' }],
  ['protocol', { protocolMin: PROTOCOL_VERSIONS.max + 1, protocolMax: PROTOCOL_VERSIONS.max + 1 }],
  ['self', { member: a }],
  ['clock', { clusterTime: 0 }],
  [
    'stopping',
    {},
    it => {
      it.running = false
    },
  ],
]
for (const [reason, more, before] of refused) {
  test(`a dialler is refused and counted: ${reason}`, t => {
    const it = bench()
    before?.(it)
    t.like(it.introductions.greeted(hello(it, more)), { kind: 'refused', reason })
    t.deepEqual(it.introductions.counts.hellosRefused, { [reason]: 1 })
    t.deepEqual(it.wanted, [])
  })
}

test('before the start everybody is refused', t => {
  const it = bench()
  it.started = false
  t.like(it.introductions.greeted(hello(it)), { kind: 'refused', reason: 'stopping' })
})

test('a member with another view is asked whom it knows, with growing gaps until the view changes', t => {
  const it = bench()
  const askFor = (ms: number): number[] => {
    const times: number[] = []
    for (const end = it.clock.nowMs + ms; it.clock.nowMs < end; it.clock.advance(50)) {
      const before = it.asks.length
      it.introductions.ask(b, it.clock.nowMs)
      if (it.asks.length > before) times.push(it.clock.nowMs)
    }
    return times
  }
  t.deepEqual(askFor(4_000), [0, 500, 1_500, 3_500])
  const gaps = askFor(300_000).map((at, index, all) => (index === 0 ? 0 : at - all[index - 1]!))
  t.is(Math.max(...gaps), 30_000)
  it.introductions.viewChanged()
  const again = askFor(1_000)
  t.true(again.length >= 2)
  it.asks.at(-1)?.settle(welcome(it, b, [{ member: c, absent: false }]))
  t.true(it.wanted.includes(c.port))
})
