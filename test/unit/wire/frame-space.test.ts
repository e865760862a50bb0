import test from 'ava'
import { FrameSpace } from '../../../lib/wire/frame-space.js'

function space(chunkBytes = 1_024): FrameSpace {
  const made = new FrameSpace()
  made.chunkBytes = chunkBytes
  return made
}

/** A frame of so many bytes. */
function frame(from: FrameSpace, length: number): Uint8Array {
  return from.room(length).view(length)
}

const done = (): Promise<void> => Promise.resolve()

test('frames of the code that runs have memory of their own, however many', t => {
  const from = space()
  const made = Array.from({ length: 500 }, (_, n) => frame(from, n % 7 === 0 ? 3_000 : 200).fill(n))
  t.true(made.every((bytes, n) => bytes.every(byte => byte === n % 256)))
})

test('frames lie one behind the other, large ones apart', t => {
  const from = space()
  const first = frame(from, 100)
  const second = frame(from, 200)
  t.is(second.buffer, first.buffer)
  t.is(second.byteOffset, first.byteOffset + 100)
  const large = frame(from, 2_000)
  t.not(large.buffer, first.buffer)
  t.is(from.chunkOf(large.buffer), undefined)
  t.is(frame(from, 5).byteOffset, second.byteOffset + 200)
})

/** The memory of a chunk that this fills. */
function filled(from: FrameSpace): ArrayBufferLike {
  return Array.from({ length: 5 }, () => frame(from, 200)).at(-1)!.buffer
}

test('a full chunk is written again once the code that filled it is done, and nobody holds it', async t => {
  const from = space()
  const a = filled(from)
  const b = filled(from)
  // A third is begun only where neither may be used.
  const c = filled(from)
  t.is(new Set([a, b, c]).size, 3)
  await done()
  // The latest of those that are full.
  t.is(filled(from), b)
  await done()
  const held = from.chunkOf(b)
  held!.holders++
  t.is(filled(from), c)
  t.is(filled(from), a)
  await done()
  t.is(filled(from), c)
  held!.holders--
  await done()
  t.is(filled(from), a)
  t.is(filled(from), b)
})

test('of chunks that nobody lets go of only some are known', async t => {
  const from = space()
  const made: ArrayBufferLike[] = []
  for (let n = 0; n < 100; n++) {
    const memory = filled(from)
    from.chunkOf(memory)!.holders++
    made.push(memory)
    await done()
  }
  t.is(new Set(made).size, 100)
  t.is(made.filter(memory => from.chunkOf(memory) !== undefined).length, 17)
})

test('nothing is written again while somebody has a frame in hand', async t => {
  const from = space()
  const a = filled(from)
  const b = filled(from)
  await done()
  from.inHand++
  t.false([a, b].includes(filled(from)))
  from.inHand--
  t.true(filled(from) === a)
})

test('room that was not needed is given out again, unless something lies behind it', t => {
  const from = space()
  const first = frame(from, 100)
  const second = frame(from, 100)
  from.takeBack(second)
  t.is(frame(from, 50).byteOffset, second.byteOffset)
  from.takeBack(first)
  t.is(frame(from, 50).byteOffset, second.byteOffset + 50)
  const large = frame(from, 1_000)
  from.takeBack(large)
  t.is(frame(from, 50).byteOffset, second.byteOffset + 100)
})
