import { Buffer } from 'node:buffer'
import test from 'ava'
import fc from 'fast-check'
import { memoryOf, offsetOf, viewOf } from '../../../lib/wire/view.js'

test('memory and place are those of the bytes, whatever was made and asked for before', t => {
  const memory = new ArrayBuffer(64)
  const known: Uint8Array[] = [Buffer.alloc(4), new Uint8Array(memory, 7, 5), Buffer.from(memory, 3, 9)]
  const step = fc.tuple(fc.constantFrom('make', 'memory', 'offset'), fc.nat(40))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      for (const [what, at] of steps) {
        if (what === 'make') known.push(viewOf(memory, at, 20))
        const bytes = known[at % known.length] as Uint8Array
        if (what === 'memory') t.is(memoryOf(bytes), bytes.buffer)
        if (what === 'offset') t.is(offsetOf(bytes), bytes.byteOffset)
      }
    }),
  )
})
