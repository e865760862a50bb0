import test from 'ava'
import fc from 'fast-check'
import { PREFIX_BYTES } from '../../../lib/wire/frame.js'
import { frames } from '../../../lib/wire/frame-space.js'
import {
  decodeMessage,
  encodeHead,
  encodeMessage,
  messageRoom,
  readPlainMessage,
} from '../../../lib/wire/hot-frames.js'

const message = fc.record({
  kind: fc.constant('message' as const),
  topic: fc.string({ minLength: 1, maxLength: 40 }),
  ack: fc.constantFrom(0 as const, 1 as const, 2 as const),
  payload: fc.uint8Array({ maxLength: 300 }),
})
type Message = NonNullable<ReturnType<typeof readPlainMessage>>
const encoded = ({ topic, ack, payload }: Message): Uint8Array => encodeMessage(topic, ack, payload)

test('a frame read the short way is what it is the long way', t => {
  fc.assert(
    fc.property(message, fc.nat(400), fc.nat(255), (frame, at, bits) => {
      const bytes = Uint8Array.from(encoded(frame).subarray(PREFIX_BYTES))
      const plain = readPlainMessage(bytes)
      t.deepEqual({ ...plain, payload: Uint8Array.from(plain?.payload ?? []) }, frame)
      bytes[at % bytes.length]! ^= bits
      const changed = readPlainMessage(bytes)
      if (changed === undefined) return
      // Tag and length of the body, which is the whole rest.
      const head = bytes.findIndex((byte, index) => index > 0 && byte < 128) + 1
      t.deepEqual(changed, decodeMessage(bytes.subarray(head)))
    }),
    { numRuns: 1_000 },
  )
})

test('cut off anywhere it is left to the long way', t => {
  const bytes = encoded({ kind: 'message', topic: 'topic', ack: 2, payload: new Uint8Array(200) })
  for (let end = PREFIX_BYTES; end < bytes.length; end++) {
    t.is(readPlainMessage(bytes.subarray(PREFIX_BYTES, end)), undefined)
  }
})

test('a payload that was written where it belongs is not moved, and the frame is the same', t => {
  fc.assert(
    fc.property(message, fc.constantFrom(0 as const, 1 as const, 2 as const), fc.boolean(), (frame, ack, other) => {
      const { topic, payload } = frame
      const room = messageRoom(topic, frame.ack, payload.length)
      const placed = room.view(payload.length)
      placed.set(payload)
      const atOnce = Buffer.from(encoded({ ...frame, payload: placed }))
      const wanted = Buffer.from(encoded(frame))
      t.is(Buffer.compare(atOnce, wanted), 0)
      const made = encoded({ ...frame, payload: placed })
      t.is(Buffer.compare(made, wanted), 0)
      if (payload.length > 0) t.is(made.byteOffset + made.length, placed.byteOffset + placed.length)
      t.is(made.buffer === placed.buffer || payload.length === 0, true)
      // Sent otherwise than was meant: as if it lay anywhere.
      const changed = { ...frame, ack, topic: other ? `${topic.slice(0, 30)}x` : topic }
      t.is(Buffer.compare(encoded({ ...changed, payload: placed }), encoded(changed)), 0)
      t.is(Buffer.compare(made, wanted), 0)
    }),
    { numRuns: 500 },
  )
})

test('what was viewed in room that was for no message gets a head of its own', t => {
  messageRoom('topic', 2, 200)
  const payload = frames.room(200).view(200).fill(7)
  const frame = { kind: 'message', topic: 'topic', ack: 2 } as const
  const wanted = Buffer.from(encoded({ ...frame, payload: new Uint8Array(200).fill(7) }))
  messageRoom('topic', 2, 200)
  const other = frames.room(200).view(200).fill(7)
  t.is(Buffer.compare(encoded({ ...frame, payload: other }), wanted), 0)
  t.is(Buffer.compare(encoded({ ...frame, payload }), wanted), 0)
})

test('a head and what follows it are the frame', t => {
  for (const size of [1, 127, 128, 8_192, 300_000]) {
    const payload = new Uint8Array(size).fill(5)
    const frame = { kind: 'message', topic: 'topic', ack: 2, payload } as const
    for (const begin of [0, size >>> 1, size]) {
      const head = encodeHead('topic', 2, size, payload.subarray(0, begin))
      t.is(Buffer.compare(Buffer.concat([head, payload.subarray(begin)]), encoded(frame)), 0)
    }
  }
})
