import test from 'ava'
import fc from 'fast-check'
import { Packr, Unpackr } from 'msgpackr'
import { frames } from '../../../lib/wire/frame-space.js'
import { decodeValue, encodeValue, lendValue, spaceOf } from '../../../lib/wire/value-codec.js'

const options = { structuredClone: true, moreTypes: true, mapsAsObjects: false }
const unpackr = new Unpackr(options)
const packr = new Packr(options)

test('texts and bytes are encoded as the codec itself would', t => {
  for (const length of [0, 1, 15, 16, 31, 32, 127, 128, 255, 256, 2_045, 2_048, 32_768, 65_535, 65_536]) {
    for (const value of ['a'.repeat(length), 'é'.repeat(length), '😀'.repeat(length), Buffer.alloc(length, 7)]) {
      const bytes = encodeValue(value)
      t.is(Buffer.compare(bytes, packr.pack(value)), 0, `${typeof value} of ${length}`)
      t.deepEqual(decodeValue(bytes), value)
    }
  }
  t.true(decodeValue(encodeValue(Uint8Array.of(1, 2))) instanceof Uint8Array)
})

test('texts and Buffers of some size are lent in memory of frames, the same bytes', t => {
  const least = 2_049
  const most = frames.sharedBytesMax - 3
  for (const length of [least, 8_192, 40_000, most]) {
    for (const value of ['x'.repeat(length), 'é'.repeat(Math.max(least, length >> 1)), Buffer.alloc(length, 7)]) {
      const lent = lendValue(value)
      t.deepEqual(lent && Buffer.from(lent), Buffer.from(encodeValue(value)))
      t.truthy(lent && spaceOf(lent.length).chunkOf(lent.buffer))
    }
  }
  const others = [undefined, 5, {}, 'x'.repeat(least - 1), Buffer.alloc(least - 1), new Uint8Array(least)]
  const large = ['x'.repeat(most + 1), 'é'.repeat((most >> 1) + 1), Buffer.alloc(most + 1)]
  for (const value of [...others, ...large]) t.is(lendValue(value), undefined)
})

test('bytes come back as what they were, and as their own', t => {
  for (const value of [Buffer.of(1, 2, 3), Uint8Array.of(1, 2, 3), { nested: Buffer.of(1, 2, 3) }]) {
    const bytes = encodeValue(value)
    // As they lie in a copy of another member.
    for (const held of [bytes, new Uint8Array(bytes)]) {
      const before = Buffer.from(held)
      const decoded = decodeValue(held)
      t.deepEqual(decoded, value)
      const own = (decoded as { nested?: Uint8Array }).nested ?? (decoded as Uint8Array)
      own.fill(9)
      t.deepEqual(Buffer.from(held), before, 'changing the value changed what is kept')
    }
  }
})

test('a text of any length and alphabet comes back, as the codec itself would read it', t => {
  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 400 }), fc.string({ unit: 'grapheme', maxLength: 300 }))
  fc.assert(
    fc.property(text, value => {
      const bytes = encodeValue(value)
      t.is(decodeValue(bytes), unpackr.unpack(bytes))
    }),
  )
  for (const length of [0, 1, 31, 32, 255, 256, 65_536])
    t.is(decodeValue(encodeValue('a'.repeat(length))), 'a'.repeat(length))
})

test('numbers are encoded as the codec itself would', t => {
  const edges = [0, -0, 1, 31, 32, 63, 64, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32, -1, 0.5, Number.NaN]
  for (const value of edges) {
    const bytes = encodeValue(value)
    t.is(Buffer.compare(bytes, packr.pack(value)), 0, String(value))
    t.is(decodeValue(bytes), unpackr.unpack(bytes), String(value))
  }
  fc.assert(
    fc.property(fc.oneof(fc.nat(70_000), fc.integer(), fc.double()), value => {
      const bytes = encodeValue(value)
      t.is(Buffer.compare(bytes, packr.pack(value)), 0)
      t.is(decodeValue(bytes), unpackr.unpack(bytes))
    }),
  )
})

test('bytes that are a text or a number and more, or less, are no value', t => {
  for (const bytes of [
    [],
    [0xa2, 0x61],
    [0xa1, 0x61, 0x61],
    [0xd9],
    [0xd9, 2, 0x61],
    [0xd9, 1, 0x61, 0x61],
    [1, 1],
    [0xcc],
    [0xcd, 1],
  ]) {
    t.throws(() => decodeValue(Uint8Array.from(bytes)), undefined, String(bytes))
  }
})
