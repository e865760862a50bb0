import test from 'ava'
import fc from 'fast-check'
import { RESPONSE_HEADERS } from '../../../lib/ajp/codes.js'
import {
  bodyBytesMax,
  bodyPackets,
  CPONG,
  endPacket,
  getBodyPacket,
  headersPacket,
} from '../../../lib/ajp/response-packets.js'

const PACKET = 8_192

function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(' ', ''), 'hex')
}

test('packets written by hand', t => {
  t.deepEqual(CPONG, hex('4142 0001 09'))
  t.deepEqual(endPacket(true), hex('4142 0002 05 01'))
  t.deepEqual(endPacket(false), hex('4142 0002 05 00'))
  t.deepEqual(getBodyPacket(8_186), hex('4142 0003 06 1ffa'))
  t.is(bodyBytesMax(PACKET), 8_186)
  t.deepEqual(
    headersPacket(200, 'OK', ['Content-Type', 'a/b', 'X', 'y'], PACKET),
    hex('4142 001a 04 00c8 0002 4f4b 00 0002 a001 0003 612f62 00 0001 58 00 0001 79 00'),
  )
  t.deepEqual(bodyPackets(Buffer.from('abc'), PACKET), hex('4142 0007 03 0003 616263 00'))
  t.is(bodyPackets(Buffer.alloc(0), PACKET).length, 0)
})

/** Codes by the description of AJP/1.3. */
const CODES: readonly (readonly [number, string])[] = [
  ...([
    [1, 'Content-Type'],
    [2, 'Content-Language'],
    [3, 'Content-Length'],
    [4, 'Date'],
  ] as const),
  ...([
    [5, 'Last-Modified'],
    [6, 'Location'],
    [7, 'Set-Cookie'],
    [8, 'Set-Cookie2'],
  ] as const),
  ...([
    [9, 'Servlet-Engine'],
    [10, 'Status'],
    [11, 'WWW-Authenticate'],
  ] as const),
]

test('knows every header', t => {
  t.is(CODES.length, RESPONSE_HEADERS.length)
  for (const [code, name] of CODES) {
    const packet = headersPacket(200, '', [name, ''], PACKET)
    t.is(packet?.readUInt16BE(12), 0xa000 + code, name)
  }
})

test('headers must fit into a packet', t => {
  const room = PACKET - (headersPacket(200, 'OK', ['X', ''], PACKET) as Buffer).length
  t.is(headersPacket(200, 'OK', ['X', 'x'.repeat(room)], PACKET)?.length, PACKET)
  t.is(headersPacket(200, 'OK', ['X', 'x'.repeat(room + 1)], PACKET), undefined)
  t.is(headersPacket(200, 'OK', ['X', 'x'.repeat(70_000)], 65_536), undefined)
})

test('a body is cut into packets that fit, and nothing is lost', t => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 40_000 }), fc.constantFrom(8_192, 16_384, 65_536), (size, packetSize) => {
      const data = Buffer.alloc(size)
      for (let at = 0; at < size; at++) data[at] = at % 251
      const bytes = bodyPackets(data, packetSize)
      const parts: Buffer[] = []
      for (let at = 0; at < bytes.length; ) {
        const length = 4 + bytes.readUInt16BE(at + 2)
        t.true(length <= packetSize)
        t.is(bytes.readUInt16BE(at + 5), length - 8)
        t.is(bytes[at + length - 1], 0)
        parts.push(bytes.subarray(at + 7, at + length - 1))
        at += length
      }
      t.true(Buffer.concat(parts).equals(data))
    }),
    { numRuns: 50 },
  )
})
