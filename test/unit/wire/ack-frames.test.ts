import test from 'ava'
import fc from 'fast-check'
import { decodeAck, encodeAck, readPlainAck } from '../../../lib/wire/ack-frames.js'
import { decodeFrame } from '../../../lib/wire/codec.js'
import { messageType } from '../../../lib/wire/fields.js'
import { PREFIX_BYTES } from '../../../lib/wire/frame.js'

const number = fc.oneof(
  fc.nat(300),
  fc.nat(0xffff_ffff),
  fc.constantFrom(127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455, 268_435_456, Number.MAX_SAFE_INTEGER),
)
const exceptions = fc.array(
  fc.record({ number: fc.nat(1_000), reason: fc.constantFrom('rejected' as const, 'deferred' as const) }),
  { maxLength: 2 },
)
const ack = fc.record({ kind: fc.constant('ack' as const), received: number, applied: number, exceptions })

test('an acknowledgement comes back as it was, and is the bytes reflection makes', t => {
  fc.assert(
    fc.property(ack, frame => {
      const bytes = encodeAck(frame)
      t.is(Buffer.from(bytes).readUInt32BE(0), bytes.length - PREFIX_BYTES)
      t.deepEqual(decodeFrame(bytes, PREFIX_BYTES), frame)
      const isPlain = readPlainAck(bytes, PREFIX_BYTES, bytes.length) !== undefined
      t.is(isPlain, frame.exceptions.length === 0 && Math.max(frame.received, frame.applied) < 0x1000_0000)
      const { received, applied } = frame
      // Reflection leaves out what is 0, and does not take larger numbers as they are.
      if (Math.min(received, applied) === 0 || Math.max(received, applied) > 0xffff_ffff || !isPlain) return
      const fields = { ack: { received, applied } }
      t.is(Buffer.compare(messageType('Frame').encode(fields).finish(), bytes.subarray(PREFIX_BYTES)), 0)
    }),
    { numRuns: 1_000 },
  )
})

test('one read the short way is what it is the long way, whatever lies around it', t => {
  fc.assert(
    fc.property(ack, fc.nat(20), fc.nat(255), fc.uint8Array({ maxLength: 8 }), (frame, at, bits, behind) => {
      const bytes = Uint8Array.from(encodeAck({ ...frame, exceptions: [] }).subarray(PREFIX_BYTES))
      bytes[at % bytes.length]! ^= bits
      const plain = readPlainAck(Buffer.concat([behind, bytes, behind]), behind.length, behind.length + bytes.length)
      if (plain !== undefined) t.deepEqual(plain, decodeAck(bytes.subarray(2)))
    }),
    { numRuns: 2_000 },
  )
})

test('cut off anywhere it is left to the long way', t => {
  const bytes = encodeAck({ kind: 'ack', received: 70_000, applied: 69_000, exceptions: [] })
  for (let end = PREFIX_BYTES; end < bytes.length; end++) t.is(readPlainAck(bytes, PREFIX_BYTES, end), undefined)
})
