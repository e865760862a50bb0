import test from 'ava'
import {
  type ChainEnds,
  type ChannelMessage,
  type Interceptor,
  interceptorChain,
} from '../../../lib/channel/interceptor.js'
import { dispatch } from '../../../lib/channel/interceptors/dispatch.js'
import { throughput } from '../../../lib/channel/interceptors/throughput.js'
import type { TopicListener } from '../../../lib/channel/topic.js'
import { TopicHub } from '../../../lib/channel/topic-hub.js'
import { MessageTooLargeError } from '../../../lib/errors.js'
import type { Member } from '../../../lib/membership/member.js'
import type { Clock } from '../../../lib/runtime/runtime.js'

const member = (id: string): Member => ({ id: id.repeat(32), name: id, host: '127.0.0.1', port: 1 })
const [local, other] = [member('a'), member('b')]
const clock: Clock = { wall: () => 0, monotonic: () => 0, soon() {}, setTimer: () => ({ cancel() {} }) }
const PIECES = [Uint8Array.of(1, 2), Uint8Array.of(3), Uint8Array.of(4, 5)] as const

function hub(whole: boolean): { readonly hub: TopicHub; readonly sent: ChannelMessage[] } {
  const sent: ChannelMessage[] = []
  const made = new TopicHub({
    clock,
    local: () => local,
    members: () => [other],
    clusterTime: () => 0,
    running: () => true,
    send: message => void sent.push(message),
    failed: error => {
      throw error
    },
    payloadBytesMax: 5,
    whole,
  })
  return { hub: made, sent }
}

test('the rest of a message goes with it, or is put together with it where somebody looks at messages', t => {
  const [payload, ...rest] = PIECES
  const apart = hub(false)
  apart.hub.send('topic', payload, { rest })
  t.is(apart.sent[0]?.payload, payload)
  t.deepEqual(apart.sent[0]?.rest, rest)
  const whole = hub(true)
  whole.hub.send('topic', payload, { rest })
  t.deepEqual(whole.sent[0]?.payload, Buffer.of(1, 2, 3, 4, 5))
  t.is(whole.sent[0]?.rest, undefined)
  for (const { hub: made, sent } of [apart, whole]) {
    made.send('topic', payload, { rest: [] })
    t.is(sent[1]?.payload, payload)
    t.is(sent[1]?.rest, undefined)
    t.is(made.counts.sent, 2)
    t.throws(() => made.send('topic', payload, { rest: [...rest, payload] }), { instanceOf: MessageTooLargeError })
  }
})

test('the interceptors of the library take a message with its rest, and count all of it', t => {
  const [payload, ...rest] = PIECES
  const message: ChannelMessage = { topic: 'topic', payload, rest, to: [other], ack: 'none' }
  const passed: ChannelMessage[] = []
  const counting = throughput()
  counting.send?.(message, given => void passed.push(given))
  t.is(counting.snapshot().out.bytes, 5)
  const queue = dispatch({ bytesMax: 9 })
  const random = { bytes: (length: number) => new Uint8Array(length), uint32: () => 0 }
  queue.start?.({ clock, random, local, echo() {}, probe() {} })
  queue.send?.(message, given => {
    passed.push(given)
    // While one is passed on, the others wait.
    for (let n = 0; n < 2; n++) queue.send?.(message, later => void passed.push(later))
  })
  t.like(queue, { queued: 1, overflowed: 1, takesRest: true })
  // What waits is a copy: the bytes are only there for the call.
  const wanted = Uint8Array.from(payload)
  payload.fill(9)
  queue.stop?.()
  t.deepEqual(passed, [message, message, { ...message, payload: wanted }])
})

test('a listener that may keep a payload is handed a copy, one that borrows it the bytes themselves', t => {
  const { hub: made } = hub(false)
  const got = new Map<string, Uint8Array>()
  const into = (topic: string, borrows?: true): TopicListener => ({
    ...(borrows && { borrows }),
    receive: payload => {
      got.set(topic, payload)
      return 'applied'
    },
  })
  made.open('keeps', into('keeps'))
  made.open('borrows', into('borrows', true))
  const payload = Uint8Array.of(1, 2, 3)
  for (const topic of ['keeps', 'borrows']) t.is(made.receive({ topic, payload }, other), 'applied')
  payload.fill(9)
  t.deepEqual([...(got.get('keeps') ?? [])], [1, 2, 3])
  t.is(got.get('borrows'), payload)
})

test('interceptors that look at what goes out have bytes of their own, unless they keep none', t => {
  for (const takesRest of [false, true]) {
    const sent: ChannelMessage[] = []
    const ends: ChainEnds = {
      send: message => void sent.push(message),
      receive: () => 'applied',
      memberAdded() {},
      memberDisappeared() {},
      memberSuspected() {},
    }
    const payload = Uint8Array.of(1, 2)
    const chain = interceptorChain([{ name: 'looks', takesRest, send: (message, next) => next(message) }], ends)
    chain.send({ topic: 'topic', payload, to: [other], ack: 'none' })
    t.is(sent[0]?.payload === payload, takesRest)
    t.is(Buffer.compare(sent[0]?.payload as Uint8Array, payload), 0)
  }
})

test('interceptors that look at what comes in have bytes of their own', t => {
  const arrived: Uint8Array[] = []
  const ends: ChainEnds = {
    send() {},
    receive: ({ payload }) => {
      arrived.push(payload)
      return 'applied'
    },
    memberAdded() {},
    memberDisappeared() {},
    memberSuspected() {},
  }
  const payload = Uint8Array.of(1, 2, 3)
  const looking: Interceptor = { name: 'looking', receive: (message, from, next) => next(message, from) }
  interceptorChain([looking, { name: 'other' }], ends).receive({ topic: 'topic', payload }, other)
  interceptorChain([{ name: 'other' }], ends).receive({ topic: 'topic', payload }, other)
  payload.fill(9)
  t.deepEqual([...(arrived[0] as Uint8Array)], [1, 2, 3])
  t.is(arrived[1], payload)
})

test('a message goes to who has opened its topic by now', t => {
  const { hub: made } = hub(false)
  const heard: string[] = []
  const open = (name: string, as: string) =>
    made.open(name, {
      receive: () => {
        heard.push(as)
        return 'applied'
      },
    })
  const receive = (topic: string) => made.receive({ topic, payload: PIECES[0] }, other)
  t.is(receive('one'), 'rejected')
  const first = open('one', 'first')
  t.is(receive('one'), 'applied')
  open('two', 'other')
  receive('two')
  receive('one')
  first.close()
  t.is(receive('one'), 'rejected')
  open('one', 'second')
  t.is(receive('one'), 'applied')
  // It has been closed before: the name is another's.
  first.close()
  t.is(receive('one'), 'applied')
  t.deepEqual(heard, ['first', 'other', 'first', 'second', 'second'])
  t.like(made.counts, { received: 5, unknownTopic: 2 })
})
