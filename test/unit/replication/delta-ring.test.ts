import test from 'ava'
import { type Delta, deltaBytes, NO_WRITES } from '../../../lib/replication/delta.js'
import { DeltaRing } from '../../../lib/replication/delta-ring.js'

function delta(origin: string, seq: number): Delta {
  const stamp = { wallMs: 1, counter: 0, origin, seq }
  return { kind: 'renew', key: 'a#1', stamp, deps: [], writes: NO_WRITES }
}

test('keeps the newest within its bytes and finds them by dot', t => {
  const size = deltaBytes(delta('a', 1))
  const ring = new DeltaRing(3 * size)
  for (let seq = 1; seq <= 2_000; seq++) ring.add(delta(seq % 2 === 0 ? 'a' : 'b', seq))
  t.is(ring.size, 3)
  t.is(ring.bytes, 3 * size)
  t.is(ring.get('a', 1_996), undefined)
  t.is(ring.get('a', 2_000)?.stamp.seq, 2_000)
  t.true(ring.order(ring.get('b', 1_999)!) < ring.order(ring.get('a', 2_000)!))
})

test('takes a dot once', t => {
  const ring = new DeltaRing(1_000)
  ring.add(delta('a', 1))
  ring.add(delta('a', 1))
  t.is(ring.size, 1)
})

test('a delta larger than the ring is not kept', t => {
  const ring = new DeltaRing(10)
  ring.add(delta('a', 1))
  t.is(ring.size, 0)
  t.is(ring.bytes, 0)
})
