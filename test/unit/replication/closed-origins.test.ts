import test from 'ava'
import fc from 'fast-check'
import { memberId } from '../../../lib/membership/member.js'
import { decodeMessage, encodeMessage } from '../../../lib/replication/codec.js'
import type { ReplicationMessage } from '../../../lib/replication/messages.js'
import { type Digest, digestHash, SeenSet } from '../../../lib/replication/seen-set.js'

/** Five lives, started one after another. */
const LIVES = [10, 20, 30, 40, 50].map(startMs => memberId(startMs, new Uint8Array(10).fill(startMs)))
const [first = '', second = '', third = '', fourth = '', fifth = ''] = LIVES

const step = fc.oneof(
  fc.record({ life: fc.nat(4), seq: fc.integer({ min: 1, max: 6 }) }),
  fc.record({ life: fc.nat(4), close: fc.constant(true) }),
)

function build(steps: readonly { life: number; seq?: number; close?: boolean }[]): SeenSet {
  const set = new SeenSet()
  for (const { life, seq, close } of steps) {
    if (close === true) set.close([LIVES[life]!])
    else if (seq !== undefined) set.add(LIVES[life]!, seq)
  }
  return set
}

function text(digest: Digest): string {
  return JSON.stringify([digest.closedBeforeMs ?? 0, digest])
}

test('all that a closed origin wrote counts as seen, and of those that started later only what was', t => {
  const set = build([
    { life: 0, seq: 1 },
    { life: 1, seq: 1 },
    { life: 2, seq: 1 },
  ])
  t.true(set.open(fourth))
  set.close([second])
  t.is(set.closedBeforeMs, 21)
  t.true(set.isClosed(second))
  t.true(set.has(second, 99))
  t.false(set.isClosed(first))
  t.false(set.has(first, 2))
  t.false(set.has(third, 2))
  set.close([third])
  t.true(set.has(third, 2))
  t.false(set.has(fourth, 1))
  t.false(set.has(fifth, 1))
})

test('whoever is not opened before the mark passes is closed, and stays it', t => {
  const set = build([{ life: 2, seq: 1 }])
  set.close([third])
  t.true(set.isClosed(first))
  t.false(set.open(first))
  t.true(set.add(first, 1))
  t.is(set.size, 0)
  t.deepEqual([...set.digest()], [])
})

test('an origin below the mark is shown even if nothing is seen of it', t => {
  const set = build([{ life: 1, seq: 1 }])
  set.open(first)
  set.open(fifth)
  set.close([second])
  t.deepEqual([...set.digest()], [{ origin: first, base: 0, ranges: [] }])
  const other = SeenSet.from(set.digest())
  t.false(other.isClosed(first))
  t.true(other.isClosed(second))
})

test('without a mark a digest has the hash it always had', t => {
  const digest: Digest = [{ origin: first, base: 3, ranges: [[5, 6]] }]
  const marked = Object.assign([...digest], { closedBeforeMs: 5 })
  t.not(digestHash(digest), digestHash(marked))
  t.is(digestHash(digest), digestHash(SeenSet.from(digest).digest()))
})

test('what is missing and what is covered leave closed origins out', t => {
  const here = build([{ life: 0, seq: 1 }])
  here.close([first])
  const there = build([
    { life: 0, seq: 1 },
    { life: 0, seq: 2 },
    { life: 1, seq: 1 },
  ])
  t.deepEqual(here.missing(there.digest()), [{ origin: second, ranges: [[1, 1]] }])
  t.deepEqual(there.closedBy(here.digest()), [first])
  t.deepEqual(here.closedBy(there.digest()), [])
})

test('two sets are at odds where one has closed an origin of which the other knows something', t => {
  const closed = build([
    { life: 1, seq: 1 },
    { life: 1, close: true },
  ])
  const knowing = build([{ life: 0, seq: 2 }])
  const unknowing = build([{ life: 4, seq: 2 }])
  t.true(unknowing.open(third))
  t.true(knowing.isAtOdds(closed.digest()))
  t.true(closed.isAtOdds(knowing.digest()))
  t.false(unknowing.isAtOdds(closed.digest()))
  t.false(closed.isAtOdds(unknowing.digest()))
  t.false(closed.isAtOdds(closed.digest()))
})

test('marks join in any order and any number of times', t => {
  fc.assert(
    fc.property(fc.array(step), fc.array(step), fc.array(step), (a, b, c) => {
      const digests = [a, b, c].map(steps => build(steps).digest())
      const joined = (order: readonly number[]): string => {
        const set = new SeenSet()
        for (const index of order) set.claim(digests[index]!)
        return text(set.digest())
      }
      const expected = joined([0, 1, 2])
      const pairs = SeenSet.from(digests[1]!)
      pairs.claim(digests[2]!)
      const grouped = SeenSet.from(digests[0]!)
      grouped.claim(pairs.digest())
      return (
        joined([2, 1, 0]) === expected &&
        joined([1, 0, 2, 1, 0]) === expected &&
        text(grouped.digest()) === expected &&
        text(SeenSet.from(digests[0]!).digest()) === text(digests[0]!)
      )
    }),
  )
  t.pass()
})

test('nothing once seen is ever not', t => {
  fc.assert(
    fc.property(fc.array(step), fc.array(step), (a, b) => {
      const set = build(a)
      const before = LIVES.flatMap(life => [1, 2, 3, 4, 5, 6].filter(seq => set.has(life, seq)).map(seq => [life, seq]))
      const other = build(b)
      set.claim(other.digest())
      return (
        before.every(([life, seq]) => set.has(String(life), Number(seq))) &&
        LIVES.every(life => [1, 2, 3, 4, 5, 6].every(seq => !other.has(life, seq) || set.has(life, seq)))
      )
    }),
  )
  t.pass()
})

test('a claim says when it had no room', t => {
  const ranges = (from: number, count: number): [number, number][] =>
    Array.from({ length: count }, (_, i) => [from + 4 * i, from + 4 * i])
  const set = SeenSet.from([{ origin: first, base: 0, ranges: ranges(3, 16_000) }])
  t.true(set.claim([{ origin: first, base: 0, ranges: ranges(5, 300) }]))
  t.false(set.claim([{ origin: first, base: 0, ranges: ranges(100_005, 300) }]))
})

test("digests and headers carry the mark, the sender's origin and the lives that are over", t => {
  const set = build([
    { life: 0, seq: 1 },
    { life: 1, seq: 2 },
    { life: 4, seq: 1 },
  ])
  set.close([first])
  const digest = set.digest()
  const message: ReplicationMessage = { kind: 'digest', digest, members: [], ready: true, origin: fifth }
  t.deepEqual(decodeMessage(encodeMessage(message)), message)
  const header: ReplicationMessage = {
    kind: 'reconcileHeader',
    id: 1,
    digest,
    members: [],
    hashes: Array.from({ length: 1_024 }, () => ({ high: 0, low: 0 })),
    buried: [],
    ended: [{ origin: second, ageMs: 90_000 }],
  }
  t.deepEqual(decodeMessage(encodeMessage(header)), header)
  const far = Object.assign([], { closedBeforeMs: 2 ** 48 })
  const bytes = encodeMessage({ kind: 'digest', digest: far, members: [], ready: true })
  t.throws(() => decodeMessage(bytes), { message: 'A time is out of range' })
})
