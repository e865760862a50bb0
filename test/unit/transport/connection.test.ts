import test from 'ava'
import type { Clock, Stream } from '../../../lib/runtime/runtime.js'
import { Connection } from '../../../lib/transport/connection.js'
import { encodeFrame } from '../../../lib/wire/codec.js'
import type { Frame } from '../../../lib/wire/messages.js'

const clock: Clock = {
  wall: () => 0,
  monotonic: () => 0,
  setTimer: () => ({ cancel() {} }),
  soon: () => {},
}

function message(text: string): Uint8Array {
  return encodeFrame({ kind: 'message', topic: 't', ack: 0, payload: Buffer.from(text) })
}

test('a handler that fails is not hidden, and ends the connection, which could only stay silent', t => {
  let destroyed = 0
  const taken: Frame[] = []
  const connection = new Connection(
    clock,
    { frameLimitBytes: 1_000 },
    {
      frame: frame => {
        taken.push(frame)
        throw new Error('in a handler')
      },
      closed: () => {},
    },
  )
  const { streamHandlers } = connection
  const stream: Partial<Stream> = { bufferedBytes: 0, destroy: () => void (destroyed += 1), pause: () => {} }
  connection.attach(stream as Stream)
  t.throws(() => streamHandlers.data(message('one')), { message: 'in a handler' })
  t.is(destroyed, 1)
  streamHandlers.data(message('two'))
  t.is(taken.length, 1)
})
