import test from 'ava'
import type { Runtime } from '../../../lib/runtime/runtime.js'
import { ChannelSender } from '../../../lib/transport/channel-sender.js'
import { frames } from '../../../lib/wire/frame-space.js'

test('while others are told of a message it is in hand, whatever they do', t => {
  const handlers = { ended() {}, control() {}, refill() {}, hello: () => t.fail() as never }
  const sender = new ChannelSender({} as Runtime, {}, handlers)
  const nobody = { id: '11'.repeat(16), name: 'b', host: 'h', port: 1 }
  const before = frames.inHand
  const payload = Uint8Array.of(1)
  const send = (told: () => void): void => sender.send([nobody], { topic: 't', payload, ack: 'none' }, told)
  send(() => t.is(frames.inHand, before + 1))
  t.throws(
    () =>
      send(() => {
        throw new Error('told')
      }),
    { message: 'told' },
  )
  t.is(frames.inHand, before)
})
