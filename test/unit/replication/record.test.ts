import test from 'ava'
import fc from 'fast-check'
import { canonicalRecord } from '../../../lib/replication/canonical.js'
import type { AttributeState, RecordSnapshot } from '../../../lib/replication/delta.js'
import { attributeMix, keyMix, limitMix, presenceMix, xor } from '../../../lib/replication/mix.js'
import { CONTEXT_MAX, ReplicaRecord } from '../../../lib/replication/record.js'
import { SmallMap } from '../../../lib/replication/small-map.js'
import { NEVER } from '../../../lib/replication/stamp.js'

const KEY = 'a#1'
const origin = fc.constantFrom('a', 'b', 'c')
/** A dot decides the whole write, as in life. */
const attribute = fc
  .record({ origin, seq: fc.integer({ min: 1, max: 6 }), name: fc.constantFrom('x', 'y') })
  .map(({ origin, seq, name }): [string, AttributeState] => {
    const stamp = { wallMs: (seq * 7) % 4, counter: seq % 2, origin, seq }
    return [name, seq % 3 === 0 ? { stamp } : { stamp, value: Uint8Array.of(seq, origin.charCodeAt(0)) }]
  })
const snapshot = fc
  .record({
    attributes: fc.array(attribute, { maxLength: 6 }),
    context: fc.array(fc.tuple(origin, fc.integer({ min: 1, max: 9 })), { maxLength: 3 }),
    access: fc.record({ wallMs: fc.nat(5), counter: fc.nat(2), origin }),
    limit: fc.oneof(
      fc.constant(NEVER),
      fc.record({ wallMs: fc.integer({ min: 1, max: 5 }), counter: fc.nat(2), origin }),
    ),
  })
  .map((parts): RecordSnapshot => ({ key: KEY, ageMs: 0, ...parts }))

function joined(...snapshots: RecordSnapshot[]): string {
  const record = new ReplicaRecord(KEY, 0, 0)
  for (const each of snapshots) record.join(each, 100)
  let hash = presenceMix(KEY)
  let bytes = 0
  for (const [name, { stamp, value }] of record.attributes) {
    hash = xor(hash, attributeMix(keyMix(KEY), name, stamp))
    bytes += name.length + (value?.length ?? 0)
  }
  hash = xor(hash, limitMix(keyMix(KEY), record.limit))
  const context = [...record.context].sort()
  const upkeep = JSON.stringify(hash) === JSON.stringify(record.hash) && bytes === record.bytes
  return `${canonicalRecord(record)} ${JSON.stringify([context, record.access, record.limit, record.hash, upkeep])}`
}

function snapshotOf(...snapshots: RecordSnapshot[]): RecordSnapshot {
  const record = new ReplicaRecord(KEY, 0, 0)
  for (const each of snapshots) record.join(each, 100)
  return record.snapshot(100)
}

test('joining is commutative, associative and idempotent', t => {
  fc.assert(
    fc.property(snapshot, snapshot, snapshot, (a, b, c) => {
      const all = joined(a, b, c)
      return (
        all.endsWith('true]') &&
        all === joined(c, a, b) &&
        all === joined(b, a, c, a, b) &&
        all === joined(snapshotOf(a, b), c) &&
        all === joined(a, snapshotOf(b, c))
      )
    }),
  )
  t.pass()
})

test('a removed attribute stays as a stamp and beats an older value', t => {
  const record = new ReplicaRecord(KEY, 0, 0)
  const old = { wallMs: 1, counter: 0, origin: 'a', seq: 1 }
  const late = { wallMs: 2, counter: 0, origin: 'b', seq: 1 }
  const write = (stamp: typeof old, value: Uint8Array | undefined): string[] =>
    record.applyDelta({ kind: 'write', key: KEY, stamp, deps: [], writes: new SmallMap([['x', value]]) })
  t.deepEqual(write(late, undefined), [])
  t.deepEqual(write(old, Uint8Array.of(1)), [])
  t.is(record.value('x'), undefined)
  t.deepEqual(record.stamp('x'), late)
  t.is(record.live().size, 0)
})

test('the context forgets the oldest of more than 64 lives', t => {
  const record = new ReplicaRecord(KEY, 0, 0)
  const context = Array.from({ length: CONTEXT_MAX + 1 }, (_, i): [string, number] => [`m${i}`, 1])
  const access = { wallMs: 1, counter: 0, origin: 'a' }
  record.join({ key: KEY, attributes: [], context, access, ageMs: 0, limit: NEVER }, 0)
  t.is(record.context.length, CONTEXT_MAX)
  t.false(new Map(record.context).has('m0'))
})

test('a later use counts with its age, an earlier one does not', t => {
  const record = new ReplicaRecord(KEY, 0, 0)
  t.true(record.use({ wallMs: 5, counter: 0, origin: 'a' }, 40, 100))
  t.is(record.usedAtMs, 60)
  t.false(record.use({ wallMs: 4, counter: 9, origin: 'a' }, 0, 200))
  t.is(record.snapshot(100).ageMs, 40)
})

test('a context that was given out stays as it is, whatever is applied later', t => {
  const record = new ReplicaRecord(KEY, 0, 0)
  const apply = (origin: string, seq: number): void => {
    const stamp = { wallMs: seq, counter: 0, origin, seq }
    record.applyDelta({ kind: 'write', key: KEY, stamp, deps: [], writes: new SmallMap([['x', Uint8Array.of(seq)]]) })
  }
  const given: [readonly unknown[], string][] = []
  for (const [origin, seq] of [
    ['a', 1],
    ['a', 2],
    ['a', 1],
    ['b', 1],
    ['a', 3],
    ['a', 4],
    ['b', 2],
  ] as const) {
    apply(origin, seq)
    if (seq !== 2) given.push([record.context, JSON.stringify(record.context)])
  }
  for (const [context, text] of given) t.is(JSON.stringify(context), text)
  t.is(JSON.stringify(record.context), '[["a",4],["b",2]]')
  const alone = new ReplicaRecord(KEY, 0, 0)
  for (const seq of [1, 2, 5, 3]) alone.join({ ...alone.snapshot(0), context: [['a', seq]] }, 0)
  t.is(JSON.stringify(alone.context), '[["a",5]]')
})
