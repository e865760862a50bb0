import test from 'ava'
import fc from 'fast-check'
import { type Digest, digestHash, SEEN_RANGES_MAX, SeenSet } from '../../../lib/replication/seen-set.js'

const dots = fc.array(fc.record({ origin: fc.constantFrom('a', 'b', 'c'), seq: fc.integer({ min: 1, max: 40 }) }))

function build(list: readonly { origin: string; seq: number }[]): { set: SeenSet; plain: Set<string> } {
  const set = new SeenSet()
  const plain = new Set<string>()
  for (const { origin, seq } of list) {
    set.add(origin, seq)
    plain.add(`${origin}${seq}`)
  }
  return { set, plain }
}

function expand(digest: Digest): string[] {
  return digest.flatMap(({ origin, base, ranges }) => {
    const all = base > 0 ? [[1, base] as const, ...ranges] : ranges
    return all.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => `${origin}${from + i}`))
  })
}

test('behaves like a plain set', t => {
  fc.assert(
    fc.property(dots, list => {
      const { set, plain } = build(list)
      for (const origin of ['a', 'b', 'c']) {
        for (let seq = 1; seq <= 41; seq++) if (set.has(origin, seq) !== plain.has(`${origin}${seq}`)) return false
      }
      return new Set(expand(set.digest())).size === plain.size
    }),
  )
  t.pass()
})

test('subtraction, covering and hash agree with plain sets', t => {
  fc.assert(
    fc.property(dots, dots, (left, right) => {
      const a = build(left)
      const b = build(right)
      const missing = a.set
        .missing(b.set.digest())
        .flatMap(({ origin, ranges }) =>
          ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => `${origin}${from + i}`)),
        )
      const expected = [...b.plain].filter(dot => !a.plain.has(dot))
      const same = expected.length === 0 && a.plain.size === b.plain.size
      return (
        missing.length === expected.length &&
        missing.every(dot => expected.includes(dot)) &&
        a.set.covers(b.set.digest()) === (expected.length === 0) &&
        (digestHash(a.set.digest()) === digestHash(b.set.digest())) === same
      )
    }),
  )
  t.pass()
})

test('is canonical: the order of adding does not show', t => {
  fc.assert(
    fc.property(dots, list => {
      const forward = build(list).set.digest()
      return JSON.stringify(forward) === JSON.stringify(build(list.toReversed()).set.digest())
    }),
  )
  t.pass()
})

test('has room for what touches a range, beyond the limit for nothing else, and unmarks nothing', t => {
  const set = new SeenSet()
  for (let i = 1; i <= 64; i++) t.true(set.add('a', i * 2 + 1))
  t.true(set.fits('a', 1_000, 65))
  t.false(set.fits('a', 1_000, 64))
  for (const seq of [1, 2, 3, 4, 128, 129, 130]) t.true(set.fits('a', seq, 64), String(seq))
  t.true(set.fits('b', 1_000, 64))
  t.true(set.add('a', 1))
  t.true(set.add('a', 2))
  t.is(set.base('a'), 3)
  t.true(set.fits('a', 1_000, 64))
})

test('marks no more than the ranges a digest may have', t => {
  const set = new SeenSet()
  set.claim([
    { origin: 'a', base: 0, ranges: Array.from({ length: SEEN_RANGES_MAX }, (_, i) => [2 * i + 2, 2 * i + 2]) },
  ])
  t.false(set.add('a', 1_000_000))
  t.false(set.has('a', 1_000_000))
  t.true(set.add('a', 2 * SEEN_RANGES_MAX + 1))
  t.true(set.add('a', 1))
  t.is(set.base('a'), 2)
})

test('a digest by prefixes hides what is behind a hole', t => {
  const set = new SeenSet()
  set.add('a', 1)
  set.add('a', 3)
  t.deepEqual(set.digest(false), [{ origin: 'a', base: 1, ranges: [] }])
  t.deepEqual(set.digest(), [{ origin: 'a', base: 1, ranges: [[3, 3]] }])
})

test('lists no more missing ranges than asked for', t => {
  const full = SeenSet.from([
    {
      origin: 'a',
      base: 0,
      ranges: [
        [2, 3],
        [5, 6],
        [8, 9],
      ],
    },
  ])
  t.deepEqual(new SeenSet().missing(full.digest(), 2), [
    {
      origin: 'a',
      ranges: [
        [2, 3],
        [5, 6],
      ],
    },
  ])
})
