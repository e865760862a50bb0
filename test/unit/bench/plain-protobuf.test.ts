import test from 'ava'
import { PlainProtobuf } from '../../../bench/plain-protobuf.js'
import { decodeMessage } from '../../../lib/replication/codec.js'
import { decodeFrame } from '../../../lib/wire/codec.js'

const ORIGIN = '0123456789abcdef0123456789abcdef'

test('what plain protobufjs writes for the bench is a frame and a delta of ours, and comes back whole', t => {
  const protobuf = new PlainProtobuf()
  const cart = { user: 'ada', items: [{ article: 'a', count: 1, price: 12.5 }], currency: 'EUR', gift: true }
  const stamp = { origin: ORIGIN, seq: 41, wallMs: 1_790_000_000_000, counter: 3 }
  const bytes = protobuf.encodeFrame('sessions', 2, { stamp, created: 7, deps: [[ORIGIN, 40]], writes: { cart } })
  const frame = decodeFrame(Buffer.from(bytes))
  if (frame?.kind !== 'message') return t.fail(`Not a message: ${frame?.kind}`)
  t.is(frame.topic, 'sessions')
  const message = decodeMessage(frame.payload)
  if (message.kind !== 'delta') return t.fail(`Not a delta: ${message.kind}`)
  const { delta } = message
  t.deepEqual({ ...delta.stamp }, stamp)
  t.is(delta.key, `${ORIGIN}#7`)
  t.deepEqual(delta.deps, [[ORIGIN, 40]])
  const value = delta.writes.get('cart')
  t.deepEqual(plain(protobuf.decodeValue(value as Uint8Array)), cart)
  const back = protobuf.decodeFrame(bytes)
  t.deepEqual(back.stamp, stamp)
  t.deepEqual(plain(back.writes['cart']), cart)
})

/** Without the classes protobufjs makes. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}
