import test from 'ava'
import fc from 'fast-check'
import { AttributeScope } from '../../../lib/session/attribute-scope.js'
import type { DeltaManager } from '../../../lib/session/delta-manager.js'
import type { MergeFunction, MergeValues } from '../../../lib/session/merge.js'
import type { Session } from '../../../lib/session/session.js'
import { oneManager, twoManagers } from '../../helpers/session-managers.js'
import { stallingMember } from '../../helpers/stalling-member.js'

function view(sessions: DeltaManager, id: string, scope?: AttributeScope): Session {
  return sessions.find(id, scope === undefined ? {} : { scope }) as Session
}

function see(sessions: DeltaManager, id: string): Record<string, unknown> {
  return Object.fromEntries(view(sessions, id).entries())
}

const sum: MergeFunction = (_name, { base, mine, theirs }) =>
  Number(mine ?? 0) + Number(theirs ?? 0) - Number(base ?? 0)

test('last write: the session is what the last request that changed anything saw', t => {
  const { sessions } = oneManager({ merge: 'last-write' })
  const { id } = sessions.create({
    attributes: [
      ['a', 1],
      ['b', 1],
      ['c', 1],
    ],
  })
  const [first, second, reader] = [view(sessions, id), view(sessions, id), view(sessions, id)]
  first.set('a', 2).set('d', 2).delete('c')
  sessions.commit(first)
  t.deepEqual(see(sessions, id), { a: 2, b: 1, d: 2 })
  reader.get('a')
  t.is(sessions.commit(reader), undefined, 'who changed nothing writes nothing')
  second.set('b', 3)
  sessions.commit(second)
  t.deepEqual(see(sessions, id), { a: 1, b: 3, c: 1 })
})

test('last write counts a change in place, and keeps what is reserved', t => {
  const { sessions } = oneManager({ merge: 'last-write' })
  const { id } = sessions.create({
    attributes: [
      ['list', [1]],
      ['other', 1],
    ],
    maxInactiveInterval: 77,
  })
  const [first, second] = [view(sessions, id), view(sessions, id)]
  first.set('other', 2)
  sessions.commit(first)
  second.get<number[]>('list')?.push(2)
  sessions.commit(second)
  t.deepEqual(see(sessions, id), { list: [1, 2], other: 1 })
  t.is(view(sessions, id).maxInactiveInterval, 77)
  const third = view(sessions, id)
  third.maxInactiveInterval = 78
  const fourth = view(sessions, id)
  fourth.set('other', 5)
  sessions.commit(fourth)
  sessions.commit(third)
  t.is(view(sessions, id).get('other'), 5, 'another interval is no other view of the attributes')
})

test('last write leaves other applications’ own attributes alone', t => {
  const { sessions } = oneManager({ merge: 'last-write' })
  const shop = new AttributeScope({ application: 'shop', shared: ['user'] })
  const forum = new AttributeScope({ application: 'forum', shared: ['user'] })
  const { id } = sessions.create()
  const inShop = view(sessions, id, shop)
  const inForum = view(sessions, id, forum)
  sessions.commit(inForum.set('posts', 3).set('user', 'ada'))
  sessions.commit(inShop.set('cart', 1))
  t.deepEqual([...view(sessions, id, forum).entries()], [['posts', 3]])
  t.deepEqual([...view(sessions, id, shop).entries()], [['cart', 1]])
})

test('last write for one commit only', t => {
  const { sessions } = oneManager()
  const { id } = sessions.create({ attributes: [['a', 1]] })
  const [first, second] = [view(sessions, id), view(sessions, id)]
  sessions.commit(first.set('b', 1))
  sessions.commit(second.set('a', 2), { merge: 'last-write' })
  t.deepEqual(see(sessions, id), { a: 2 })
})

test('after any run of commits, last write leaves the last view', t => {
  const edits = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.option(fc.nat(5))), { maxLength: 4 })
  fc.assert(
    fc.property(fc.array(edits, { maxLength: 6 }), runs => {
      const { sessions } = oneManager({ merge: 'last-write' })
      const { id } = sessions.create({ attributes: [['a', 0]] })
      const views = runs.map(() => view(sessions, id))
      for (const [turn, run] of runs.entries()) {
        const mine = views[turn] as Session
        const before = see(sessions, id)
        for (const [name, value] of run) {
          if (value === null) mine.delete(name)
          else mine.set(name, value)
        }
        const whole = Object.fromEntries(mine.entries())
        const wrote = sessions.commit(mine) !== undefined
        t.deepEqual(see(sessions, id), wrote ? whole : before)
      }
    }),
    { numRuns: 60 },
  )
})

test('a merge function is asked about what both changed, and only that', t => {
  const asked: [string, MergeValues][] = []
  const { sessions, store } = oneManager({
    merge: (name, values) => {
      asked.push([name, values])
      return sum(name, values)
    },
  })
  const { id } = sessions.create({
    attributes: [
      ['n', 10],
      ['m', 1],
      ['gone', 1],
    ],
  })
  const [first, second] = [view(sessions, id), view(sessions, id)]
  sessions.commit(first.set('n', 11).set('first', 1))
  t.deepEqual(asked, [], 'nobody else has changed anything')
  sessions.commit(second.set('n', 12).set('m', 2))
  t.deepEqual(asked, [['n', { base: 10, mine: 12, theirs: 11 }]])
  t.deepEqual(see(sessions, id), { n: 13, m: 2, gone: 1, first: 1 })
  t.is(second.get('n'), 13, 'the view goes on with what was merged')
  t.is(sessions.stats().merged, 1)
  const written = store.written.length
  t.is(sessions.commit(second), undefined)
  t.is(store.written.length, written)
  sessions.commit(second.set('n', 14))
  t.is(view(sessions, id).get('n'), 14)
  t.is(asked.length, 1)
})

test('a removal on either side is undefined to the merge function, and undefined removes', t => {
  const asked: MergeValues[] = []
  const { sessions } = oneManager()
  const merge: MergeFunction = (_name, values) => {
    asked.push(values)
    return undefined
  }
  const { id } = sessions.create({
    attributes: [
      ['a', 1],
      ['b', 1],
    ],
  })
  const [first, second] = [view(sessions, id), view(sessions, id)]
  first.set('a', 2).delete('b')
  sessions.commit(first)
  second.delete('a')
  sessions.commit(second.set('b', 2), { merge })
  t.deepEqual(asked, [
    { base: 1, mine: undefined, theirs: 2 },
    { base: 1, mine: 2, theirs: undefined },
  ])
  t.deepEqual(see(sessions, id), {})
  t.deepEqual(second.names(), [])
})

test('both wrote the same: two that count from 5 to 6 make 7', t => {
  const { sessions } = oneManager({ merge: sum })
  const { id } = sessions.create({ attributes: [['n', 5]] })
  for (const one of [view(sessions, id), view(sessions, id)]) sessions.commit(one.set('n', 6))
  t.is(view(sessions, id).get('n'), 7)
  const views = [view(sessions, id), view(sessions, id), view(sessions, id)]
  for (const one of views) one.set('n', Number(one.get('n')) + 1)
  for (const one of views) sessions.commit(one)
  t.is(view(sessions, id).get('n'), 10)
})

test('what a merge function throws fails the commit, and nothing is written', t => {
  const { sessions, store } = oneManager()
  const { id } = sessions.create({ attributes: [['a', 1]] })
  const [first, second] = [view(sessions, id), view(sessions, id)]
  sessions.commit(first.set('a', 2))
  second.set('a', 3).set('b', 3)
  const written = store.written.length
  const fail = (): never => {
    throw new RangeError('not these two')
  }
  t.throws(() => sessions.commit(second, { merge: fail }), { instanceOf: RangeError })
  t.throws(() => sessions.commit(second, { merge: async () => 1 }), { code: 'INVALID_STATE', message: /promise/ })
  t.is(store.written.length, written)
  t.deepEqual(see(sessions, id), { a: 2 })
  t.is(second.get('a'), 3)
  sessions.commit(second, { merge: sum })
  t.deepEqual(see(sessions, id), { a: 4, b: 3 })
})

test('detection `all` with a merge function does not bring back what others replaced', t => {
  const { sessions } = oneManager({ merge: sum, detect: 'all' })
  const { id } = sessions.create({
    attributes: [
      ['a', 1],
      ['b', 1],
    ],
  })
  const [first, second] = [view(sessions, id), view(sessions, id)]
  sessions.commit(first.set('a', 5))
  sessions.commit(second.set('b', 2))
  t.deepEqual(see(sessions, id), { a: 5, b: 2 })
})

test('of a session that has ended nobody is asked', t => {
  const [a, b] = twoManagers({
    merge: () => {
      throw new Error('nobody is asked')
    },
  })
  const { id } = a.sessions.create({ attributes: [['n', 1]] })
  const late = view(a.sessions, id).set('n', 2)
  view(b.sessions, id).invalidate()
  t.is(a.sessions.commit(late), undefined)
  t.is(a.sessions.stats().discarded, 1)
})

test('after a stall a merge function is asked instead of refusing the commit', t => {
  const member = stallingMember({ merge: sum })
  const { id } = member.sessions.create({ attributes: [['n', 1]] })
  const mine = view(member.sessions, id)
  mine.set('n', 2)
  member.stallWhile(elsewhere => elsewhere.commit(view(elsewhere, id).set('n', 5)))
  member.catchUp()
  member.sessions.commit(mine)
  t.is(view(member.sessions, id).get('n'), 6)
  t.is(view(member.elsewhere, id).get('n'), 6)
})

test('of two members that merge without knowing of each other the later value stands on both', t => {
  const [a, b] = twoManagers({ merge: sum })
  const { id } = a.sessions.create({ attributes: [['n', 10]] })
  a.store.held = b.store.held = true
  a.sessions.commit(view(a.sessions, id).set('n', 11))
  b.clock.nowMs += 1
  b.sessions.commit(view(b.sessions, id).set('n', 12))
  a.store.flush()
  b.store.flush()
  t.deepEqual([see(a.sessions, id), see(b.sessions, id)], [{ n: 12 }, { n: 12 }])
})

test('whatever the strategies and the order in which deltas arrive, members end with the same session', t => {
  const strategies = ['attribute', 'last-write', sum] as const
  const act = fc.record({
    member: fc.nat(1),
    kind: fc.constantFrom('load', 'set', 'delete', 'commit', 'hold', 'flush'),
    name: fc.constantFrom('a', 'b', 'c'),
    value: fc.nat(9),
    merge: fc.constantFrom(...strategies),
  })
  fc.assert(
    fc.property(fc.array(act, { maxLength: 40 }), acts => {
      const members = twoManagers()
      const { id } = members[0].sessions.create({ attributes: [['a', 1]] })
      const views = members.map(({ sessions }) => view(sessions, id))
      for (const { member, kind, name, value, merge } of acts) {
        const { sessions, store, clock } = members[member as 0 | 1]
        const mine = views[member] as Session
        clock.nowMs++
        if (kind === 'load') views[member] = view(sessions, id)
        else if (kind === 'set') mine.set(name, value)
        else if (kind === 'delete') mine.delete(name)
        else if (kind === 'commit') sessions.commit(mine, { merge })
        else if (kind === 'hold') store.held = true
        else store.flush()
      }
      for (const { store } of members) store.flush()
      const [here, there] = members.map(({ sessions }) => see(sessions, id))
      t.deepEqual(here, there)
    }),
    { numRuns: 200 },
  )
})

test('a strategy that is none is refused', t => {
  t.throws(() => oneManager({ merge: 'mine' as never }), { code: 'INVALID_OPTION', message: /sessions\.merge/ })
})
