import test from 'ava'
import { decodeMessage, encodeMessage } from '../../../lib/replication/codec.js'
import type { ReplicationMessage } from '../../../lib/replication/messages.js'
import type { Digest } from '../../../lib/replication/seen-set.js'
import { SeenSet } from '../../../lib/replication/seen-set.js'
import { StallFence } from '../../../lib/replication/stall-fence.js'

const TICK_MS = 100
const LIMIT_MS = 1_000
const TIMEOUT_MS = 3_000

/** A fence with a clock to turn, members to set, and a list of the questions it asked. */
class Bench {
  nowMs = 5_000
  present: string[] = ['b', 'c']
  opened = 0
  readonly asked: { to: readonly string[]; round: number }[] = []
  readonly seen = new SeenSet()
  readonly fence: StallFence = new StallFence({
    tickMs: TICK_MS,
    limitMs: LIMIT_MS,
    timeoutMs: TIMEOUT_MS,
    monotonic: () => this.nowMs,
    present: () => this.present,
    ask: (to, round) => this.asked.push({ to, round }),
    covers: digest => this.seen.covers(digest),
    opened: () => this.opened++,
  })

  get round(): number {
    return this.asked.at(-1)?.round ?? 0
  }

  /** Stands still for so long, then makes the first call. */
  sleep(ms: number): number {
    this.nowMs += ms
    return this.fence.stall()
  }

  /** Ticks as often as the time asks for. */
  run(ms: number): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; ) {
      this.nowMs += TICK_MS
      this.fence.stall()
      this.fence.tick()
    }
  }

  answer(from: string, base: number, more: { round?: number; ready?: boolean; fenced?: boolean } = {}): void {
    const digest: Digest = base === 0 ? [] : [{ origin: 'c', base, ranges: [] }]
    this.fence.answered(from, { kind: 'digest', digest, members: [], ready: true, round: this.round, ...more })
    this.fence.judge()
  }
}

test('a tick that is late by the limit is no stall, and one that is later is', t => {
  const bench = new Bench()
  t.is(bench.sleep(TICK_MS + LIMIT_MS), 0)
  t.false(bench.fence.up)
  t.is(bench.sleep(1), LIMIT_MS + 1)
  t.true(bench.fence.up)
  t.is(bench.fence.stall(), 0, 'it is told once')
  t.deepEqual(bench.asked, [{ to: ['b', 'c'], round: 1 }], 'and asked for at once')
})

test('one member that knows nothing else is enough; what it knows more has to be here first', t => {
  const bench = new Bench()
  bench.sleep(12_000)
  bench.answer('b', 7)
  t.true(bench.fence.up)
  bench.seen.addRange('c', 1, 6)
  bench.fence.judge()
  t.true(bench.fence.up)
  bench.seen.add('c', 7)
  bench.fence.judge()
  t.false(bench.fence.up)
  t.is(bench.opened, 1)
  t.is(bench.fence.timeouts, 0)
})

test('digests that were asked for before the stall, or by nobody, do not count', t => {
  const bench = new Bench()
  bench.sleep(12_000)
  const before = bench.round
  bench.answer('b', 0, { round: before - 1 })
  bench.fence.answered('c', { kind: 'digest', digest: [], members: [], ready: true })
  bench.fence.judge()
  t.true(bench.fence.up)
  bench.sleep(12_000)
  bench.answer('b', 0, { round: before })
  t.true(bench.fence.up, 'nor those of the stall before this one')
  bench.answer('b', 0)
  t.false(bench.fence.up)
})

test('members that do not answer are asked again, with another round, until the time is up', t => {
  const bench = new Bench()
  bench.sleep(12_000)
  bench.run(200)
  bench.answer('b', 9)
  bench.run(100)
  t.deepEqual(
    bench.asked.map(({ to, round }) => `${round} ${to.join()}`),
    ['1 b,c', '2 b,c', '3 b,c', '4 c'],
  )
  bench.run(TIMEOUT_MS - 400)
  t.true(bench.fence.up)
  bench.run(100)
  t.false(bench.fence.up)
  t.is(bench.fence.timeouts, 1)
  t.is(bench.fence.fencedMs, TIMEOUT_MS)
  t.is(bench.opened, 1)
})

test('a member that stood still itself is not enough, unless all did', t => {
  const bench = new Bench()
  bench.sleep(12_000)
  bench.answer('b', 0, { fenced: true })
  t.true(bench.fence.up)
  bench.answer('c', 3, { fenced: true })
  t.true(bench.fence.up, 'what they know has to be here')
  bench.seen.addRange('c', 1, 3)
  bench.fence.judge()
  t.false(bench.fence.up)
})

test('a joiner can give nothing: it is enough only if nobody else is there', t => {
  const bench = new Bench()
  bench.sleep(12_000)
  bench.answer('b', 9, { ready: false })
  t.true(bench.fence.up)
  bench.present = ['b']
  bench.fence.memberDisappeared('c')
  t.false(bench.fence.up)
})

test('alone there is nothing to wait for, neither at the stall nor once the last one has gone', t => {
  const alone = new Bench()
  alone.present = []
  t.true(alone.sleep(12_000) > 0)
  t.false(alone.fence.up)
  t.is(alone.fence.epoch, 0)
  const left = new Bench()
  left.sleep(12_000)
  left.present = []
  left.fence.memberDisappeared('b')
  t.false(left.fence.up)
})

test('a member that comes while the fence is up is asked at once', t => {
  const bench = new Bench()
  bench.sleep(12_000)
  bench.present = ['b', 'c', 'd']
  bench.fence.memberAdded('d')
  t.deepEqual(bench.asked.at(-1), { to: ['d'], round: 1 })
  bench.answer('d', 0)
  t.false(bench.fence.up)
})

test('the epoch changes with a stall in which others changed something, and with nothing else', t => {
  const bench = new Bench()
  bench.run(10_000)
  bench.fence.changed()
  bench.sleep(12_000)
  bench.answer('b', 0)
  t.is(bench.fence.epoch, 0)
  bench.sleep(12_000)
  bench.fence.changed()
  t.is(bench.fence.epoch, 0)
  bench.answer('b', 0)
  t.is(bench.fence.epoch, 1)
  bench.fence.changed()
  bench.run(10_000)
  t.is(bench.fence.epoch, 1)
  bench.sleep(12_000)
  bench.run(TIMEOUT_MS)
  t.is(bench.fence.epoch, 2, 'nobody knows what was missed')
})

test('questions and answers with a round survive the wire', t => {
  const digest: Digest = [{ origin: '00112233445566778899aabbccddeeff', base: 3, ranges: [[5, 6]] }]
  const messages: ReplicationMessage[] = [
    { kind: 'askDigest', round: 7 },
    { kind: 'digest', digest, members: [], ready: true, round: 2 ** 40, fenced: true },
    { kind: 'digest', digest, members: [], ready: false, round: 1, fenced: false },
  ]
  for (const message of messages) t.deepEqual(decodeMessage(encodeMessage(message)), message)
})

test('an answer carries the round it was asked in, and says whether this member is fenced', t => {
  const bench = new Bench()
  const digest = { kind: 'digest', digest: [], members: [], ready: true } as const
  t.deepEqual(bench.fence.answer(digest, undefined), digest)
  t.deepEqual(bench.fence.answer(digest, 4), { ...digest, round: 4, fenced: false })
  bench.sleep(12_000)
  t.deepEqual(bench.fence.answer(digest, 4), { ...digest, round: 4, fenced: true })
})
