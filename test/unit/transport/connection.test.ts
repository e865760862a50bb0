import test from 'ava'
import type { Clock, Stream } from '../../../lib/runtime/runtime.js'
import { Connection } from '../../../lib/transport/connection.js'
import { encodeFrame } from '../../../lib/wire/codec.js'
import { frames } from '../../../lib/wire/frame-space.js'
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

test('what a connection has written is held until the system has it, of which nobody need tell', t => {
  const connection = new Connection(clock, { frameLimitBytes: 1_000 }, { frame() {}, closed() {} })
  const stream = { bufferedBytes: 0, isFull: false, write: (): boolean => !stream.isFull }
  connection.attach(stream as Partial<Stream> as Stream)
  const frame = (): Uint8Array => frames.room(3_000).view(3_000)
  const first = frame()
  const chunk = frames.chunkOf(first.buffer)
  const before = chunk?.holders ?? 0
  const held = (): number => (chunk?.holders ?? 0) - before
  connection.write(first)
  t.is(held(), 1)
  connection.flush()
  t.is(held(), 0)
  // Taken a little later, without a word.
  stream.bufferedBytes = 3_000
  connection.send(frame())
  t.is(held(), 1)
  stream.bufferedBytes = 0
  connection.write(frame())
  t.is(held(), 2)
  stream.bufferedBytes = 3_000
  stream.isFull = true
  const { write } = stream
  stream.write = () => {
    // What came before has gone.
    t.is(held(), 1)
    return write()
  }
  stream.bufferedBytes = 0
  connection.flush()
  t.is(held(), 0)
})
