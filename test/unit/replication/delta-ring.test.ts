import test from 'ava'
import { type Delta, NO_WRITES } from '../../../lib/replication/delta.js'
import { encodeDelta } from '../../../lib/replication/delta-codec.js'
import { DeltaRing } from '../../../lib/replication/delta-ring.js'
import { SmallMap } from '../../../lib/replication/small-map.js'

const A = 'a'.repeat(32)
const B = 'b'.repeat(32)

function delta(origin: string, seq: number, bytes?: number): Delta {
  const stamp = { wallMs: 1, counter: 0, origin, seq }
  const writes = bytes === undefined ? NO_WRITES : new SmallMap([['v', new Uint8Array(bytes).fill(seq)]])
  return { kind: 'write', key: `${origin}#999999`, stamp, deps: [[origin, seq]], writes }
}

function add(ring: DeltaRing, each: Delta): void {
  const message = encodeDelta(each)
  ring.add(each.stamp, message)
  // It keeps a copy.
  for (const piece of message) piece.fill(0)
}

test('keeps the newest deltas within its bytes, in the order they were applied', t => {
  const ring = new DeltaRing(16_000)
  for (let seq = 1; seq <= 2_000; seq++) add(ring, delta(seq % 2 === 0 ? A : B, seq))
  t.true(ring.bytes <= 16_000)
  t.true(ring.size > 100 && ring.size < 300, `${ring.size}`)
  const wanted = [
    { origin: A, ranges: [[1_998, 2_000]] as const },
    { origin: B, ranges: [[1_999, 1_999]] as const },
  ]
  const { deltas, count, complete } = ring.find(wanted, 10)
  t.deepEqual(deltas, [delta(A, 1_998), delta(B, 1_999), delta(A, 2_000)])
  t.is(count, 3)
  t.false(complete, 'A made no delta 1,999')
  t.true(ring.find(wanted.slice(1), 10).complete)
})

test('what it has forgotten, or never had, makes an answer incomplete', t => {
  const ring = new DeltaRing(2_000)
  for (let seq = 1; seq <= 100; seq++) add(ring, delta(A, seq))
  const first = 101 - ring.size
  t.true(first > 1)
  t.like(ring.find([{ origin: A, ranges: [[first, 100]] }], 1_000), { count: ring.size, complete: true })
  t.like(ring.find([{ origin: A, ranges: [[first - 1, 99]] }], 1_000), { count: ring.size - 1, complete: false })
  t.like(ring.find([{ origin: B, ranges: [[1, 1]] }], 1_000), { count: 0, complete: false })
  const endless = [{ origin: A, ranges: [[1, Number.MAX_SAFE_INTEGER]] as const }]
  t.deepEqual(ring.find(endless, 1_000), { deltas: [], count: 0, complete: false })
})

test('hands out no more than asked for, and says how many there are', t => {
  const ring = new DeltaRing(100_000)
  for (let seq = 1; seq <= 50; seq++) add(ring, delta(A, seq, seq))
  const { deltas, count, complete } = ring.find(
    [
      {
        origin: A,
        ranges: [
          [2, 4],
          [10, 40],
        ],
      },
    ],
    5,
  )
  t.deepEqual(
    deltas.map(({ stamp }) => stamp.seq),
    [2, 3, 4, 10, 11],
  )
  t.deepEqual(deltas[1], delta(A, 3, 3))
  t.is(count, 34)
  t.true(complete)
})

test('large and small deltas share its bytes', t => {
  const ring = new DeltaRing(100_000)
  for (let seq = 1; seq <= 500; seq++) {
    add(ring, delta(A, seq, seq % 7 === 0 ? 20_000 : 10))
    t.true(ring.bytes <= 100_000)
  }
  const { deltas } = ring.find([{ origin: A, ranges: [[496, 500]] }], 5)
  t.deepEqual(
    deltas,
    [496, 497, 498, 499, 500].map(seq => delta(A, seq, seq % 7 === 0 ? 20_000 : 10)),
  )
})

test('a delta larger than the ring is not kept, and costs it nothing', t => {
  const ring = new DeltaRing(10)
  add(ring, delta(A, 1))
  t.is(ring.size, 0)
  t.is(ring.bytes, 0)
})
