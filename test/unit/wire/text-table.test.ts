import test from 'ava'
import fc from 'fast-check'
import { TextTable } from '../../../lib/wire/text-table.js'

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 100 }),
  fc.string({ maxLength: 80 }).map(text => new Uint8Array(Buffer.from(text))),
)

test('texts are what the bytes say, whatever came before in their place', t => {
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 30 }), fc.constantFrom(1, 2, 64), fc.nat(5), (all, size, before) => {
      const table = new TextTable(size)
      for (const each of [...all, ...all]) {
        const whole = new Uint8Array([...new Uint8Array(before).fill(200), ...each, 1, 2, 3])
        const end = before + each.length
        t.is(table.utf8(whole, before, end), Buffer.from(each).toString('utf8'))
      }
    }),
    { numRuns: 300 },
  )
})
