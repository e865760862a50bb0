import test from 'ava'
import fc from 'fast-check'
import { PacketReader } from '../../../lib/ajp/packet-reader.js'
import { ProtocolError } from '../../../lib/errors.js'
import { packet } from '../../helpers/ajp-client.js'

test('finds the same packets however the bytes are cut', t => {
  const payloads = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 })
  fc.assert(
    fc.property(payloads, fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), (sent, cuts) => {
      const bytes = Buffer.concat(sent.map(packet))
      const reader = new PacketReader(8_192)
      const got: Buffer[] = []
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const size = cuts[turn % cuts.length] as number
        got.push(...reader.read(bytes.subarray(at, at + size)))
        at += size
      }
      t.deepEqual(
        got.map(payload => Buffer.from(payload)),
        sent.map(payload => Buffer.from(payload)),
      )
    }),
    { numRuns: 200 },
  )
})

test('a packet may be as large as agreed, and no larger', t => {
  const [most] = new PacketReader(8_192).read(packet(Buffer.alloc(8_188)))
  t.is(most?.length, 8_188)
  // Said by its head: nothing waits for the rest.
  const head = packet(Buffer.alloc(8_189)).subarray(0, 4)
  t.throws(() => [...new PacketReader(8_192).read(head)], { instanceOf: ProtocolError })
})

test('what begins no packet is refused', t => {
  t.throws(() => [...new PacketReader(8_192).read(Buffer.from('GET /'))], { instanceOf: ProtocolError })
  const reader = new PacketReader(8_192)
  t.is([...reader.read(packet(Buffer.of(10)))].length, 1)
  t.throws(() => [...reader.read(Buffer.from('AB\0\0'))], { instanceOf: ProtocolError })
})
