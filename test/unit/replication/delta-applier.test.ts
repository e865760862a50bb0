import test from 'ava'
import type { Delta } from '../../../lib/replication/delta.js'
import { DeltaApplier } from '../../../lib/replication/delta-applier.js'
import { PackedRecord } from '../../../lib/replication/packed-record.js'
import { Peers } from '../../../lib/replication/peers.js'
import { resolveReplicaOptions } from '../../../lib/replication/replica-options.js'
import { ReplicaState } from '../../../lib/replication/replica-state.js'
import { SeenSet } from '../../../lib/replication/seen-set.js'
import { SmallMap } from '../../../lib/replication/small-map.js'
import { UpheldRemovals } from '../../../lib/replication/upheld-removals.js'

const START_MS = 1_700_000_000_000
const [OWN, OTHER] = ['1'.repeat(32), '2'.repeat(32)] as const

interface Lone {
  state: ReplicaState
  applier: DeltaApplier
  /** Lets a tick pass: nobody else is there whose turn it could be. */
  upheld(): string[]
}

function member(): Lone {
  const env = {
    id: OWN,
    send: (): void => {},
    monotonic: (): number => 0,
    clusterTime: (): number => START_MS,
    random: { uint32: (): number => 0 },
  }
  const state = new ReplicaState(env, resolveReplicaOptions({}), () => {})
  const ended: string[] = []
  const removals = new UpheldRemovals(state, new Peers({ id: OWN, name: OWN }), key => ({
    origin: OWN,
    seq: ended.push(key),
  }))
  const applier = new DeltaApplier(state, () => {}, removals)
  const upheld = (): string[] => {
    removals.tick()
    return ended
  }
  return { state, applier, upheld }
}

function delta(kind: Delta['kind'], key: string, seq: number): Delta {
  const stamp = { wallMs: START_MS + seq, counter: 0, origin: OTHER, seq }
  const deps = kind === 'create' ? [] : ([[OTHER, seq - 1]] as const)
  return { kind, key, stamp, deps, writes: new SmallMap([['x', Buffer.from(String(seq))]]) }
}

/** Records as a donor has them. */
function records(count: number): PackedRecord[] {
  const { state, applier } = member()
  for (let seq = 1; seq <= count; seq++) applier.apply(delta('create', `${OTHER}#${seq}`, seq), 'remote')
  return [...state.records.keys()].map(key => {
    const { bytes, ageMs, hash } = state.records.outgoing(key, 0)!
    return new PackedRecord(bytes, ageMs, hash)
  })
}

test('the hashes a donor tells are taken over', t => {
  const { state, applier } = member()
  for (const record of records(200)) applier.mergePacked(record)
  t.is(state.records.size, 200)
  t.is(state.counters.hashesWrong, 0)
})

test('a donor that tells wrong hashes is found out, and the right ones are made from then on', t => {
  const { state, applier } = member()
  const told = records(200)
  for (const { source, start, end } of told)
    applier.mergePacked(new PackedRecord(source, 0, { high: 1, low: 2 }, start, end))
  t.true(state.counters.hashesWrong > 0)
  t.deepEqual(state.hash(told[0]!.key), told[0]!.hash)
  t.deepEqual(state.hash(told[199]!.key), told[199]!.hash)
})

test('news of a record that is gone for good ends it for everybody, once, and what is known does not', t => {
  const key = `${OTHER}#1`
  const { state, applier, upheld } = member()
  applier.apply(delta('create', key, 1), 'remote')
  const old = state.records.peek(key)!.snapshot(0)
  applier.apply(delta('write', key, 2), 'remote')
  const newer = state.records.peek(key)!.snapshot(0)
  state.remove(key, 'expired', 'local')
  t.true(applier.mergeRecord(old, true))
  t.true(applier.mergeRecord(newer, true))
  t.is(applier.apply({ ...delta('expire', key, 3), writes: new SmallMap(), limit: newer.access }, 'remote'), 'done')
  t.deepEqual(upheld(), [])
  t.is(applier.apply(delta('write', key, 4), 'remote'), 'done')
  t.deepEqual(upheld(), [key])
  t.true(applier.mergeRecord({ ...newer, context: [[OTHER, 5]] }, true))
  t.deepEqual(upheld(), [key])
  t.false(state.records.has(key))
})

test('where both sides are at odds about closed origins, every record that is gone for one of them is ended for all', t => {
  const key = `${OTHER}#1`
  const { state, applier, upheld } = member()
  applier.apply(delta('create', key, 1), 'remote')
  const snapshot = state.records.peek(key)!.snapshot(0)
  state.remove(key, 'invalidated', 'remote')
  applier.mergeRecord(snapshot, true)
  t.deepEqual(upheld(), [])
  applier.mergeRecord(snapshot, true, true)
  t.deepEqual(upheld(), [key])
})

test('an end of which no delta tells any more, since its origin is closed, is told again', t => {
  const ender = '0'.repeat(32)
  const key = `${OTHER}#1`
  const { state, applier, upheld } = member()
  applier.apply(delta('create', key, 1), 'remote')
  const end = { ...delta('invalidate', key, 2), stamp: { wallMs: START_MS, counter: 0, origin: ender, seq: 1 } }
  applier.apply({ ...end, writes: new SmallMap() }, 'remote')
  applier.apply(delta('write', key, 3), 'remote')
  t.deepEqual(upheld(), [])
  state.seen.close([ender])
  t.true(state.seen.isClosed(ender))
  applier.apply(delta('write', key, 4), 'remote')
  t.deepEqual(upheld(), [key])
})

test('what goes with a claim leaves no tombstone: whoever is being sent the rest is to begin anew', t => {
  const key = `${OTHER}#1`
  const { state, applier, upheld } = member()
  applier.apply(delta('create', key, 1), 'remote')
  applier.drop(key, SeenSet.from([{ origin: OTHER, base: 2, ranges: [] }]), false)
  t.false(state.records.has(key))
  t.is(state.closures, 1)
  applier.drop(key, SeenSet.from([{ origin: OTHER, base: 2, ranges: [] }]), false)
  t.is(state.closures, 1)
  t.deepEqual(upheld(), [])
})
