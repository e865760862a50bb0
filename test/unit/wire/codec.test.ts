import { existsSync, readFileSync } from 'node:fs'
import test from 'ava'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import { ProtocolError } from '../../../lib/errors.js'
import type { Member } from '../../../lib/membership/member.js'
import { decodeFrame, encodeFrame } from '../../../lib/wire/codec.js'
import { decodeDatagram, encodeDatagram } from '../../../lib/wire/datagram.js'
import { messageType } from '../../../lib/wire/fields.js'
import { FrameDecoder, PREFIX_BYTES } from '../../../lib/wire/frame.js'
import type { Frame, Heartbeat } from '../../../lib/wire/messages.js'
import { schema } from '../../../lib/wire/schema.js'

const root = new URL('../../../../', import.meta.url)
const golden = (name: string): string => readFileSync(new URL(`test/golden/${name}.hex`, root), 'utf8').trim()

const member: Member = { id: '000102030405060708090a0b0c0d0e0f', name: 'node1', host: '10.0.0.1', port: 4000 }
const other: Member = { id: 'f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', name: 'node_2', host: 'b.example', port: 4001 }
const heartbeat: Heartbeat = {
  group: 'shop',
  member,
  incarnation: 2,
  count: 300,
  view: '0123456789abcdef',
  leaving: true,
  clusterTime: 1_750_000_000_123,
  advertisements: [{ topic: 'sessions', bytes: Uint8Array.of(1, 2, 255) }],
}
const samples: readonly Frame[] = [
  {
    kind: 'hello',
    protocolMin: 1,
    protocolMax: 3,
    group: 'shop',
    purpose: 'bulk',
    member,
    incarnation: 5,
    clusterTime: 1_750_000_000_123,
    clockSettled: true,
  },
  {
    kind: 'welcome',
    protocol: 1,
    member,
    incarnation: 0,
    clusterTime: 1_750_000_000_124,
    clockSettled: false,
    known: [
      { member: other, absent: true },
      { member, absent: false },
    ],
  },
  { kind: 'refused', reason: 'superseded', detail: 'A newer life is known' },
  { kind: 'echo', nonce: 4_294_967_295 },
  { kind: 'echoReply', nonce: 7, clusterTime: Number.MAX_SAFE_INTEGER },
  { kind: 'heartbeat', heartbeat },
  { kind: 'goodbye', member: other.id },
  { kind: 'message', topic: 'sessions', ack: 2, payload: Uint8Array.of(0, 1, 2, 3) },
  {
    kind: 'ack',
    received: 300,
    applied: 299,
    exceptions: [
      { number: 7, reason: 'deferred' },
      { number: 9, reason: 'rejected' },
    ],
  },
]

for (const frame of samples) {
  test(`${frame.kind}: golden bytes, and back`, t => {
    const bytes = encodeFrame(frame)
    t.is(Buffer.from(bytes).toString('hex'), golden(frame.kind))
    t.deepEqual(plain(decodeFrame(bytes.subarray(PREFIX_BYTES))), plain(frame))
  })
}

test('datagram: golden bytes, and back', t => {
  const bytes = encodeDatagram(heartbeat)
  t.is(Buffer.from(bytes).toString('hex'), golden('datagram'))
  t.deepEqual(plain(decodeDatagram(bytes)), plain(heartbeat))
  t.not(Buffer.from(bytes).toString('latin1', 0, 8), 'TRIBES-B')
  t.not(Buffer.from(bytes).toString('latin1', 0, 7), 'FLT2002')
  t.is(decodeDatagram(Buffer.from('TRIBES-B and more')), undefined)
  t.throws(() => decodeDatagram(Buffer.concat([bytes, Buffer.alloc(1_400)])), { instanceOf: ProtocolError })
})

test('schema.ts is tribeline.proto', t => {
  const path = new URL('lib/wire/tribeline.proto', root)
  t.true(existsSync(path))
  const parsed = protobuf.parse(readFileSync(path, 'utf8')).root
  // The names the .proto spells with underscores matter to nothing on the wire.
  const json = (each: protobuf.Root): unknown =>
    JSON.parse(JSON.stringify(each.toJSON(), (key, value) => (key === 'protoName' ? undefined : value)))
  t.deepEqual(json(protobuf.Root.fromJSON(schema)), json(parsed))
})

test('the hand-written message and ack are what reflection writes and reads', t => {
  const type = messageType('Frame')
  fc.assert(
    fc.property(messageFrame(), frame => {
      const { kind: _, ...fields } = frame
      const reflected = type.encode({ message: fields }).finish()
      t.deepEqual(plain(decodeFrame(reflected)), plain(frame))
      const read = type.toObject(type.decode(encodeFrame(frame).subarray(PREFIX_BYTES)), { defaults: true }) as {
        message: unknown
      }
      t.deepEqual(plain(read.message), plain(fields))
    }),
  )
  fc.assert(
    fc.property(ackFrame(), frame => {
      const exceptions = frame.exceptions.map(({ number, reason }) => ({
        number,
        reason: reason === 'rejected' ? 0 : 1,
      }))
      const { received, applied } = frame
      const reflected = type.encode({ ack: { received, applied, exceptions } }).finish()
      t.deepEqual(plain(decodeFrame(reflected)), plain(frame))
      const read = type.toObject(type.decode(encodeFrame(frame).subarray(PREFIX_BYTES)), {
        defaults: true,
        longs: Number,
      }) as { ack: unknown }
      t.deepEqual(plain(read.ack), plain({ received, applied, exceptions }))
    }),
  )
})

test('round trip of any message and ack', t => {
  fc.assert(
    fc.property(fc.oneof(messageFrame(), ackFrame()), frame => {
      t.deepEqual(plain(decodeFrame(encodeFrame(frame).subarray(PREFIX_BYTES))), plain(frame))
    }),
  )
  t.pass()
})

test('random, cut off and changed bytes yield a frame, nothing, or a ProtocolError', t => {
  const tryOut = (bytes: Uint8Array): void => {
    for (const decode of [decodeFrame, decodeDatagram]) {
      try {
        decode(bytes)
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
      }
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), tryOut), { numRuns: 2_000 })
  const bodies = [...samples.map(frame => encodeFrame(frame).slice(PREFIX_BYTES)), encodeDatagram(heartbeat)]
  fc.assert(
    fc.property(
      fc.constantFrom(...bodies),
      fc.nat(),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
      (body, cut, changes) => {
        const bytes = body.slice(0, cut % 2 === 0 ? body.length : cut % body.length)
        for (const [at, value] of changes) if (bytes.length > 0) bytes[at % bytes.length] = value
        tryOut(bytes)
      },
    ),
    { numRuns: 5_000 },
  )
  t.pass()
})

test('unknown fields and kinds are skipped; numbers past 2^53 - 1 and bad names are refused', t => {
  t.is(decodeFrame(Buffer.from('a20103010203', 'hex')), undefined)
  t.throws(() => decodeFrame(Buffer.from('220b08ffffffffffffffffff01', 'hex')), { instanceOf: ProtocolError })
  t.throws(() => decodeFrame(Buffer.from('4a0b08ffffffffffffffffff01', 'hex')), { instanceOf: ProtocolError })
  t.throws(() => encodeFrame({ kind: 'heartbeat', heartbeat: { ...heartbeat, member: { ...member, name: 'a b' } } }), {
    instanceOf: ProtocolError,
  })
  t.throws(() => encodeFrame({ kind: 'message', topic: 'x'.repeat(129), ack: 0, payload: new Uint8Array(0) }), {
    instanceOf: ProtocolError,
  })
})

test('topics of any length that is allowed come through', t => {
  for (const length of [1, 127, 128]) {
    const message = { kind: 'message', topic: 'x'.repeat(length), ack: 2, payload: Uint8Array.of(7) } as const
    t.deepEqual(decodeFrame(encodeFrame(message).subarray(PREFIX_BYTES)), message)
  }
})

test('what a frame has that is not of this version changes nothing about the bytes that are lent', t => {
  const message = protobuf.Writer.create()
    .uint32(10)
    .string('t')
    .uint32(26)
    .bytes(Uint8Array.of(1, 2))
    .uint32(32)
    .uint32(1)
  const frame = protobuf.Writer.create().uint32(66).bytes(message.finish()).finish()
  const decoded = decodeFrame(frame)
  const copy = decoded?.kind === 'message' ? decoded.payload.slice() : undefined
  frame.fill(9)
  t.deepEqual(copy, Uint8Array.of(1, 2))
})

test('advertisements stay as they came when the bytes around them change', t => {
  const frame = encodeFrame({ kind: 'heartbeat', heartbeat }).subarray(PREFIX_BYTES)
  const decoded = decodeFrame(frame)
  frame.fill(9)
  t.deepEqual(decoded?.kind === 'heartbeat' && decoded.heartbeat.advertisements, heartbeat.advertisements)
})

test('the frame decoder yields the same frames for any chunking', t => {
  const frames = fc.array(fc.uint8Array({ minLength: 1, maxLength: 3_000 }), { maxLength: 20 })
  fc.assert(
    fc.property(
      frames,
      fc.array(fc.integer({ min: 1, max: 2_500 }), { minLength: 1, maxLength: 50 }),
      fc.boolean(),
      (list, cuts, late) => {
        const stream = Buffer.concat(list.flatMap(body => [lengthOf(body.length), body]))
        const decoder = new FrameDecoder()
        const got: string[] = []
        const drain = (): void => {
          for (let frame = decoder.next(); frame !== undefined; frame = decoder.next())
            got.push(Buffer.from(frame).toString('hex'))
        }
        for (let at = 0, n = 0; at < stream.length; n += 1) {
          const size = cuts[n % cuts.length] as number
          const lent = Uint8Array.from(stream.subarray(at, at + size))
          decoder.push(lent)
          at += size
          if (!late) drain()
          decoder.keep()
          lent.fill(0xdb)
        }
        drain()
        t.deepEqual(
          got,
          list.map(body => Buffer.from(body).toString('hex')),
        )
        t.is(decoder.bufferedBytes, 0)
      },
    ),
  )
})

test('the frame decoder refuses a length over its limit before the bytes are there', t => {
  const decoder = new FrameDecoder(100)
  decoder.push(lengthOf(101))
  t.throws(() => decoder.next(), { instanceOf: ProtocolError })
  const empty = new FrameDecoder()
  empty.push(lengthOf(0))
  t.throws(() => empty.next(), { instanceOf: ProtocolError })
})

function lengthOf(length: number): Uint8Array {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(length)
  return bytes
}

function messageFrame(): fc.Arbitrary<Extract<Frame, { kind: 'message' }>> {
  return fc.record({
    kind: fc.constant('message' as const),
    topic: fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme-ascii' }),
    ack: fc.constantFrom(0 as const, 1 as const, 2 as const),
    payload: fc.uint8Array({ maxLength: 400 }),
  })
}

function ackFrame(): fc.Arbitrary<Extract<Frame, { kind: 'ack' }>> {
  const number = fc.maxSafeNat()
  const reason = fc.constantFrom('rejected' as const, 'deferred' as const)
  return fc.record({
    kind: fc.constant('ack' as const),
    received: number,
    applied: number,
    exceptions: fc.array(fc.record({ number, reason })),
  })
}

/** Buffers and views as plain lists, so that equality is of content. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return [...value]
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]))
  }
  return value
}
