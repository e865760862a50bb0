import test from 'ava'
import { bucketOf } from '../../../lib/replication/bucket-index.js'
import type { Replica } from '../../../lib/replication/replica.js'
import type { RecordKey } from '../../../lib/replication/replica-contract.js'
import type { ReplicaOptionsInput } from '../../../lib/replication/replica-options.js'
import { PerfectNetwork } from './perfect-network.js'

/** A comparison asks for every third bucket at a time. */
const LANES = 3

interface Joining {
  readonly network: PerfectNetwork
  readonly holder: Replica
  readonly newcomer: Replica
  /** Records that the newcomer has, and others that are still to come. */
  readonly here: readonly RecordKey[]
  readonly toCome: readonly RecordKey[]
  /** Lets the state transfer end. */
  end(): void
}

/** A newcomer to which one lane of the state transfer has come; the requests of the others got lost. */
function halfJoined(options: ReplicaOptionsInput = {}): Joining {
  const network = new PerfectNetwork()
  const holder = network.add()
  network.run(1_200)
  const keys = Array.from({ length: 60 }, () => holder.create(new Map([['x', new Uint8Array(8)]])).key)
  network.filter = message => message.kind !== 'reconcileRequest' || message.buckets[0]! % LANES === 0
  const newcomer = network.add(options)
  const isHere = (key: RecordKey): boolean => bucketOf(key) % LANES === 0
  return {
    network,
    holder,
    newcomer,
    here: keys.filter(isHere),
    toCome: keys.filter(key => !isHere(key)),
    end() {
      network.filter = () => true
      network.run(600)
    },
  }
}

function write(replica: Replica, key: RecordKey, value: number): void {
  replica.write(key, new Map([['x', new Uint8Array([value])]]))
}

test('what was written to a record before it came is part of it, and not asked for again', t => {
  const { network, holder, newcomer, toCome, end } = halfJoined()
  for (let value = 1; value <= 5; value++) for (const key of toCome) write(holder, key, value)
  network.flush()
  t.is(newcomer.stats().deferred, 5 * toCome.length)
  t.is(newcomer.stats().fetches, 0, 'they are about to come')
  end()
  t.true(newcomer.ready)
  t.deepEqual(newcomer.digest(), holder.digest())
  t.deepEqual(newcomer.canonicalRecords(), holder.canonicalRecords())
  t.is(newcomer.stats().pulls, 0)
  t.is(newcomer.stats().reconciles, 1)
})

test('a record that came before a write that got lost is fetched, and followed from then on', t => {
  const { network, holder, newcomer, here, end } = halfJoined()
  const [key] = here as [RecordKey]
  const { filter } = network
  network.filter = message => message.kind !== 'delta'
  write(holder, key, 1)
  network.flush()
  network.filter = filter
  write(holder, key, 2)
  network.flush()
  t.false(newcomer.ready)
  t.is(newcomer.stats().fetches, 1)
  t.deepEqual(newcomer.attribute(key, 'x'), new Uint8Array([2]))
  write(holder, key, 3)
  network.flush()
  t.is(newcomer.stats().deferred, 1)
  t.deepEqual(newcomer.attribute(key, 'x'), new Uint8Array([3]))
  end()
  network.run(500)
  t.deepEqual(newcomer.digest(), holder.digest())
})

test('writes to records here and not yet here make more gaps than a ready member would bear', t => {
  const { network, holder, newcomer, here, toCome, end } = halfJoined({ seenRangesMax: 4 })
  const [known] = here as [RecordKey]
  const [unknown] = toCome as [RecordKey]
  for (let value = 1; value <= 20; value++) {
    write(holder, known, value)
    write(holder, unknown, value)
  }
  network.flush()
  t.deepEqual(newcomer.attribute(known, 'x'), new Uint8Array([20]))
  t.is(newcomer.stats().withoutRoom, 0)
  end()
  t.deepEqual(newcomer.digest(), holder.digest())
  t.is(newcomer.stats().reconciles, 1)
})

test('the scatter of a large transfer leaves room for what is written meanwhile', t => {
  const network = new PerfectNetwork()
  const holder = network.add()
  network.run(1_200)
  const keys = Array.from({ length: 80_000 }, () => holder.create(new Map([['x', new Uint8Array(8)]])).key)
  network.sent.length = 0
  let pieces = 0
  let lost: RecordKey | undefined
  network.filter = (message, _from, to) => {
    if (message.kind !== 'reconcileChunk') return message.kind !== 'delta' || message.delta.key !== lost
    pieces++
    const held = network.members.find(({ id }) => id === to)!.replica
    for (let n = 0; n < 20; n++) write(holder, keys[(pieces * 20 + n) * 13]!, pieces)
    if (pieces !== 120) return true
    const known = [...held.keys()].at(-1)!
    lost = known
    write(holder, known, 1)
    lost = undefined
    write(holder, known, 2)
    return true
  }
  const newcomer = network.add()
  t.true(newcomer.ready)
  t.true(pieces > 180)
  const { withoutRoom, deferred, fetches } = newcomer.stats()
  t.is(withoutRoom, 0)
  t.true(deferred > 500)
  t.is(fetches, 1)
  network.filter = () => true
  network.run(1_200)
  t.deepEqual(newcomer.digest(), holder.digest())
  t.deepEqual(newcomer.bucketHashes(), holder.bucketHashes())
  t.is(newcomer.stats().reconciles, 1)
})
