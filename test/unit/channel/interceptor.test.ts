import test from 'ava'
import { AdvertisementBoard } from '../../../lib/channel/advertisement-board.js'
import {
  type ChainEnds,
  type ChannelMessage,
  type Interceptor,
  type InterceptorContext,
  interceptorChain,
} from '../../../lib/channel/interceptor.js'
import { dispatch } from '../../../lib/channel/interceptors/dispatch.js'
import { tcpFailureDetector } from '../../../lib/channel/interceptors/tcp-failure-detector.js'
import { throughput } from '../../../lib/channel/interceptors/throughput.js'
import { ProtocolError } from '../../../lib/errors.js'
import type { Member } from '../../../lib/membership/member.js'
import type { SuspicionVerdict, SuspicionWhy } from '../../../lib/membership/member-table-types.js'
import { decodeValue, encodeValue } from '../../../lib/wire/value-codec.js'

const member: Member = { id: 'm', name: 'm', host: 'h', port: 1 }

function message(text: string): ChannelMessage {
  return { topic: 't', payload: Buffer.from(text), to: [member], ack: 'none' }
}

function ends(log: string[]): ChainEnds {
  return {
    send: it => log.push(`send ${Buffer.from(it.payload)}`),
    receive: () => {
      log.push('receive')
      return 'applied'
    },
    memberAdded: () => log.push('added'),
    memberDisappeared: (_member, reason) => log.push(`disappeared ${reason}`),
    memberSuspected: (_suspicion, verdict) => verdict('silent'),
  }
}

function noisy(name: string, log: string[]): Interceptor {
  return {
    name,
    send(it, next) {
      log.push(name)
      next(it)
    },
    receive(it, from, next) {
      log.push(name)
      return next(it, from)
    },
    memberAdded(it, next) {
      log.push(name)
      next(it)
    },
  }
}

function context(given: Partial<InterceptorContext> = {}): InterceptorContext & { turn(): void; nowMs: number } {
  const waiting: (() => void)[] = []
  const made: InterceptorContext & { turn(): void; nowMs: number } = {
    nowMs: 0,
    turn: () => {
      for (const run of waiting.splice(0)) run()
    },
    clock: {
      wall: () => 0,
      monotonic: () => made.nowMs,
      setTimer: () => ({ cancel() {} }),
      soon: (run: () => void) => {
        waiting.push(run)
      },
    },
    random: { bytes: (length: number) => new Uint8Array(length), uint32: () => 0 },
    local: member,
    echo() {},
    probe() {},
    ...given,
  }
  return made
}

test('what is sent passes from the top, what is received from the bottom; absent hooks are skipped', t => {
  const log: string[] = []
  const chain = interceptorChain([noisy('top', log), { name: 'idle' }, noisy('bottom', log)], ends(log))
  chain.send(message('x'))
  t.deepEqual(log.splice(0), ['top', 'bottom', 'send x'])
  t.is(chain.receive(message('x'), member), 'applied')
  t.deepEqual(log.splice(0), ['bottom', 'top', 'receive'])
  chain.memberAdded(member)
  t.deepEqual(log.splice(0), ['bottom', 'top', 'added'])
  chain.memberDisappeared(member, 'left')
  t.deepEqual(log, ['disappeared left'])
})

test('who sends again as soon as dispatch has passed on a message does not keep the turn from ending', t => {
  const it = dispatch()
  const nexts: (() => void)[] = []
  const world = context()
  it.start?.({ ...world, clock: { ...world.clock, next: run => void nexts.push(run) } })
  let passed = 0
  const again = (): void => it.send?.(message('a'), next)
  const next = (): void => {
    passed++
    again()
  }
  again()
  t.is(passed, 1)
  for (let step = 0; step < 100 && nexts.length > 0; step++) nexts.shift()?.()
  t.is(passed, 2)
  for (let turn = 0; turn < 3; turn++) world.turn()
  for (let step = 0; step < 100 && nexts.length > 0; step++) nexts.shift()?.()
  t.true(passed >= 3 && passed <= 5, String(passed))
})

test('dispatch passes on at once, but not while it passes on; it keeps the order and settles what does not fit', t => {
  const log: string[] = []
  const settled: string[] = []
  const it = dispatch({ messagesMax: 2 })
  const send = (text: string): void => {
    const told = (_member: Member, outcome: string): unknown => settled.push(text + outcome)
    it.send?.({ ...message(text), settled: told }, pass)
  }
  const pass = ({ payload }: ChannelMessage): void => {
    const text = Buffer.from(payload).toString()
    if (text === 'a') for (const answer of ['1', '2', '3']) send(answer)
    log.push(text)
  }
  const world = context()
  it.start?.(world)
  send('a')
  t.deepEqual(log, ['a'])
  t.deepEqual(settled, ['3queue-full'])
  t.like(it, { queued: 2, overflowed: 1 })
  world.turn()
  t.deepEqual(log, ['a', '1', '2'])
  send('b')
  t.is(log.at(-1), 'b')
  send('a')
  it.stop?.()
  t.deepEqual(log.slice(4), ['a', '1', '2'])
  world.turn()
  t.is(log.length, 7)
  t.is(it.queued, 0)
})

test('what dispatch keeps is its own', t => {
  const it = dispatch()
  const world = context()
  it.start?.(world)
  const lent = Buffer.from('lent')
  const passed: string[] = []
  it.send?.(message('first'), () => {
    const pieces = { payload: lent.subarray(0, 1), rest: [lent.subarray(1, 2), lent.subarray(2)] }
    it.send?.({ ...message(''), ...pieces }, ({ payload, rest = [] }) => {
      passed.push(Buffer.concat([payload, ...rest]).toString())
    })
  })
  lent.fill('x')
  world.turn()
  t.deepEqual(passed, ['lent'])
})

test('a message that throws on its way does not keep dispatch from passing on the next', t => {
  const it = dispatch()
  it.start?.(context())
  t.throws(() =>
    it.send?.(message('a'), () => {
      throw new Error('in the chain')
    }),
  )
  const passed: ChannelMessage[] = []
  it.send?.(message('b'), given => void passed.push(given))
  t.is(passed.length, 1)
})

test('a message that throws takes none of those behind it along', t => {
  const it = dispatch()
  const world = context()
  it.start?.(world)
  const passed: string[] = []
  const next = (given: ChannelMessage): void => {
    const text = `${Buffer.from(given.payload)}`
    if (text === 'a') for (const more of ['b', 'c', 'd']) it.send?.(message(more), next)
    if (text === 'b') throw new Error('in the chain')
    passed.push(text)
  }
  it.send?.(message('a'), next)
  t.throws(() => world.turn())
  t.is(it.queued, 2)
  world.turn()
  t.deepEqual(passed, ['a', 'c', 'd'])
})

test('throughput counts both ways and averages over the window', t => {
  const it = throughput({ windowMs: 1_000 })
  const chain = interceptorChain([it], ends([]))
  const world = context()
  it.start?.(world)
  for (let n = 0; n < 4; n++) chain.send(message('abc'))
  chain.receive(message('ab'), member)
  world.nowMs = 2_000
  t.deepEqual(it.snapshot(), {
    out: { messages: 4, bytes: 12, messagesPerSecond: 2, bytesPerSecond: 6 },
    in: { messages: 1, bytes: 2, messagesPerSecond: 0.5, bytesPerSecond: 1 },
    notApplied: 0,
  })
})

test('the failure detector asks both ways; any answer means alive', t => {
  const cases: [
    why: SuspicionWhy,
    echo: boolean | undefined,
    probe: SuspicionVerdict | undefined,
    SuspicionVerdict | undefined,
  ][] = [
    ['silence', true, undefined, 'alive'],
    ['silence', undefined, 'alive', 'alive'],
    ['silence', false, 'alive', 'alive'],
    ['silence', false, 'hung', 'hung'],
    ['silence', false, 'silent', 'silent'],
    ['silence', undefined, 'refused', undefined],
    ['silence', false, 'refused', 'refused'],
    ['ended', undefined, 'refused', 'refused'],
    ['silence', false, undefined, undefined],
    // A refused probe decides at once: nobody waits for the echo on a connection that is gone.
    ['ended', true, 'refused', 'alive'],
    ['leaving', true, 'refused', 'refused'],
    ['leaving', true, undefined, undefined],
    ['leaving', undefined, 'alive', 'alive'],
    ['leaving', undefined, 'hung', 'hung'],
  ]
  for (const [why, echo, probe, expected] of cases) {
    const it = tcpFailureDetector()
    const world = context({
      echo: (_member, _timeoutMs, settled) => (echo === undefined ? undefined : settled(echo)),
      probe: (_member, timeoutMs, settled) => {
        if (probe === 'hung') world.nowMs += timeoutMs
        if (probe !== undefined) settled(probe)
      },
    })
    it.start?.(world)
    const verdicts: SuspicionVerdict[] = []
    interceptorChain([it], ends([])).memberSuspected({ member, why }, verdict => verdicts.push(verdict))
    t.deepEqual(verdicts, expected === undefined ? [] : [expected], `${why} ${echo} ${probe}`)
  }
})

test('a connection that is accepted and cut is tried again until it is refused, and not after the end', t => {
  const timers: [delayMs: number, run: () => void][] = []
  const results: SuspicionVerdict[] = ['hung', 'hung', 'refused', 'hung']
  let probes = 0
  const given = context({
    probe: (_member, _timeoutMs, settled) => {
      probes++
      settled(results.shift() ?? 'silent')
    },
  })
  const world: InterceptorContext = {
    ...given,
    clock: {
      ...given.clock,
      setTimer: (delayMs, run) => {
        timers.push([delayMs, run])
        return { cancel() {} }
      },
    },
  }
  const it = tcpFailureDetector()
  it.start?.(world)
  const verdicts: SuspicionVerdict[] = []
  const suspect = (): void =>
    interceptorChain([it], ends([])).memberSuspected({ member, why: 'ended' }, verdict => verdicts.push(verdict))
  suspect()
  for (let timer = timers.shift(); timer; timer = timers.shift()) {
    t.true(timer[0] <= 25)
    timer[1]()
  }
  t.deepEqual(verdicts, ['refused'])
  t.is(probes, 3)
  suspect()
  it.stop?.()
  for (const [, run] of timers) run()
  t.is(probes, 4)
})

test('without a detector a suspicion is silent', t => {
  const verdicts: SuspicionVerdict[] = []
  interceptorChain([], ends([])).memberSuspected({ member, why: 'ended' }, verdict => verdicts.push(verdict))
  t.deepEqual(verdicts, ['silent'])
})

test('advertisements that do not fit take turns', t => {
  const board = new AdvertisementBoard(200)
  const advertisers = Array.from({ length: 10 }, (_, n) => ({ name: `t${n}`, advertise: () => new Uint8Array(40) }))
  const seen = new Map<string, number>()
  for (let round = 0; round < 10; round++) {
    const chosen = board.collect(advertisers)
    t.is(chosen.length, 4)
    for (const { topic } of chosen) seen.set(topic, (seen.get(topic) ?? 0) + 1)
  }
  t.deepEqual(
    [...seen.values()],
    Array.from({ length: 10 }, () => 4),
  )
  t.deepEqual(board.collect([{ name: 'big', advertise: () => new Uint8Array(65) }]), [])
  t.is(board.oversized, 1)
})

test('values survive as structured clone keeps them, each encoding on its own', t => {
  const cycle: Record<string, unknown> = { name: 'x' }
  cycle['self'] = cycle
  const value = {
    d: new Date(5),
    m: new Map([[1, { a: 1 }]]),
    s: new Set(['x']),
    b: 10n ** 30n,
    u: undefined,
    f: Float64Array.of(1.5),
  }
  const [first, second] = [encodeValue(value), encodeValue(value)]
  t.deepEqual(Buffer.from(first), Buffer.from(second))
  t.deepEqual(decodeValue(second), value)
  const back = decodeValue(encodeValue(cycle)) as Record<string, unknown>
  t.is(back['self'], back)
  t.throws(() => decodeValue(Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)), { instanceOf: ProtocolError })
  t.throws(() => decodeValue(new Uint8Array(0)), { instanceOf: ProtocolError })
})
