import test from 'ava'
import fc from 'fast-check'
import { AttributeScope, isAttribute } from '../../../lib/session/attribute-scope.js'
import { noCounts } from '../../../lib/session/session-counters.js'
import type { SessionManager } from '../../../lib/session/session-manager.js'
import { oneManager, twoManagers } from '../../helpers/session-managers.js'

const shop = new AttributeScope({ application: 'shop', shared: ['user'] })
const forum = new AttributeScope({ application: 'forum', shared: ['user'] })

const names = fc.oneof(
  fc.constantFrom(
    'user',
    'cart',
    'cart\u0000',
    '@shop',
    '',
    'ünï',
    '\u0000id',
    '\u0000@shop\u0000cart',
    '\u0000@forum\u0000',
  ),
  fc.string(),
)

test('names go there and back, and no two applications meet but in what they share', t => {
  const scopes = [AttributeScope.whole, shop, forum]
  fc.assert(
    fc.property(names, names, (a, b) => {
      for (const scope of scopes) {
        const stored = scope.stored(a)
        if (stored === undefined) {
          t.true(a.startsWith('\u0000'))
          continue
        }
        t.is(scope.name(stored), a)
        t.true(isAttribute(stored))
        if (a !== b) t.not(scope.stored(b), stored)
        for (const other of scopes) {
          const seen = other.name(stored)
          if (other !== scope) t.is(seen, stored === 'user' || other.stored(stored) === stored ? a : undefined)
        }
      }
    }),
  )
})

test('what is reserved is nobody’s attribute', t => {
  for (const scope of [AttributeScope.whole, shop]) {
    for (const name of ['\u0000id', '\u0000created', '\u0000']) {
      t.is(scope.name(name), undefined)
      t.is(scope.stored(name), undefined)
    }
  }
  t.false(isAttribute('\u0000id'))
  t.is(AttributeScope.whole.name('\u0000@shop\u0000cart'), undefined)
  t.is(forum.name('\u0000@shop\u0000cart'), undefined)
  t.is(shop.name('\u0000@shop\u0000user'), undefined, 'what is shared is looked for in one place')
})

test('a pattern for what is shared does not remember where it was', t => {
  const scope = new AttributeScope({ application: 'shop', shared: /^user/g })
  for (let turn = 0; turn < 3; turn++) {
    t.is(scope.stored('user.name'), 'user.name')
    t.is(scope.stored('cart'), '\u0000@shop\u0000cart')
  }
})

test('an application’s name is checked', t => {
  for (const application of ['a b', 'a/b', 'x'.repeat(65), '\u0000']) {
    t.throws(() => new AttributeScope({ application }), { code: 'INVALID_OPTION' }, application)
    t.throws(() => oneManager({ application }), { code: 'INVALID_OPTION' }, application)
  }
  t.throws(() => oneManager({ shared: 'user' as never }), { code: 'INVALID_OPTION', message: /shared/ })
})

function see(sessions: SessionManager, id: string): Record<string, unknown> {
  return Object.fromEntries(sessions.find(id)?.entries() ?? [])
}

test('two applications and one session: each sees its own and what is shared', t => {
  const [a, b] = twoManagers()
  const { id } = a.sessions.create({ attributes: [['from', 'before']] })
  const inShop = a.sessions.find(id, { scope: shop })
  inShop?.set('user', 'ada').set('cart', ['book'])
  t.deepEqual(inShop?.names(), ['user', 'cart'])
  if (inShop !== undefined) a.sessions.commit(inShop)
  const inForum = b.sessions.find(id, { scope: forum })
  t.deepEqual([...(inForum?.entries() ?? [])], [['user', 'ada']])
  t.deepEqual([inForum?.has('cart'), inForum?.get('cart'), inForum?.delete('cart')], [false, undefined, false])
  inForum?.set('cart', 'a wheelbarrow')
  if (inForum !== undefined) b.sessions.commit(inForum)
  const again = a.sessions.find(id, { scope: shop })
  t.deepEqual([again?.get('cart'), again?.get('from')], [['book'], undefined])
  t.deepEqual(see(a.sessions, id), { from: 'before', user: 'ada' }, 'without an application: what is nobody’s own')
  again?.delete('user')
  if (again !== undefined) a.sessions.commit(again)
  t.deepEqual(b.sessions.find(id, { scope: forum })?.names(), ['cart'])
})

test('detection `all` writes all of one application’s attributes', t => {
  const { sessions, store } = oneManager({ detect: 'all' })
  const { id } = sessions.create({
    scope: forum,
    attributes: [
      ['posts', 1],
      ['user', 'ada'],
    ],
  })
  const inShop = sessions.find(id, { scope: shop })
  inShop?.set('cart', 1)
  if (inShop !== undefined) sessions.commit(inShop)
  t.deepEqual([...(store.written.at(-1)?.writes.keys() ?? [])].sort(), ['\u0000@shop\u0000cart', 'user'])
})

test('an application of the manager: create, events and the end speak its names', t => {
  const { sessions } = oneManager({ application: 'shop', shared: ['user'] })
  const told: unknown[] = []
  sessions.on('changed', ({ names }) => told.push(names))
  sessions.on('destroyed', ({ attributes }) => told.push(Object.fromEntries(attributes)))
  const session = sessions.create({ attributes: [['cart', 1]] })
  const other = sessions.find(session.id, { scope: forum })
  other?.set('theirs', 1)
  if (other !== undefined) sessions.commit(other)
  t.deepEqual(told, [], 'of another application’s attributes nobody is told')
  session.set('user', 'ada').set('cart', 2)
  sessions.commit(session)
  session.invalidate()
  t.deepEqual(told, [['cart', 'user'], { cart: 2, user: 'ada' }])
})

test('a deferred session with nothing but an application’s own attribute is stored', t => {
  const { sessions } = oneManager({ application: 'shop' })
  const session = sessions.create({ deferred: true })
  session.set('cart', 1)
  sessions.commit(session)
  t.is(sessions.size, 1)
  t.is(sessions.find(session.id)?.get('cart'), 1)
})

test('counters begin at zero', t => {
  t.true(Object.values(noCounts()).every(count => count === 0))
  t.deepEqual(
    Object.keys(oneManager().sessions.stats()).sort(),
    ['sessions', 'local', ...Object.keys(noCounts())].sort(),
  )
})
