import test from 'ava'
import fc from 'fast-check'
import { IdTable } from '../../../lib/wire/id-table.js'

// Few values, so that ids meet in their places.
const byte = fc.oneof(fc.constantFrom(0, 1, 128, 255), fc.nat(255))
const id = fc.array(byte, { minLength: 16, maxLength: 16 })

test('ids are what the bytes say, whatever came before in their place', t => {
  fc.assert(
    fc.property(fc.array(id, { maxLength: 30 }), fc.constantFrom(1, 2, 64), fc.nat(5), (ids, size, before) => {
      const table = new IdTable(size)
      for (const each of [...ids, ...ids]) {
        const whole = Uint8Array.from([...new Array<number>(before).fill(9), ...each, 7])
        t.is(table.at(whole, before), Buffer.from(each).toString('hex'))
      }
    }),
    { numRuns: 300 },
  )
})

test('the same id is the same string', t => {
  const table = new IdTable(4)
  const bytes = Uint8Array.from({ length: 16 }, (_, index) => index)
  t.is(table.at(bytes, 0), '000102030405060708090a0b0c0d0e0f')
  t.is(table.at(Uint8Array.from([0, ...bytes]), 1), '000102030405060708090a0b0c0d0e0f')
  t.is(table.at(new Uint8Array(16), 0), '0'.repeat(32))
})
