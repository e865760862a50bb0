import test from 'ava'
import { MessageTooLargeError } from '../../../lib/errors.js'
import type { MemberId } from '../../../lib/membership/member.js'
import { encodeMessage } from '../../../lib/replication/codec.js'
import { NO_WRITES } from '../../../lib/replication/delta.js'
import type { ReplicationMessage } from '../../../lib/replication/messages.js'
import { Replica } from '../../../lib/replication/replica.js'
import { MAX_INACTIVE, type RecordChange } from '../../../lib/replication/replica-contract.js'
import type { ReplicaOptionsInput } from '../../../lib/replication/replica-options.js'
import { type AccessStamp, compareStamps } from '../../../lib/replication/stamp.js'
import { receiveLent } from '../../helpers/lent.js'

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text))

/** Members on a perfect network without delay, unless a filter drops messages. */
class Bench {
  now = 0
  skewMs = 0
  readonly skewsMs = new Map<string, number>()
  readonly members: { id: string; replica: Replica; changes: RecordChange[] }[] = []
  readonly sent: ReplicationMessage[] = []
  filter: (message: ReplicationMessage, from: string, to: string) => boolean = () => true
  #queue: (() => void)[] = []

  add(options: ReplicaOptionsInput = {}): Replica {
    const id = (this.members.length + 1).toString(16).repeat(32)
    const changes: RecordChange[] = []
    const replica = new Replica(
      {
        id,
        send: (to, message) => {
          this.sent.push(message)
          const raw = encodeMessage(message)
          for (const other of this.members) {
            if (other.id === id || (to !== 'all' && !to.includes(other.id)) || !this.filter(message, id, other.id))
              continue
            this.#queue.push(() => receiveLent(other.replica, raw, id))
          }
        },
        monotonic: () => this.now,
        clusterTime: () => 1_000_000 + this.now + this.skewMs + (this.skewsMs.get(id) ?? 0),
        random: { uint32: () => 0 },
      },
      options,
      { changed: change => changes.push(change) },
    )
    this.members.push({ id, replica, changes })
    for (const other of this.members) {
      if (other.id === id) continue
      other.replica.memberAdded({ id, name: id, host: '', port: 0 })
      replica.memberAdded({ id: other.id, name: other.id, host: '', port: 0 })
    }
    this.flush()
    return replica
  }

  flush(): void {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) next()
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now += 100) {
      for (const { id, replica } of this.members) {
        replica.tick()
        this.flush()
        if (this.now % 500 !== 0) continue
        for (const other of this.members) if (other.id !== id) other.replica.advertised(replica.advertise(), id)
        this.flush()
      }
    }
  }
}

function pair(options: ReplicaOptionsInput = {}): { bench: Bench; a: Replica; b: Replica } {
  const bench = new Bench()
  const a = bench.add(options)
  bench.run(1_200)
  const b = bench.add(options)
  bench.run(100)
  return { bench, a, b }
}

test('alone it is ready after the join time-out, and a second member transfers at once', t => {
  const bench = new Bench()
  const a = bench.add()
  bench.run(1_000)
  t.false(a.ready)
  bench.run(100)
  t.true(a.ready)
  const keys = Array.from({ length: 500 }, (_, i) => a.create(new Map([['n', bytes(`${i}`)]])).key)
  const b = bench.add()
  t.true(b.ready)
  t.is(b.size, 500)
  t.deepEqual(b.canonicalRecords(), a.canonicalRecords())
  t.deepEqual(b.bucketHashes(), a.bucketHashes())
  t.true(keys.every(key => b.has(key)))
})

test('a large bucket travels in pieces', t => {
  const bench = new Bench()
  const a = bench.add()
  bench.run(1_100)
  for (let i = 0; i < 40; i++) a.create(new Map([['n', new Uint8Array(300)]]))
  const b = bench.add({ chunkBytes: 100 })
  t.deepEqual(b.canonicalRecords(), a.canonicalRecords())
  t.true(b.ready)
})

test('create, write, remove an attribute and invalidate reach the other, with one change each', t => {
  const { bench, a, b } = pair()
  const { key, dot } = a.create(
    new Map([
      ['x', bytes('1')],
      ['y', bytes('2')],
    ]),
  )
  bench.flush()
  t.like(dot, { origin: a.id, seq: 1 })
  t.deepEqual(b.attribute(key, 'x'), bytes('1'))
  b.write(
    key,
    new Map([
      ['x', undefined],
      ['z', bytes('3')],
    ]),
  )
  bench.flush()
  t.deepEqual([...a.attributes(key)!.keys()], ['y', 'z'])
  a.invalidate(key)
  bench.flush()
  t.false(b.has(key))
  t.is(b.write(key, new Map()), undefined)
  const told = bench.members[1]!.changes.map(({ kind, cause }) => `${kind} ${cause}`)
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
  const { bench, a, b } = pair()
  const { key } = a.create(new Map([['x', bytes('1')]]))
  bench.flush()
  b.invalidate(
    key,
    {},
    new Map([
      ['why', bytes('2')],
      ['x', undefined],
    ]),
  )
  bench.flush()
  for (const { replica, changes } of bench.members) {
    const before = changes.at(-1)?.before
    t.deepEqual([...(before ?? [])].sort(), [
      ['why', bytes('2')],
      ['x', bytes('1')],
    ])
    t.is(replica.size, 0)
  }
})

test('a lost delta is pulled after the next heartbeat', t => {
  const { bench, a, b } = pair()
  bench.filter = message => message.kind !== 'delta'
  const { key } = a.create(new Map([['x', bytes('1')]]))
  bench.flush()
  bench.filter = () => true
  bench.run(600)
  t.true(b.has(key))
  t.is(b.stats().reconciles, 1)
})

test('what the ring no longer has is reconciled, deletions included', t => {
  const { bench, a, b } = pair({ ringBytes: 0 })
  const gone = a.create(new Map([['x', bytes('1')]])).key
  bench.flush()
  bench.filter = message => message.kind !== 'delta'
  a.invalidate(gone)
  const { key } = a.create(new Map([['x', bytes('1')]]))
  bench.flush()
  bench.filter = () => true
  bench.run(1_200)
  t.deepEqual(b.canonicalRecords(), a.canonicalRecords())
  t.true(b.has(key))
  t.false(b.has(gone))
})

test('a comparison of many records asks in small portions', t => {
  const { bench, a, b } = pair({ ringBytes: 0 })
  const keys = Array.from({ length: 4_000 }, () => a.create(new Map([['x', bytes('1')]])).key)
  bench.flush()
  bench.filter = message => message.kind !== 'delta'
  for (const key of keys.filter((_, n) => n % 2 === 0)) a.write(key, new Map([['x', bytes('2')]]))
  bench.flush()
  bench.filter = () => true
  bench.sent.length = 0
  bench.run(1_200)
  t.deepEqual(b.canonicalRecords(), a.canonicalRecords())
  const told = bench.sent.map(message => (message.kind === 'reconcileRequest' ? message.have.length : 0))
  t.true(Math.max(...told) > 256)
  t.true(Math.max(...told) <= 512, 'to go through them holds up what else the donor does')
})

test('a delta whose cause is missing is deferred and fetched', t => {
  const { bench, a, b } = pair()
  bench.filter = message => message.kind !== 'delta'
  const { key } = a.create(new Map([['x', bytes('1')]]))
  bench.flush()
  bench.filter = () => true
  a.write(key, new Map([['y', bytes('2')]]))
  const delta = bench.sent.findLast(message => message.kind === 'delta')!
  t.is(b.receive(delta, a.id), 'deferred')
  bench.flush()
  t.deepEqual([...b.attributes(key)!.keys()], ['x', 'y'])
  t.is(b.receive(delta, a.id), 'applied')
})

test('a joiner acknowledges nothing it does not hold', t => {
  const { bench, a } = pair()
  bench.filter = message => !message.kind.startsWith('reconcile')
  const late = bench.add()
  t.false(late.ready)
  const { key } = a.create(new Map([['x', bytes('1')]]))
  bench.flush()
  t.true(late.has(key))
  const other = bench.sent.findLast(message => message.kind === 'delta')!
  t.is(late.receive(other, a.id), 'applied')
  a.invalidate(key)
  t.is(late.receive(bench.sent.findLast(message => message.kind === 'delta')!, a.id), 'deferred')
})

test('a stamp too far ahead is rejected and not marked', t => {
  const { bench, a, b } = pair()
  bench.skewMs = 20_000
  bench.filter = () => false
  const { dot } = a.create(new Map())
  bench.skewMs = 0
  t.is(b.receive(bench.sent.at(-1)!, a.id), 'rejected')
  t.false(b.seen(dot.origin, dot.seq))
  t.is(b.stats().rejectedAhead, 1)
})

test('an idle record expires everywhere, one in use nowhere', t => {
  const { bench, a, b } = pair()
  const limit: [string, Uint8Array] = [MAX_INACTIVE, bytes('5')]
  const idle = a.create(new Map([limit])).key
  const used = a.create(new Map([limit])).key
  bench.flush()
  for (let i = 0; i < 20; i++) {
    bench.run(1_000)
    b.touch(used)
  }
  t.false(a.has(idle))
  t.false(b.has(idle))
  t.true(a.has(used))
  t.true(b.has(used))
  const removed = bench.members[1]!.changes.find(change => change.kind === 'removed')
  t.is(removed?.reason, 'expired')
})

test("a stall is nobody's idle time", t => {
  const { bench, a } = pair()
  const { key } = a.create(new Map([[MAX_INACTIVE, bytes('5')]]))
  bench.flush()
  bench.now += 60_000
  bench.run(1_000)
  t.true(a.has(key))
  t.true(a.idleMs(key)! < 2_000)
  t.is(a.stats().stalls, 1)
  bench.run(15_000)
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
  const { bench, a } = pair({ tombstonesMax: 10 })
  bench.filter = () => false
  for (let i = 0; i < 50; i++) a.invalidate(a.create(new Map()).key)
  bench.run(100)
  t.true(a.tombstones.size <= 10)
})

test('refill sends the present state of what was lost', t => {
  const { bench, a, b } = pair()
  bench.filter = message => message.kind !== 'delta'
  const { key } = a.create(new Map([['x', bytes('1')]]))
  bench.flush()
  a.refill(b.id, new Set([key]), false)
  bench.flush()
  t.true(b.has(key))
})

test('several joiners without anybody ready: the lowest id goes first, the others follow', t => {
  const bench = new Bench()
  bench.add()
  bench.add()
  bench.add()
  bench.run(2_000)
  t.true(bench.members.every(({ replica }) => replica.ready))
  t.deepEqual(
    bench.members.map(({ replica }) => replica.stats().startedAlone),
    [1, 0, 0],
  )
})

test('a removed record that comes late into a bucket already compared does not stay beside its claimed removal', t => {
  const { bench, a, b } = pair({ ringBytes: 0 })
  a.memberDisappeared({ id: b.id })
  bench.filter = () => false
  const { key } = a.create(new Map([['x', bytes('1')]]))
  const late = bench.sent.findLast(message => message.kind === 'delta')!
  const { dot } = a.invalidate(key)!
  const kept = a.create(new Map([['x', bytes('2')]])).key
  bench.run(500)
  t.is(a.tombstones.size, 0)
  a.memberAdded({ id: b.id, name: b.id, host: '', port: 0 })
  bench.filter = message => message.kind !== 'reconcileRequest'
  for (let i = 0; i < 50 && !bench.sent.some(message => message.kind === 'reconcileRequest'); i++) bench.run(100)
  t.is(b.receive(late, a.id), 'applied')
  t.true(b.has(key))
  bench.filter = () => true
  for (let i = 0; i < 30; i++) {
    bench.run(100)
    t.false(b.has(key) && b.seen(dot.origin, dot.seq))
  }
  t.false(b.has(key))
  t.true(b.has(kept))
  t.deepEqual(b.digest(), a.digest())
  t.is(b.stats().divergences, 0)
})

test('a step back of cluster time leaves stamps monotone, and the writes are accepted', t => {
  const { bench, a, b } = pair()
  const { key, stamp: first } = a.create(new Map([['x', bytes('1')]]))
  bench.flush()
  bench.skewsMs.set(a.id, -5_000)
  const { stamp: second } = a.write(key, new Map([['x', bytes('2')]]))!
  bench.flush()
  t.true(compareStamps(second, first) > 0)
  t.deepEqual(b.attribute(key, 'x'), bytes('2'))
  bench.skewsMs.set(b.id, -5_000)
  const { stamp: third } = b.write(key, new Map([['x', bytes('3')]]))!
  bench.flush()
  t.true(compareStamps(third, second) > 0)
  t.deepEqual(a.attribute(key, 'x'), bytes('3'))
  t.is(a.stats().rejectedAhead + b.stats().rejectedAhead, 0)
})

for (const skewMs of [-20_000, 20_000]) {
  test(`a joiner whose clock is ${skewMs} ms off until it settles becomes equal, and its writes are accepted`, t => {
    const bench = new Bench()
    const a = bench.add()
    bench.run(1_200)
    const { key } = a.create(new Map([['x', bytes('1')]]))
    const id = '2'.repeat(32)
    bench.skewsMs.set(id, skewMs)
    const b = bench.add()
    bench.run(500)
    bench.skewsMs.set(id, 0)
    bench.run(3_000)
    t.true(b.ready)
    t.deepEqual(b.canonicalRecords(), a.canonicalRecords())
    t.deepEqual(b.digest(), a.digest())
    b.write(key, new Map([['x', bytes('2')]]))
    bench.flush()
    t.deepEqual(a.attribute(key, 'x'), bytes('2'))
    t.is(a.stats().rejectedAhead, 0)
  })
}

/** `a` and `b` with one record that may expire, cut from each other. */
function apart(options: ReplicaOptionsInput = {}): {
  bench: Bench
  a: Replica
  b: Replica
  key: string
  limit: AccessStamp
} {
  const { bench, a, b } = pair({ ringBytes: 0, ...options })
  const { key } = a.create(new Map([['x', bytes('1')]]))
  bench.flush()
  const { wallMs, counter, origin } = b.inspect(key)!.access
  a.memberDisappeared({ id: b.id })
  b.memberDisappeared({ id: a.id })
  bench.filter = () => false
  bench.now += 100
  return { bench, a, b, key, limit: { wallMs, counter, origin } }
}

function expire(replica: Replica, from: MemberId, key: string, limit: AccessStamp): void {
  const stamp = { ...replica.stamp(key, 'x')!, origin: '3'.repeat(32), seq: 1 }
  replica.receive({ kind: 'delta', delta: { kind: 'expire', key, stamp, deps: [], writes: NO_WRITES, limit } }, from)
}

function together({ bench, a, b }: { bench: Bench; a: Replica; b: Replica }): void {
  bench.filter = () => true
  a.memberAdded({ id: b.id, name: b.id, host: '', port: 0 })
  b.memberAdded({ id: a.id, name: a.id, host: '', port: 0 })
  bench.run(2_000)
}

test('an expired record is out of sight and not gone while somebody is away, and a later use there shows it whole', t => {
  const { bench, a, b, key, limit } = apart()
  b.write(key, new Map([['only here', bytes('2')]]))
  const { access } = b.inspect(key)!
  a.write(key, new Map([['y', bytes('3')]]))
  expire(b, a.id, key, { wallMs: access.wallMs, counter: access.counter, origin: access.origin })
  t.true(limit.wallMs <= access.wallMs)
  t.false(b.has(key))
  t.is(b.size, 0)
  t.is(b.write(key, new Map([['x', bytes('4')]])), undefined)
  bench.run(5_000)
  t.is(b.stats().expiredKept, 1)
  bench.now += 5
  a.write(key, new Map([['z', bytes('5')]]))
  together({ bench, a, b })
  for (const name of ['x', 'only here', 'y', 'z']) t.deepEqual(a.attribute(key, name), b.attribute(key, name), name)
  t.deepEqual(a.attribute(key, 'only here'), bytes('2'))
  t.deepEqual(a.digest(), b.digest())
  t.is(b.stats().expiredKept, 0)
})

test('an expired record that all have agreed on is dropped everywhere', t => {
  const { bench, a, b } = pair()
  const { key } = a.create(
    new Map([
      ['x', bytes('1')],
      [MAX_INACTIVE, bytes('1')],
    ]),
  )
  bench.run(10_000)
  for (const replica of [a, b]) {
    t.false(replica.has(key))
    t.is(replica.stats().expiredKept, 0)
  }
  t.deepEqual(a.digest(), b.digest())
})

test('what expired here and is unknown to the donor, who had seen it created, is not brought back by a later use', t => {
  const { bench, a, b, key, limit } = apart()
  a.write(key, new Map([['x', bytes('2')]]))
  const used = bench.sent.findLast(message => message.kind === 'delta')!
  a.invalidate(key)
  bench.run(500)
  t.is(a.tombstones.size, 0)
  expire(b, a.id, key, limit)
  t.is(b.stats().expiredKept, 1)
  together({ bench, a, b })
  t.deepEqual(a.digest(), b.digest())
  t.is(b.stats().expiredKept, 0)
  t.is(b.receive(used, a.id), 'applied')
  t.false(b.has(key))
})

for (const ringBytes of [0, 1_000_000]) {
  const way = ringBytes === 0 ? 'comparison' : 'delta'
  test(`who comes back after being forgotten, with a record that expired meanwhile, is told of its end by ${way}`, t => {
    const { bench, a, b, key, limit } = apart({ forgetMemberAfterMs: 1_000, ringBytes })
    expire(a, b.id, key, limit)
    bench.run(2_000)
    t.is(a.stats().expiredKept, 0)
    b.touch(key)
    expire(b, a.id, key, limit)
    t.true(b.has(key))
    t.is(b.stats().renewed, 1)
    together({ bench, a, b })
    t.false(a.has(key))
    t.false(b.has(key))
    t.deepEqual(a.digest(), b.digest())
    t.true(a.stats().removalsUpheld + b.stats().removalsUpheld > 0)
    t.is(a.stats().divergences + b.stats().divergences, 0)
  })
}

test('expired records stay within the bound of removals, and the oldest are dropped for good', t => {
  const { bench, a, b } = pair({ tombstonesMax: 10 })
  a.memberDisappeared({ id: b.id })
  bench.filter = () => false
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
  bench.run(20_000)
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
