import test from 'ava'
import type { ChannelMessage } from '../../../lib/channel/interceptor.js'
import { dispatch } from '../../../lib/channel/interceptors/dispatch.js'
import { throughput } from '../../../lib/channel/interceptors/throughput.js'
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
  queue.send?.(message, given => void passed.push(given))
  queue.send?.(message, given => void passed.push(given))
  t.like(queue, { queued: 1, overflowed: 1, takesRest: true })
  queue.stop?.()
  t.deepEqual(passed, [message, message])
})
