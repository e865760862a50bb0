import test from 'ava'
import fc from 'fast-check'
import { FrameRuns } from '../../../lib/transport/frame-runs.js'
import { frameRoom } from '../../../lib/wire/frame-space.js'

function frameSpace(length: number): Uint8Array {
  const { bytes, at } = frameRoom(length)
  return bytes.subarray(at, at + length)
}

test('what lies together leaves as it lies, anything else as a copy, and nothing is lost', t => {
  const frame = fc.record({
    bytes: fc.uint8Array({ minLength: 1, maxLength: 50 }),
    own: fc.boolean(),
    skip: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(fc.array(frame, { minLength: 1, maxLength: 8 }), { maxLength: 5 }), batches => {
      const runs = new FrameRuns()
      for (const batch of batches) {
        const frames = batch.map(({ bytes, own, skip }) => {
          // Somebody else's frame in between.
          if (skip) frameSpace(10)
          const space = own ? new Uint8Array(bytes.length) : frameSpace(bytes.length)
          space.set(bytes)
          return space
        })
        for (const each of frames) runs.add(each)
        const pieces = runs.take()
        t.deepEqual(Buffer.concat(pieces), Buffer.concat(frames))
        t.is(pieces.length, 1)
        t.is(runs.bytes, 0)
        const whole = pieces[0]!
        if (batch.slice(1).every(({ own, skip }) => !own && !skip) && batch[0]?.own === false) {
          t.is(whole.byteOffset, frames[0]!.byteOffset)
          t.is(whole.buffer, frames[0]!.buffer)
        }
      }
    }),
  )
})

test('large pieces leave as they lie, wherever that is', t => {
  const runs = new FrameRuns()
  const frames = [frameSpace(30), new Uint8Array(9_000).fill(1), frameSpace(30), new Uint8Array(60_000).fill(2)]
  for (const each of frames) runs.add(each)
  const pieces = runs.take()
  t.is(pieces.length, 4)
  for (const [index, piece] of pieces.entries()) {
    t.is(piece.buffer, frames[index]!.buffer)
    t.is(piece.length, frames[index]!.length)
  }
})

test('what was cleared does not leave', t => {
  const runs = new FrameRuns()
  runs.add(Uint8Array.of(1))
  runs.add(Uint8Array.of(2))
  runs.clear()
  runs.add(Uint8Array.of(3))
  t.deepEqual(runs.take(), [Uint8Array.of(3)])
})

test('frames have memory of their own as long as anybody holds them', t => {
  const frames = Array.from({ length: 500 }, (_, n) => frameSpace(n % 7 === 0 ? 300_000 : 5_000).fill(n))
  t.true(frames.every((frame, n) => frame.every(byte => byte === n % 256)))
})
