import test from 'ava'
import fc from 'fast-check'
import { SessionInvalidError } from '../../../lib/errors.js'
import { SessionDelta } from '../../../lib/session/session-delta.js'
import { decodeValue, encodeValue } from '../../../lib/wire/value-codec.js'
import { oneManager } from '../../helpers/session-managers.js'

const codec = { encode: encodeValue, decode: decodeValue }

function deltaOf(values: Record<string, unknown>): SessionDelta {
  return new SessionDelta(
    codec,
    Object.entries(values).map(([name, value]) => [name, encodeValue(value)] as const),
  )
}

test('a delta names what was set or removed, and nothing that was only read', t => {
  const delta = deltaOf({ user: 'ada', cart: ['book'], old: 1 })
  t.is(delta.get('user'), 'ada')
  t.deepEqual(delta.get('cart'), ['book'])
  delta.set('page', 3)
  t.true(delta.delete('old'))
  t.false(delta.delete('never'))
  t.deepEqual([...delta.writes('modified').keys()].sort(), ['old', 'page'])
  t.is(delta.writes('modified').get('old'), undefined)
  t.deepEqual(delta.names(), ['user', 'cart', 'page'])
})

test('an object changed in place is noticed at every level but `set`', t => {
  const delta = deltaOf({ cart: ['book'], seen: new Set([1]) })
  ;(delta.get('cart') as string[]).push('pen')
  ;(delta.get('seen') as Set<number>).add(2)
  t.deepEqual([...delta.writes('set').keys()], [])
  t.deepEqual([...delta.writes('modified').keys()], ['cart', 'seen'])
  delta.rebase(delta.writes('modified'))
  t.is(delta.writes('modified').size, 0)
})

test('the levels `get` and `all` write what was read, and everything', t => {
  const delta = deltaOf({ a: 1, b: 2 })
  delta.get('a')
  t.deepEqual([...delta.writes('modified').keys()], [])
  t.deepEqual([...delta.writes('get').keys()], ['a'])
  t.deepEqual([...delta.writes('all').keys()].sort(), ['a', 'b'])
})

test('setting an equal value is no change', t => {
  const delta = deltaOf({ user: { name: 'ada' } })
  delta.set('user', { name: 'ada' })
  t.is(delta.writes('modified').size, 0)
})

test('an attribute set and removed again, or removed and set again, ends as it should', t => {
  const delta = deltaOf({ a: 1 })
  delta.set('b', 1)
  delta.delete('b')
  delta.delete('a')
  delta.set('a', 1)
  t.is(delta.writes('modified').size, 0)
  t.deepEqual(delta.names(), ['a'])
})

test('reading a value of any kind is no change', t => {
  const value = fc.anything({ withDate: true, withMap: true, withSet: true, withNullPrototype: true })
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), value), one => {
      const delta = deltaOf({ one })
      delta.get('one')
      t.is(delta.writes('modified').size, 0)
      delta.set('one', delta.get('one'))
      t.is(delta.writes('modified').size, 0)
    }),
    { numRuns: 300 },
  )
})

test('applying a delta to its base gives the values the request saw', t => {
  const names = fc.constantFrom('a', 'b', 'c', 'd')
  const write = fc.record({ name: names, value: fc.option(fc.jsonValue(), { nil: undefined }) })
  fc.assert(
    fc.property(fc.dictionary(names, fc.jsonValue()), fc.array(write), (start, writes) => {
      const delta = deltaOf(start)
      const model = new Map(Object.entries(start))
      for (const { name, value } of writes) {
        if (value === undefined) t.is(delta.delete(name), model.delete(name))
        else {
          delta.set(name, value)
          model.set(name, value)
        }
      }
      const stored = new Map(Object.entries(start).map(([name, value]) => [name, Buffer.from(encodeValue(value))]))
      for (const [name, bytes] of delta.writes('modified')) {
        if (bytes === undefined) stored.delete(name)
        else stored.set(name, Buffer.from(bytes))
      }
      const expected = [...model].map(([name, value]) => [name, Buffer.from(encodeValue(value))] as const)
      t.deepEqual(new Map([...stored].sort()), new Map(expected.sort()))
    }),
  )
})

test('a session shows its facts and refuses reserved names', t => {
  const { sessions, clock } = oneManager()
  const session = sessions.create({ attributes: [['user', 'ada']] })
  t.is(session.id.length, 32)
  t.true(session.isValid)
  t.is(session.maxInactiveInterval, 1800)
  t.is(session.createdAt, clock.nowMs)
  t.deepEqual([...session.entries()], [['user', 'ada']])
  t.throws(() => session.set('\u0000id', 'x'), { code: 'INVALID_OPTION' })
  t.false(session.has('\u0000id'))
  t.is(session.get('\u0000id'), undefined)
  clock.nowMs += 5000
  t.is(session.idleMs, 5000)
  session.touch()
  t.is(session.idleMs, 0)
})

test('an interval of 0 or less means never, and one no clock can hold is refused', t => {
  const { sessions } = oneManager()
  const session = sessions.create({ maxInactiveInterval: 60 })
  session.maxInactiveInterval = 0
  sessions.commit(session)
  t.is(sessions.find(session.id)?.maxInactiveInterval, -1)
  t.throws(() => {
    session.maxInactiveInterval = Number.NaN
  })
  t.throws(() => {
    session.maxInactiveInterval = 1e300
  })
})

test('a session throws once this view has invalidated it', t => {
  const { sessions } = oneManager()
  const session = sessions.create()
  session.invalidate()
  t.throws(() => session.get('a'), { instanceOf: SessionInvalidError })
  t.throws(() => session.set('a', 1), { instanceOf: SessionInvalidError })
  t.throws(() => session.invalidate(), { instanceOf: SessionInvalidError })
  t.false(session.isValid)
})

test('a value that comes back otherwise is no change by being read; set without having been read, it is one', t => {
  const bare = Object.assign(Object.create(null) as object, { n: 1 })
  let decoded = 0
  const counting = {
    encode: encodeValue,
    decode: (bytes: Uint8Array) => {
      decoded++
      return decodeValue(bytes)
    },
  }
  const base = [['a', encodeValue(bare)]] as const
  const read = new SessionDelta(counting, base)
  read.set('a', read.get('a'))
  t.is(read.writes('set').size, 0)
  decoded = 0
  const unread = new SessionDelta(counting, base)
  unread.set('a', { n: 2 })
  t.deepEqual([...unread.writes('set').keys()], ['a'])
  t.is(decoded, 0)
})
