import test from 'ava'
import type { SendReceipt, Topic, TopicListener } from '../../../lib/channel/topic.js'
import { ProtocolError } from '../../../lib/errors.js'
import type { Member } from '../../../lib/membership/member.js'
import { ReplicatedMap } from '../../../lib/replication/replicated-map.js'
import { ReplicaScope, type ScopeEnvironment } from '../../../lib/replication/scope.js'
import type { Timer } from '../../../lib/runtime/runtime.js'
import { encodeValue } from '../../../lib/wire/value-codec.js'

/** Topics of one group in one process: immediate delivery, virtual time, heartbeats on demand. */
class Group {
  now = 0
  readonly members: { member: Member; listener: TopicListener }[] = []
  #timers: { at: number; run: () => void }[] = []
  #cut = false

  join(name: string): ScopeEnvironment {
    const id = (this.members.length + 1).toString(16).repeat(32)
    const member: Member = { id, name, host: '127.0.0.1', port: 1 }
    const clock = {
      wall: () => this.now,
      monotonic: () => this.now,
      soon: (run: () => void) => run(),
      setTimer: (delayMs: number, run: () => void): Timer => {
        const timer = { at: this.now + delayMs, run }
        this.#timers.push(timer)
        return {
          cancel: () => {
            this.#timers = this.#timers.filter(other => other !== timer)
          },
        }
      },
    }
    return {
      clock,
      random: { bytes: length => new Uint8Array(length), uint32: () => 0 },
      openTopic: l => this.#open(member, l),
    }
  }

  set cut(cut: boolean) {
    this.#cut = cut
    for (const a of this.members) {
      for (const b of this.members) {
        if (a === b) continue
        if (cut) a.listener.memberDisappeared?.(b.member, 'dead')
        else a.listener.memberAdded?.(b.member)
      }
    }
  }

  advance(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now += 50) {
      const due = this.#timers.filter(timer => timer.at <= this.now)
      this.#timers = this.#timers.filter(timer => timer.at > this.now)
      for (const { run } of due) run()
      if (this.now % 500 === 0) this.#heartbeat()
    }
  }

  #heartbeat(): void {
    if (this.#cut) return
    for (const from of this.members) {
      const bytes = from.listener.advertise?.()
      if (bytes === undefined) continue
      for (const to of this.members) if (to !== from) to.listener.advertised?.(bytes, from.member)
    }
  }

  #open(local: Member, listener: TopicListener): Topic {
    const entry = { member: local, listener }
    const others = this.members.map(other => other.member)
    this.members.push(entry)
    for (const other of this.members) if (other !== entry) other.listener.memberAdded?.(local)
    return {
      name: 'map',
      local,
      members: others,
      clusterTime: () => 1_000_000 + this.now,
      close: () => {
        this.members.splice(this.members.indexOf(entry), 1)
      },
      send: (payload, options, settled) => {
        let applied = 0
        for (const other of [...this.members]) {
          if (this.#cut || other === entry || (options?.to && !options.to.includes(other.member.id))) continue
          if (other.listener.receive(payload, local) === 'applied') applied++
        }
        const receipt: SendReceipt = {
          outcome: applied > 0 ? 'met' : 'short',
          wanted: 1,
          received: applied,
          applied,
          faulty: [],
        }
        settled?.(receipt)
      },
    }
  }
}

function pair(): { group: Group; a: ReplicatedMap<unknown>; b: ReplicatedMap<unknown>; events: unknown[][] } {
  const group = new Group()
  const a = new ReplicatedMap<unknown>(group.join('a'))
  group.advance(1_300)
  const b = new ReplicatedMap<unknown>(group.join('b'))
  group.advance(600)
  const events: unknown[][] = []
  b.on('set', (key, value, cause) => events.push(['set', key, value, cause]))
  b.on('delete', (key, cause) => events.push(['delete', key, cause]))
  return { group, a, b, events }
}

test('sets, reads and deletes on both members, with events', async t => {
  const { a, b, events } = pair()
  await a.ready
  await b.ready
  a.set('k', { when: new Date(0), list: new Set([1]) })
  t.deepEqual(b.get('k'), { when: new Date(0), list: new Set([1]) })
  b.set('k', 2)
  t.is(a.get('k'), 2)
  t.deepEqual([...a.entries()], [['k', 2]])
  t.is(a.size, 1)
  t.true(a.delete('k'))
  t.false(a.delete('k'))
  t.false(b.has('k'))
  t.deepEqual(
    events.map(event => [event[0], event[1], event.at(-1)]),
    [
      ['set', 'k', 'remote'],
      ['set', 'k', 'local'],
      ['delete', 'k', 'remote'],
    ],
  )
})

test('setAcked refuses options that are none, and nothing has changed', async t => {
  const { a } = pair()
  for (const options of [{ ack: 'none' }, { copies: 1.5 }, { timeoutMs: -1 }, { acks: 'applied' }]) {
    const [name] = Object.keys(options)
    await t.throwsAsync(a.setAcked('k', 1, options as object), { code: 'INVALID_OPTION', message: new RegExp(name!) })
  }
  t.false(a.has('k'))
})

test('setAcked tells how many members have the value', async t => {
  const { a } = pair()
  const receipt = await a.setAcked('k', 1)
  t.is(receipt.outcome, 'met')
  t.is(receipt.applied, 1)
})

test('two members create one key in a split: the later value wins everywhere, the next write tidies up', t => {
  const { group, a, b } = pair()
  group.cut = true
  a.set('k', 'first')
  group.now += 10
  b.set('k', 'second')
  group.cut = false
  group.advance(5_000)
  t.is(a.get('k'), 'second')
  t.is(b.get('k'), 'second')
  t.is(a.size, 1)
  t.is(a.stats().records, 2)
  a.set('k', 'third')
  group.advance(1_000)
  t.is(b.get('k'), 'third')
  t.is(b.stats().records, 1)
})

test('unreadable bytes are rejected and counted; after close nothing runs on', t => {
  const { group, a } = pair()
  const outcome = group.members[0]!.listener.receive(Uint8Array.of(255, 255), group.members[1]!.member)
  t.is(outcome, 'rejected')
  t.is(a.stats().unreadable, 1)
  a.close()
  a.set('k', 1)
  group.advance(1_000)
  t.is(a.get('k'), 1)
})

test('a listener that throws reaches neither the merge nor the writer: it is told as listenerError and counted', t => {
  const { group, a, b } = pair()
  const errors: unknown[] = []
  const fault = new Error('of the application')
  for (const map of [a, b]) {
    map.removeAllListeners()
    map.on('set', () => {
      throw fault
    })
    map.on('delete', () => {
      throw fault
    })
  }
  b.on('listenerError', error => errors.push(error))
  t.notThrows(() => {
    a.set('k', 1)
  })
  t.is(b.get('k'), 1)
  t.notThrows(() => a.delete('k'))
  t.false(b.has('k'))
  t.deepEqual(errors, [fault, fault])
  t.is(a.stats().listenerErrors, 2)
  t.is(b.stats().listenerErrors, 2)
  b.on('listenerError', () => {
    throw fault
  })
  t.notThrows(() => {
    a.set('k', 2)
  })
  t.is(b.stats().listenerErrors, 4)
  group.advance(1_000)
  t.deepEqual(b.get('k'), 2)
  t.is(b.stats().divergences, 0)
})

test('a remote value that does not decode: told, counted, passed over by reads, and put right by a write', t => {
  const group = new Group()
  const source = new ReplicaScope(group.join('a'))
  group.advance(1_300)
  const map = new ReplicatedMap<unknown>(group.join('b'))
  group.advance(600)
  const errors: unknown[] = []
  const values: unknown[] = []
  map.on('listenerError', error => errors.push(error))
  map.on('set', (_, value) => values.push(value))
  source.replica.create(
    new Map([
      ['\u0000key', new Uint8Array(Buffer.from('bad'))],
      ['value', Uint8Array.of(0xc1, 0xc1)],
    ]),
  )
  source.replica.create(
    new Map([
      ['\u0000key', new Uint8Array(Buffer.from('good'))],
      ['value', encodeValue(7)],
    ]),
  )
  t.deepEqual(values, [7])
  t.is(errors.length, 1)
  t.true(errors[0] instanceof ProtocolError)
  t.is(map.stats().undecodable, 1)
  t.true(map.has('bad'))
  t.is(map.size, 2)
  t.is(map.get('bad'), undefined)
  t.deepEqual([...map], [['good', 7]])
  t.like(map.stats(), { undecodable: 3, listenerErrors: 0 })
  map.set('bad', 'now good')
  t.deepEqual(
    [...map],
    [
      ['bad', 'now good'],
      ['good', 7],
    ],
  )
})

test('undefined is a value like any other', t => {
  const { a, b, events } = pair()
  a.set('k', undefined)
  t.true(b.has('k'))
  t.deepEqual([...b], [['k', undefined]])
  t.deepEqual(events, [['set', 'k', undefined, 'remote']])
})
