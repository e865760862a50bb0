import test from 'ava'
import type { Clock, Endpoint, Network, Stream, StreamHandlers } from '../../../lib/runtime/runtime.js'
import { MemberQueue } from '../../../lib/transport/member-queue.js'
import { decodeFrame, encodeFrame } from '../../../lib/wire/codec.js'
import { FrameDecoder } from '../../../lib/wire/frame.js'
import { type FrameChunk, frames } from '../../../lib/wire/frame-space.js'
import type { Frame, Hello, Welcome } from '../../../lib/wire/messages.js'

const member = { id: '11'.repeat(16), name: 'b', host: 'h', port: 1 }
const local = { id: '22'.repeat(16), name: 'a', host: 'h', port: 2 }
const welcome: Welcome = {
  kind: 'welcome',
  protocol: 1,
  member,
  incarnation: 0,
  clusterTime: 0,
  clockSettled: true,
  known: [],
}
const hello: Omit<Hello, 'purpose'> = {
  kind: 'hello',
  protocolMin: 1,
  protocolMax: 1,
  group: 'g',
  member: local,
  incarnation: 0,
  clusterTime: 0,
  clockSettled: true,
}

/** Time that moves when told, and connections whose other end is the test. */
class Stage implements Clock, Network {
  now = 0
  readonly soons: (() => void)[] = []
  readonly timers = new Set<{ at: number; run: () => void }>()
  readonly dialled: Remote[] = []

  wall(): number {
    return this.now
  }

  monotonic(): number {
    return this.now
  }

  setTimer(delayMs: number, run: () => void): { cancel(): void } {
    const timer = { at: this.now + delayMs, run }
    this.timers.add(timer)
    return { cancel: () => void this.timers.delete(timer) }
  }

  soon(run: () => void): void {
    this.soons.push(run)
  }

  endOfTurn(): void {
    for (const run of this.soons.splice(0)) run()
  }

  pass(ms: number): void {
    this.now += ms
    for (const timer of [...this.timers]) {
      if (timer.at > this.now) continue
      this.timers.delete(timer)
      timer.run()
    }
    this.endOfTurn()
  }

  addresses(): [] {
    return []
  }

  listen(): Promise<never> {
    return Promise.reject(new Error('not here'))
  }

  bindDatagram(): Promise<never> {
    return Promise.reject(new Error('not here'))
  }

  connect(remote: Endpoint, _timeoutMs: number, handlers: StreamHandlers): Stream {
    const stream = new Remote(remote, handlers)
    this.dialled.push(stream)
    return stream
  }
}

class Remote implements Stream {
  readonly remote: Endpoint
  readonly handlers: StreamHandlers
  readonly bufferedBytes = 0
  readonly decoder = new FrameDecoder()
  readonly frames: Frame[] = []
  writes = 0
  room = true
  over = false

  constructor(remote: Endpoint, handlers: StreamHandlers) {
    this.remote = remote
    this.handlers = handlers
  }

  write(bytes: Uint8Array): boolean {
    this.writes += 1
    this.decoder.push(bytes)
    for (let body = this.decoder.next(); body !== undefined; body = this.decoder.next()) {
      const frame = decodeFrame(body)
      if (frame !== undefined) this.frames.push(frame)
    }
    return this.room
  }

  say(frame: Frame): void {
    this.handlers.data(encodeFrame(frame))
  }

  welcome(): void {
    this.handlers.opened?.()
    this.say(welcome)
  }

  get texts(): string[] {
    return this.frames.flatMap(frame => (frame.kind === 'message' ? [Buffer.from(frame.payload).toString()] : []))
  }

  end(): void {}
  destroy(): void {
    if (this.over) return
    this.over = true
    this.handlers.closed('local')
  }
  pause(): void {}
  resume(): void {}
}

function setUp(options: { queueLimitBytes?: number; dirtyKeyLimit?: number } = {}, heard?: (text: string) => void) {
  const stage = new Stage()
  const log: string[] = []
  const context = {
    clock: stage,
    network: stage,
    frameLimitBytes: 1_000_000,
    dialTimeoutMs: 3_000,
    hello: (purpose: Hello['purpose']): Hello => ({ ...hello, purpose }),
  }
  const limits = { poolSize: 1, queueLimitBytes: 1_000, queueAgeMs: 2_000, dirtyKeyLimit: 2, ...options }
  const queue = new MemberQueue(member, context, limits, {
    ended: (_member, end) => void log.push(`ended ${end}`),
    control: frame => void log.push(frame.kind),
    refill: (_member, topic, keys, lost) => void log.push(`refill ${topic} ${[...keys].join()} ${lost}`),
  })
  const put = (text: string, key?: string, ack: 0 | 1 | 2 = 0, alone = true): boolean => {
    const frame = encodeFrame({ kind: 'message', topic: 't', ack, payload: Buffer.from(text) })
    const told = (_member: unknown, outcome: string, final: boolean): void => {
      log.push(`${text} ${outcome} ${final}`)
      heard?.(text)
    }
    return queue.put({ frame, body: undefined, bytes: frame.length, topic: 't', ack, told, alone }, key, false)
  }
  return { stage, queue, log, put }
}

test('the first message dials; what is put within a turn leaves as one write after the welcome', t => {
  const { stage, put } = setUp()
  put('one')
  put('two')
  stage.endOfTurn()
  const remote = stage.dialled[0] as Remote
  t.deepEqual(
    remote.frames.map(frame => frame.kind),
    ['hello'],
  )
  remote.welcome()
  put('three')
  stage.endOfTurn()
  t.deepEqual(remote.texts, ['one', 'two', 'three'])
  t.is(remote.writes, 2)
})

test('of messages somebody waits for, half of what is under way leaves before the turn is over; to several 16', t => {
  for (const [alone, gone] of [
    [true, [1, 2, 2, 4, 4, 4, 4, 8, ...new Array(7).fill(8), 16, 16]],
    [false, [...new Array(15).fill(0), 16, 16]],
  ] as const) {
    const { stage, put } = setUp()
    put('')
    stage.endOfTurn()
    const remote = stage.dialled[0] as Remote
    remote.welcome()
    stage.endOfTurn()
    const before = remote.texts.length
    const found = gone.map(() => {
      put('x', undefined, 2, alone)
      return remote.texts.length - before
    })
    t.deepEqual(found, [...gone])
    stage.endOfTurn()
    t.is(remote.texts.length - before, gone.length)
  }
})

test('what waits is held, each until it has left or the member is gone', t => {
  const { stage, queue, put } = setUp({ queueLimitBytes: 1_000_000 })
  const chunks = new Set<FrameChunk>()
  const holders = (): number => [...chunks].reduce((sum, chunk) => sum + chunk.holders, 0)
  const wait = (count: number): void => {
    for (let n = 0; n < count; n++) {
      t.true(put('x'.repeat(10_000)))
      const chunk = frames.chunkOf(frames.latest.bytes.buffer)
      if (chunk !== undefined) chunks.add(chunk)
    }
  }
  wait(1)
  stage.endOfTurn()
  const remote = stage.dialled[0] as Remote
  remote.room = false
  remote.welcome()
  stage.endOfTurn()
  const before = holders()
  // Of so many a connection takes some at once.
  wait(60)
  t.is(holders() - before, 60)
  remote.room = true
  remote.handlers.drain?.()
  remote.room = false
  stage.endOfTurn()
  t.true(remote.texts.length > 1 && remote.texts.length < 61, `${remote.texts.length}`)
  t.is(holders() - before, 61 - remote.texts.length)
  queue.close(false)
  t.is(holders(), before)
})

test('pieces behind a frame that waits are held, too', t => {
  const { queue } = setUp()
  const [frame, piece] = [frames.room(10).view(10), frames.room(10).view(10)]
  const chunk = frames.chunkOf(piece.buffer)
  const before = chunk?.holders ?? 0
  queue.put({ frame, body: [piece], bytes: 20, topic: 't', ack: 0, told: undefined, alone: true }, undefined, false)
  t.is((chunk?.holders ?? 0) - before, 2)
  queue.close(false)
  t.is(chunk?.holders, before)
})

test('a key whose message overflowed stays behind until the queue has drained, then refill names it', t => {
  const { stage, put, log } = setUp({ queueLimitBytes: 70 })
  t.true(put('a'.repeat(40), 'k1'))
  t.false(put('b'.repeat(40), 'k2'))
  t.false(put('c', 'k2'))
  t.true(put('d', 'k3'))
  stage.endOfTurn()
  const remote = stage.dialled[0] as Remote
  remote.welcome()
  t.deepEqual(log, ['refill t k2 false'])
  t.true(put('e', 'k2'))
  stage.endOfTurn()
  t.deepEqual(remote.texts, ['a'.repeat(40), 'd', 'e'])
})

test('more overflowing keys than are remembered: refill says lost', t => {
  const { stage, put, log } = setUp({ queueLimitBytes: 10 })
  put('first', 'k0')
  for (let n = 1; n <= 4; n += 1) t.false(put('x', `k${n}`))
  stage.endOfTurn()
  ;(stage.dialled[0] as Remote).welcome()
  t.deepEqual(log, ['refill t k1,k2 true'])
})

test('an old queue takes no more', t => {
  const { stage, put } = setUp()
  t.true(put('x'))
  stage.pass(1_999)
  t.true(put('x'))
  stage.pass(2)
  t.false(put('x'))
})

test('a broken connection: under way is disappeared, dialled again with back-off, and the loss is told', t => {
  const { stage, put, log } = setUp()
  put('x', 'k', 2)
  stage.endOfTurn()
  const first = stage.dialled[0] as Remote
  first.welcome()
  stage.endOfTurn()
  first.handlers.closed('reset')
  t.deepEqual(log, ['x disappeared true', 'ended reset'])
  stage.pass(99)
  t.is(stage.dialled.length, 1)
  stage.pass(1)
  t.is(stage.dialled.length, 2)
  ;(stage.dialled[1] as Remote).handlers.closed('refused')
  stage.pass(199)
  t.is(stage.dialled.length, 2)
  stage.pass(1)
  ;(stage.dialled[2] as Remote).welcome()
  t.deepEqual(log.slice(2), ['ended refused', 'refill t  true'])
})

test('received first, applied later, each told once; acknowledging the unsent closes the connection', t => {
  const { stage, put, log } = setUp()
  put('p', undefined, 2)
  put('q', undefined, 1)
  stage.endOfTurn()
  const remote = stage.dialled[0] as Remote
  remote.welcome()
  remote.say({ kind: 'ack', received: 2, applied: 0, exceptions: [] })
  remote.say({ kind: 'ack', received: 2, applied: 0, exceptions: [] })
  remote.say({ kind: 'ack', received: 2, applied: 2, exceptions: [] })
  t.deepEqual(log, ['p received false', 'q received true', 'p applied true'])
  remote.say({ kind: 'ack', received: 3, applied: 3, exceptions: [] })
  t.true(remote.over)
})

test('who is told may send more and end it all within the call, and each message is told of once', t => {
  const { stage, queue, put, log } = setUp({}, text => {
    if (text === 'a') put('d', undefined, 2)
    if (text === 'b') queue.close(false)
  })
  for (const text of ['a', 'b', 'c']) put(text, undefined, 2)
  const remote = stage.dialled[0] as Remote
  remote.welcome()
  stage.endOfTurn()
  t.is(queue.unacknowledged, 3)
  remote.say({ kind: 'ack', received: 2, applied: 2, exceptions: [{ number: 2, reason: 'rejected' }] })
  t.deepEqual(log, ['a applied true', 'b rejected true', 'c disappeared true', 'd disappeared true'])
  t.is(queue.unacknowledged, 0)
})

test('closing settles what waits as disappeared', t => {
  const { queue, put, log } = setUp()
  put('x', undefined, 2)
  queue.close(false)
  t.deepEqual(log, ['x disappeared true'])
  t.is(queue.queuedBytes, 0)
})

test('where the clock is looked at anyway, waiting costs a look for the first only', t => {
  const { stage, put } = setUp()
  let looks = 0
  let recent = 0
  Object.assign(stage, {
    monotonic: () => {
      looks++
      recent = stage.now
      return recent
    },
    recent: () => recent,
  })
  t.true(put('one'))
  t.is(looks, 1)
  stage.now = 1_900
  t.true(put('two'))
  t.is(looks, 1)
  stage.monotonic()
  t.true(put('three'))
  stage.now = 2_001
  t.true(put('four', 'k'))
  stage.monotonic()
  t.false(put('five', 'k'))
  t.is(looks, 3)
})
