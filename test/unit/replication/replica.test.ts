import test from 'ava'
import { MessageTooLargeError } from '../../../lib/errors.js'
import type { MemberId } from '../../../lib/membership/member.js'
import { NO_WRITES } from '../../../lib/replication/delta.js'
import { Replica } from '../../../lib/replication/replica.js'
import { MAX_INACTIVE } from '../../../lib/replication/replica-contract.js'
import type { ReplicaOptionsInput } from '../../../lib/replication/replica-options.js'
import { type AccessStamp, compareStamps } from '../../../lib/replication/stamp.js'
import { PerfectNetwork, pair } from './perfect-network.js'

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))

test('alone it is ready after the join time-out, and a second member transfers at once', t => {
  const network = new PerfectNetwork()
  const a = network.add()
  network.run(1_000)
  t.false(a.ready)
  network.run(100)
  t.true(a.ready)
  const keys = Array.from({ length: 500 }, (_, i) => a.create(new Map([['n', bytes(`${i}`)]])).key)
  const b = network.add()
  t.true(b.ready)
  t.is(b.size, 500)
  t.deepEqual(b.canonicalRecords(), a.canonicalRecords())
  t.deepEqual(b.bucketHashes(), a.bucketHashes())
  t.true(keys.every(key => b.has(key)))
})

test('a large bucket travels in pieces', t => {
  const network = new PerfectNetwork()
  const a = network.add()
  network.run(1_100)
  for (let i = 0; i < 40; i++) a.create(new Map([['n', new Uint8Array(300)]]))
  const b = network.add({ chunkBytes: 100 })
  t.deepEqual(b.canonicalRecords(), a.canonicalRecords())
  t.true(b.ready)
})

test('create, write, remove an attribute and invalidate reach the other, with one change each', t => {
  const { network, a, b } = pair()
  const { key, dot } = a.create(
    new Map([
      ['x', bytes('1')],
      ['y', bytes('2')],
    ]),
  )
  network.flush()
  t.like(dot, { origin: a.id, seq: 1 })
  t.deepEqual(b.attribute(key, 'x'), bytes('1'))
  b.write(
    key,
    new Map([
      ['x', undefined],
      ['z', bytes('3')],
    ]),
  )
  network.flush()
  t.deepEqual([...a.attributes(key)!.keys()], ['y', 'z'])
  a.invalidate(key)
  network.flush()
  t.false(b.has(key))
  t.is(b.write(key, new Map()), undefined)
  const told = network.members[1]!.changes.map(({ kind, cause }) => `${kind} ${cause}`)
  t.deepEqual(told, ['created remote', 'changed local', 'removed remote'])
})

test('what a listener writes because of a write goes out after it', t => {
  const sent: string[] = []
  const replica: Replica = new Replica(
    {
      id: '1'.repeat(32),
      send: (_, message) => {
        if (message.kind === 'delta') sent.push(`${message.delta.stamp.seq} ${[...message.delta.writes.keys()]}`)
      },
      monotonic: () => 0,
      clusterTime: () => 1_000_000,
      random: { uint32: () => 0 },
    },
    {},
    {
      changed: ({ kind, key, names }) => {
        if (kind === 'changed' && names.includes('cause')) replica.write(key, new Map([['effect', bytes('2')]]))
      },
    },
  )
  const { key } = replica.create(new Map([['n', bytes('0')]]))
  replica.write(key, new Map([['cause', bytes('1')]]))
  t.deepEqual(sent, ['1 n', '2 cause', '3 effect'])
  t.deepEqual([...replica.attributes(key)!.keys()], ['n', 'cause', 'effect'])
})

test('what the last delta of a record says is told where it arrives, and kept nowhere', t => {
  const { network, a, b } = pair()
  const { key } = a.create(new Map([['x', bytes('1')]]))
  network.flush()
  b.invalidate(
    key,
    {},
    new Map([
      ['why', bytes('2')],
      ['x', undefined],
    ]),
  )
  network.flush()
  for (const { replica, changes } of network.members) {
    const before = changes.at(-1)?.before
    t.deepEqual([...(before ?? [])].sort(), [
      ['why', bytes('2')],
      ['x', bytes('1')],
    ])
    t.is(replica.size, 0)
  }
})

test('a lost delta is pulled after the next heartbeat', t => {
  const { network, a, b } = pair()
  network.filter = message => message.kind !== 'delta'
  const { key } = a.create(new Map([['x', bytes('1')]]))
  network.flush()
  network.filter = () => true
  network.run(600)
  t.true(b.has(key))
  t.is(b.stats().reconciles, 1)
})

test('what the ring no longer has is reconciled, deletions included', t => {
  const { network, a, b } = pair({ ringBytes: 0 })
  const gone = a.create(new Map([['x', bytes('1')]])).key
  network.flush()
  network.filter = message => message.kind !== 'delta'
  a.invalidate(gone)
  const { key } = a.create(new Map([['x', bytes('1')]]))
  network.flush()
  network.filter = () => true
  network.run(1_200)
  t.deepEqual(b.canonicalRecords(), a.canonicalRecords())
  t.true(b.has(key))
  t.false(b.has(gone))
})

test('a comparison of many records asks in small portions', t => {
  const { network, a, b } = pair({ ringBytes: 0 })
  const keys = Array.from({ length: 4_000 }, () => a.create(new Map([['x', bytes('1')]])).key)
  network.flush()
  network.filter = message => message.kind !== 'delta'
  for (const key of keys.filter((_, n) => n % 2 === 0)) a.write(key, new Map([['x', bytes('2')]]))
  network.flush()
  network.filter = () => true
  network.sent.length = 0
  network.run(1_200)
  t.deepEqual(b.canonicalRecords(), a.canonicalRecords())
  const told = network.sent.map(message => (message.kind === 'reconcileRequest' ? message.have.length : 0))
  t.true(Math.max(...told) > 256)
  t.true(Math.max(...told) <= 512, 'to go through them holds up what else the donor does')
})

test('a delta whose cause is missing is deferred and fetched', t => {
  const { network, a, b } = pair()
  network.filter = message => message.kind !== 'delta'
  const { key } = a.create(new Map([['x', bytes('1')]]))
  network.flush()
  network.filter = () => true
  a.write(key, new Map([['y', bytes('2')]]))
  const delta = network.sent.findLast(message => message.kind === 'delta')!
  t.is(b.receive(delta, a.id), 'deferred')
  network.flush()
  t.deepEqual([...b.attributes(key)!.keys()], ['x', 'y'])
  t.is(b.receive(delta, a.id), 'applied')
})

test('a joiner acknowledges nothing it does not hold', t => {
  const { network, a } = pair()
  network.filter = message => !message.kind.startsWith('reconcile')
  const late = network.add()
  t.false(late.ready)
  const { key } = a.create(new Map([['x', bytes('1')]]))
  network.flush()
  t.true(late.has(key))
  const other = network.sent.findLast(message => message.kind === 'delta')!
  t.is(late.receive(other, a.id), 'applied')
  a.invalidate(key)
  t.is(late.receive(network.sent.findLast(message => message.kind === 'delta')!, a.id), 'deferred')
})

test('a stamp too far ahead is rejected and not marked', t => {
  const { network, a, b } = pair()
  network.skewMs = 20_000
  network.filter = () => false
  const { dot } = a.create(new Map())
  network.skewMs = 0
  t.is(b.receive(network.sent.at(-1)!, a.id), 'rejected')
  t.false(b.seen(dot.origin, dot.seq))
  t.is(b.stats().rejectedAhead, 1)
})

test('an idle record expires everywhere, one in use nowhere', t => {
  const { network, a, b } = pair()
  const limit: [string, Uint8Array] = [MAX_INACTIVE, bytes('5')]
  const idle = a.create(new Map([limit])).key
  const used = a.create(new Map([limit])).key
  network.flush()
  for (let i = 0; i < 20; i++) {
    network.run(1_000)
    b.touch(used)
  }
  t.false(a.has(idle))
  t.false(b.has(idle))
  t.true(a.has(used))
  t.true(b.has(used))
  const removed = network.members[1]!.changes.find(change => change.kind === 'removed')
  t.is(removed?.reason, 'expired')
})

test("a stall is nobody's idle time", t => {
  const { network, a } = pair()
  const { key } = a.create(new Map([[MAX_INACTIVE, bytes('5')]]))
  network.flush()
  network.now += 60_000
  network.run(1_000)
  t.true(a.has(key))
  t.true(a.idleMs(key)! < 2_000)
  t.is(a.stats().stalls, 1)
  network.run(15_000)
  t.false(a.has(key))
})

test('limits are refused before anything changes', t => {
  const { a } = pair()
  const refused = (writes: Map<string, Uint8Array>): void => {
    t.throws(() => a.create(writes), { instanceOf: MessageTooLargeError })
  }
  refused(new Map([['x'.repeat(257), bytes('1')]]))
  refused(new Map([['x', new Uint8Array(1024 * 1024 + 1)]]))
  refused(new Map(Array.from({ length: 1_025 }, (_, i) => [`n${i}`, bytes('')])))
  refused(new Map(Array.from({ length: 5 }, (_, i) => [`n${i}`, new Uint8Array(1024 * 1024)])))
  t.is(a.size, 0)
  t.deepEqual(a.digest(), [])
  t.notThrows(() => a.create(new Map(Array.from({ length: 1_024 }, (_, i) => [`n${i}`, bytes('')]))))
})

test('tombstones stay within their bound', t => {
  const { network, a } = pair({ tombstonesMax: 10 })
  network.filter = () => false
  for (let i = 0; i < 50; i++) a.invalidate(a.create(new Map()).key)
  network.run(100)
  t.true(a.tombstones.size <= 10)
})

test('who is present and says nothing of these records keeps no tombstone from being forgotten', t => {
  const { network, a, b } = pair()
  network.run(6_000)
  const other = 'f'.repeat(32)
  for (const replica of [a, b]) replica.memberAdded({ id: other, name: other, host: '', port: 0 })
  for (let i = 0; i < 5; i++) a.invalidate(a.create(new Map()).key)
  network.flush()
  network.run(1_000)
  t.is(a.tombstones.size, 5, 'it may be about to say something')
  network.run(2_000)
  t.is(a.tombstones.size, 0)
  t.is(b.tombstones.size, 0)
})

test('refill sends the present state of what was lost', t => {
  const { network, a, b } = pair()
  network.filter = message => message.kind !== 'delta'
  const { key } = a.create(new Map([['x', bytes('1')]]))
  network.flush()
  a.refill(b.id, new Set([key]), false)
  network.flush()
  t.true(b.has(key))
})

test('several joiners without anybody ready: the lowest id goes first, the others follow', t => {
  const network = new PerfectNetwork()
  network.add()
  network.add()
  network.add()
  network.run(2_000)
  t.true(network.members.every(({ replica }) => replica.ready))
  t.deepEqual(
    network.members.map(({ replica }) => replica.stats().startedAlone),
    [1, 0, 0],
  )
})

test('a removed record that comes late into a bucket already compared does not stay beside its claimed removal', t => {
  const { network, a, b } = pair({ ringBytes: 0 })
  a.memberDisappeared({ id: b.id })
  network.filter = () => false
  const { key } = a.create(new Map([['x', bytes('1')]]))
  const late = network.sent.findLast(message => message.kind === 'delta')!
  const { dot } = a.invalidate(key)!
  const kept = a.create(new Map([['x', bytes('2')]])).key
  network.run(500)
  t.is(a.tombstones.size, 0)
  a.memberAdded({ id: b.id, name: b.id, host: '', port: 0 })
  network.filter = message => message.kind !== 'reconcileRequest'
  for (let i = 0; i < 50 && !network.sent.some(message => message.kind === 'reconcileRequest'); i++) network.run(100)
  t.is(b.receive(late, a.id), 'applied')
  t.true(b.has(key))
  network.filter = () => true
  for (let i = 0; i < 30; i++) {
    network.run(100)
    t.false(b.has(key) && b.seen(dot.origin, dot.seq))
  }
  t.false(b.has(key))
  t.true(b.has(kept))
  t.deepEqual(b.digest(), a.digest())
  t.is(b.stats().divergences, 0)
})

test('a step back of cluster time leaves stamps monotone, and the writes are accepted', t => {
  const { network, a, b } = pair()
  const { key, stamp: first } = a.create(new Map([['x', bytes('1')]]))
  network.flush()
  network.skewsMs.set(a.id, -5_000)
  const { stamp: second } = a.write(key, new Map([['x', bytes('2')]]))!
  network.flush()
  t.true(compareStamps(second, first) > 0)
  t.deepEqual(b.attribute(key, 'x'), bytes('2'))
  network.skewsMs.set(b.id, -5_000)
  const { stamp: third } = b.write(key, new Map([['x', bytes('3')]]))!
  network.flush()
  t.true(compareStamps(third, second) > 0)
  t.deepEqual(a.attribute(key, 'x'), bytes('3'))
  t.is(a.stats().rejectedAhead + b.stats().rejectedAhead, 0)
})

for (const skewMs of [-20_000, 20_000]) {
  test(`a joiner whose clock is ${skewMs} ms off until it settles becomes equal, and its writes are accepted`, t => {
    const network = new PerfectNetwork()
    const a = network.add()
    network.run(1_200)
    const { key } = a.create(new Map([['x', bytes('1')]]))
    const id = '2'.repeat(32)
    network.skewsMs.set(id, skewMs)
    const b = network.add()
    network.run(500)
    network.skewsMs.set(id, 0)
    network.run(3_000)
    t.true(b.ready)
    t.deepEqual(b.canonicalRecords(), a.canonicalRecords())
    t.deepEqual(b.digest(), a.digest())
    b.write(key, new Map([['x', bytes('2')]]))
    network.flush()
    t.deepEqual(a.attribute(key, 'x'), bytes('2'))
    t.is(a.stats().rejectedAhead, 0)
  })
}

/** `a` and `b` with one record that may expire, cut from each other. */
function apart(options: ReplicaOptionsInput = {}): {
  network: PerfectNetwork
  a: Replica
  b: Replica
  key: string
  limit: AccessStamp
} {
  const { network, a, b } = pair({ ringBytes: 0, ...options })
  const { key } = a.create(new Map([['x', bytes('1')]]))
  network.flush()
  const { wallMs, counter, origin } = b.inspect(key)!.access
  a.memberDisappeared({ id: b.id })
  b.memberDisappeared({ id: a.id })
  network.filter = () => false
  network.now += 100
  return { network, a, b, key, limit: { wallMs, counter, origin } }
}

function expire(replica: Replica, from: MemberId, key: string, limit: AccessStamp): void {
  const stamp = { ...replica.stamp(key, 'x')!, origin: '3'.repeat(32), seq: 1 }
  replica.receive({ kind: 'delta', delta: { kind: 'expire', key, stamp, deps: [], writes: NO_WRITES, limit } }, from)
}

function together({ network, a, b }: { network: PerfectNetwork; a: Replica; b: Replica }): void {
  network.filter = () => true
  a.memberAdded({ id: b.id, name: b.id, host: '', port: 0 })
  b.memberAdded({ id: a.id, name: a.id, host: '', port: 0 })
  network.run(2_000)
}

test('an expired record is out of sight and not gone while somebody is away, and a later use there shows it whole', t => {
  const { network, a, b, key, limit } = apart()
  b.write(key, new Map([['only here', bytes('2')]]))
  const { access } = b.inspect(key)!
  a.write(key, new Map([['y', bytes('3')]]))
  expire(b, a.id, key, { wallMs: access.wallMs, counter: access.counter, origin: access.origin })
  t.true(limit.wallMs <= access.wallMs)
  t.false(b.has(key))
  t.is(b.size, 0)
  t.is(b.write(key, new Map([['x', bytes('4')]])), undefined)
  network.run(5_000)
  t.is(b.stats().expiredKept, 1)
  network.now += 5
  a.write(key, new Map([['z', bytes('5')]]))
  together({ network, a, b })
  for (const name of ['x', 'only here', 'y', 'z']) t.deepEqual(a.attribute(key, name), b.attribute(key, name), name)
  t.deepEqual(a.attribute(key, 'only here'), bytes('2'))
  t.deepEqual(a.digest(), b.digest())
  t.is(b.stats().expiredKept, 0)
})

test('an expired record that all have agreed on is dropped everywhere', t => {
  const { network, a, b } = pair()
  const { key } = a.create(
    new Map([
      ['x', bytes('1')],
      [MAX_INACTIVE, bytes('1')],
    ]),
  )
  network.run(10_000)
  for (const replica of [a, b]) {
    t.false(replica.has(key))
    t.is(replica.stats().expiredKept, 0)
  }
  t.deepEqual(a.digest(), b.digest())
})

test('what expired here and is unknown to the donor, who had seen it created, is not brought back by a later use', t => {
  const { network, a, b, key, limit } = apart()
  a.write(key, new Map([['x', bytes('2')]]))
  const used = network.sent.findLast(message => message.kind === 'delta')!
  a.invalidate(key)
  network.run(500)
  t.is(a.tombstones.size, 0)
  expire(b, a.id, key, limit)
  t.is(b.stats().expiredKept, 1)
  together({ network, a, b })
  t.deepEqual(a.digest(), b.digest())
  t.is(b.stats().expiredKept, 0)
  t.is(b.receive(used, a.id), 'applied')
  t.false(b.has(key))
})

for (const ringBytes of [0, 1_000_000]) {
  const way = ringBytes === 0 ? 'comparison' : 'delta'
  test(`who comes back after being forgotten, with a record that expired meanwhile, is told of its end by ${way}`, t => {
    const { network, a, b, key, limit } = apart({ forgetMemberAfterMs: 1_000, ringBytes })
    expire(a, b.id, key, limit)
    network.run(2_000)
    t.is(a.stats().expiredKept, 0)
    b.touch(key)
    expire(b, a.id, key, limit)
    t.true(b.has(key))
    t.is(b.stats().renewed, 1)
    together({ network, a, b })
    t.false(a.has(key))
    t.false(b.has(key))
    t.deepEqual(a.digest(), b.digest())
    t.true(a.stats().removalsUpheld + b.stats().removalsUpheld > 0)
    t.is(a.stats().divergences + b.stats().divergences, 0)
  })
}

test('expired records stay within the bound of removals, and the oldest are dropped for good', t => {
  const { network, a, b } = pair({ tombstonesMax: 10 })
  a.memberDisappeared({ id: b.id })
  network.filter = () => false
  const keys = Array.from(
    { length: 30 },
    () =>
      a.create(
        new Map([
          ['x', bytes('1')],
          [MAX_INACTIVE, bytes('1')],
        ]),
      ).key,
  )
  network.run(20_000)
  t.is(a.size, 0)
  const { expiredKept, tombstones, expiriesOverflowed } = a.stats()
  t.is(expiredKept + tombstones, 10)
  t.is(expiriesOverflowed, 20)
  t.true(keys.every(key => !a.has(key)))
})

test('reading every record in one go leaves no more of them unpacked than allowed, and what ended holds no memory', t => {
  const { a } = pair({ unpackedRecordsMax: 20 })
  const keys = Array.from({ length: 500 }, (_, i) => a.create(new Map([['x', bytes(String(i))]])).key)
  for (const [i, key] of keys.entries()) t.deepEqual(a.attributes(key)?.get('x'), bytes(String(i)))
  t.true(a.stats().unpacked <= 21)
  for (const key of keys) a.invalidate(key)
  t.is(a.stats().unpacked, 0)
})
