import test from 'ava'
import fc from 'fast-check'
import { FrameRuns } from '../../../lib/transport/frame-runs.js'
import { frames } from '../../../lib/wire/frame-space.js'

function frameSpace(length: number): Uint8Array {
  const { bytes, at } = frames.room(length)
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

test('what frames lie in is held until they have left, or are copied or cleared', t => {
  const runs = new FrameRuns()
  const frame = frameSpace(3_000)
  const chunk = frames.chunkOf(frame.buffer)
  // Other tests have left some.
  const before = chunk?.holders ?? 0
  const holders = (): number => (chunk?.holders ?? 0) - before
  runs.add(frame)
  runs.add(frameSpace(5))
  t.is(holders(), 1)
  t.is(runs.take().length, 1)
  t.is(holders(), 1)
  runs.add(frameSpace(5))
  runs.release()
  t.is(holders(), 1)
  runs.add(new Uint8Array(5))
  runs.add(frameSpace(5))
  t.is(holders(), 2)
  // Small pieces become one, which lies elsewhere.
  t.is(runs.take().length, 1)
  t.is(holders(), 0)
  runs.add(frameSpace(5))
  runs.clear()
  t.is(holders(), 0)
  // What was taken when the connection ended may still be read by the system.
  runs.add(frameSpace(5))
  runs.take()
  runs.clear()
  t.is(holders(), 1)
  runs.release()
  t.is(holders(), 0)
})
