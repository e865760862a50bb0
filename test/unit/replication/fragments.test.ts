import test from 'ava'
import fc from 'fast-check'
import { MessageTooLargeError, ProtocolError } from '../../../lib/errors.js'
import { Defragmenter, fragments, MESSAGE_BYTES_MAX, PART_BYTES } from '../../../lib/replication/fragments.js'

/** The smallest limit of a frame, without what surrounds a payload in it. */
const SMALLEST_PAYLOAD_BYTES = 65_536 - 1_024

function message(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let at = 0, state = seed; at < length; at += 997) {
    state = (state * 1_103_515_245 + 12_345) >>> 0
    bytes[at] = state >>> 24
  }
  bytes[0] = 8
  return bytes
}

function cut(bytes: Uint8Array, number = 0): Uint8Array[] {
  const parts = fragments(bytes, number)
  if (parts === undefined) throw new Error('It travels whole')
  return parts
}

test('what fits travels whole, what does not comes together again, and every part fits any frame', t => {
  const defragmenter = new Defragmenter()
  for (const length of [1, PART_BYTES]) {
    t.is(fragments(message(length), 0), undefined)
    const whole = message(length)
    t.is(defragmenter.take(whole, 'a', 0), whole)
  }
  for (const length of [PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 1, 4_500_000, MESSAGE_BYTES_MAX]) {
    const bytes = message(length)
    const parts = cut(bytes, 0xffff_ffff)
    t.true(parts.every(part => part.length <= SMALLEST_PAYLOAD_BYTES))
    for (const part of parts.slice(0, -1)) t.is(defragmenter.take(part, 'a', 0), 'waiting')
    t.true(defragmenter.heldBytes > 0)
    t.is(Buffer.compare(defragmenter.take(parts.at(-1)!, 'a', 0) as Uint8Array, bytes), 0)
    t.is(defragmenter.heldBytes, 0)
  }
  t.throws(() => fragments(message(MESSAGE_BYTES_MAX + 1), 0), { instanceOf: MessageTooLargeError })
})

test('messages of several senders and lanes may interleave', t => {
  const defragmenter = new Defragmenter()
  const streams = [
    { from: 'a', bytes: message(130_000, 1), parts: cut(message(130_000, 1), 1) },
    { from: 'a', bytes: message(180_000, 2), parts: cut(message(180_000, 2), 2) },
    { from: 'b', bytes: message(150_000, 3), parts: cut(message(150_000, 3), 1) },
  ]
  const done = new Set<string>()
  while (streams.some(({ parts }) => parts.length > 0)) {
    for (const { from, bytes, parts } of streams) {
      const part = parts.shift()
      const taken = part && defragmenter.take(part, from, 0)
      if (taken instanceof Uint8Array && Buffer.compare(taken, bytes) === 0) done.add(`${from}${bytes.length}`)
    }
  }
  t.deepEqual([...done].sort(), ['a130000', 'a180000', 'b150000'])
})

test('a lost part costs the message; a repeated one nothing; the next message is whole', t => {
  const defragmenter = new Defragmenter()
  const [first, second, third] = cut(message(150_000), 1) as [Uint8Array, Uint8Array, Uint8Array]
  t.is(defragmenter.take(first, 'a', 0), 'waiting')
  t.is(defragmenter.take(third, 'a', 0), 'incomplete')
  t.is(defragmenter.take(second, 'a', 0), 'incomplete')
  t.is(defragmenter.heldBytes, 0)
  for (const part of [first, second, second]) t.is(defragmenter.take(part, 'a', 0), 'waiting')
  t.is((defragmenter.take(third, 'a', 0) as Uint8Array).length, 150_000)
  t.is(defragmenter.take(third, 'a', 0), 'incomplete')
})

test('what is held is bounded, gets old, and goes with its sender', t => {
  const defragmenter = new Defragmenter()
  const parts = cut(message(MESSAGE_BYTES_MAX)).slice(0, -1)
  for (let sender = 0; sender < 6; sender++) {
    for (const part of parts) {
      defragmenter.take(part, `${sender}`, 0)
      t.true(defragmenter.heldBytes <= 64 * 1024 * 1024)
    }
  }
  for (let sender = 0; sender < 6; sender++) defragmenter.forget(`${sender}`)
  t.is(defragmenter.heldBytes, 0)
  const begin = parts[0]!
  for (let number = 0; number < 1_000; number++) defragmenter.take(cut(message(70_000), number)[0]!, 'many', 0)
  t.is(defragmenter.heldBytes, 64 * PART_BYTES)
  defragmenter.take(begin, 'late', 60_000)
  t.is(defragmenter.heldBytes, PART_BYTES)
})

test('any bytes: a payload as it came, waiting, incomplete or ProtocolError; never more held than came', t => {
  const part = cut(message(130_000), 7)[0]!.subarray(0, 40)
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.uint8Array({ maxLength: 60 }).map(bytes => Uint8Array.of(0, ...bytes)),
    fc.tuple(fc.nat(8), fc.nat(255)).map(([at, value]) => part.with(at, value)),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(payload, fc.constantFrom('a', 'b')), { maxLength: 50 }), list => {
      const defragmenter = new Defragmenter()
      let came = 0
      for (const [bytes, from] of list) {
        came += bytes.length
        try {
          const taken = defragmenter.take(bytes, from, 0)
          if (bytes[0] !== 0 && taken !== bytes) return false
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
        }
        if (defragmenter.heldBytes > came) return false
      }
      return true
    }),
    { numRuns: Number(process.env['FUZZ_RUNS'] ?? 1_000) },
  )
  t.pass()
})
