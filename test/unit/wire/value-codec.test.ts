import test from 'ava'
import fc from 'fast-check'
import { Unpackr } from 'msgpackr'
import { decodeValue, encodeValue } from '../../../lib/wire/value-codec.js'

const unpackr = new Unpackr({ structuredClone: true, moreTypes: true, mapsAsObjects: false })

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

test('bytes that are a text and more, or less, are no value', t => {
  for (const bytes of [[], [0xa2, 0x61], [0xa1, 0x61, 0x61], [0xd9], [0xd9, 2, 0x61], [0xd9, 1, 0x61, 0x61]]) {
    t.throws(() => decodeValue(Uint8Array.from(bytes)), undefined, String(bytes))
  }
})
