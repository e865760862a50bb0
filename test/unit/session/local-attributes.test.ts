import test from 'ava'
import type { DeltaManager } from '../../../lib/session/delta-manager.js'
import { LocalAttributes } from '../../../lib/session/local-attributes.js'
import { type AttributeFilter, LocalRule } from '../../../lib/session/local-rule.js'
import type { Session } from '../../../lib/session/session.js'
import { oneManager, twoManagers } from '../../helpers/session-managers.js'

class Basket {
  readonly items: string[] = []
  add(item: string): this {
    this.items.push(item)
    return this
  }
}

function view(sessions: DeltaManager, id: string): Session {
  return sessions.find(id) as Session
}

function see(sessions: DeltaManager, id: string): Record<string, unknown> {
  return Object.fromEntries(view(sessions, id).entries())
}

test('excluded attributes stay on the member that set them, as they are', t => {
  const filters: AttributeFilter[] = ['basket', /^bask/g, ['other', /et$/], (_name, value) => value instanceof Basket]
  for (const exclude of filters) {
    const [a, b] = twoManagers({ exclude })
    const basket = new Basket()
    const { id } = a.sessions.create({
      attributes: [
        ['basket', basket],
        ['user', 'ada'],
      ],
    })
    t.is(view(a.sessions, id).get('basket'), basket)
    t.deepEqual(view(a.sessions, id).names().sort(), ['basket', 'user'])
    t.true(view(a.sessions, id).has('basket'))
    t.deepEqual(see(b.sessions, id), { user: 'ada' })
    for (const { writes } of a.store.written) t.false(writes.has('basket'))
    const request = view(a.sessions, id)
    request.get<Basket>('basket')?.add('book')
    t.is(a.sessions.commit(request), undefined, 'nothing for the others')
    t.deepEqual(view(a.sessions, id).get<Basket>('basket')?.items, ['book'])
    const other = view(a.sessions, id)
    other.delete('basket')
    t.false(other.has('basket'))
    t.is(a.sessions.commit(other), undefined)
    t.deepEqual(see(a.sessions, id), { user: 'ada' })
  }
})

test('a pattern does not remember where it was', t => {
  for (const exclude of [/^bask/g, [/^bask/y]]) {
    const rule = LocalRule.of(exclude, 0)
    t.deepEqual(
      [1, 2, 3].map(turn => rule?.excludes('basket', turn)),
      [true, true, true],
    )
    t.false(rule?.excludes('user', 1))
  }
  t.is(LocalRule.of([], 0), undefined)
})

test('what cannot be encoded can be excluded', t => {
  const { sessions } = oneManager({ exclude: 'socket' })
  const socket = {
    write: () => 1,
    [Symbol.iterator]: 1,
    get broken(): never {
      throw new Error('not to be read')
    },
  }
  const session = sessions.create({ deferred: true })
  session.set('socket', socket)
  sessions.commit(session)
  t.is(sessions.size, 1, 'it is a reason to store the session')
  t.is(session.get('socket'), socket)
  t.is(view(sessions, session.id).get('socket'), socket)
})

test('they end with their session, on whatever member it ends', t => {
  const [a, b] = twoManagers({ exclude: 'basket' })
  const { id } = a.sessions.create({ id: 'one', attributes: [['basket', 1]] })
  t.is(a.sessions.stats().local, 1)
  b.sessions.find(id)?.invalidate()
  t.is(a.sessions.stats().local, 0)
  a.sessions.create({ id: 'one' })
  t.deepEqual(see(a.sessions, 'one'), {})
})

test('values too large to be replicated stay here, and are replicated once they are smaller', t => {
  const [a, b] = twoManagers({ maxAttributeBytes: 100 })
  const { id } = a.sessions.create({ attributes: [['photo', 'small']] })
  t.is(view(b.sessions, id).get('photo'), 'small')
  const large = view(a.sessions, id)
  a.sessions.commit(large.set('photo', 'x'.repeat(500)))
  t.is(view(a.sessions, id).get('photo'), 'x'.repeat(500))
  t.is(view(b.sessions, id).get('photo'), undefined, 'others have no value that is no longer so')
  a.sessions.commit(large.set('photo', 'small again'))
  t.is(view(b.sessions, id).get('photo'), 'small again')
  t.is(view(a.sessions, id).get('photo'), 'small again')
  a.sessions.commit(view(a.sessions, id).set('photo', 'y'.repeat(500)))
  b.sessions.commit(view(b.sessions, id).set('photo', 'theirs'))
  t.is(view(a.sessions, id).get('photo'), 'theirs', 'the later of the two')
  const removing = view(b.sessions, id)
  removing.delete('photo')
  b.sessions.commit(removing)
  t.is(view(a.sessions, id).get('photo'), undefined, 'and what was here before does not come back')
  const grows = view(a.sessions, id).set('list', [1])
  a.sessions.commit(grows)
  const next = view(a.sessions, id)
  next.get<unknown[]>('list')?.push('z'.repeat(200))
  a.sessions.commit(next)
  t.deepEqual([view(a.sessions, id).get<unknown[]>('list')?.length, view(b.sessions, id).get('list')], [2, undefined])
})

test('reading an excluded name that another member replicates does not take it away', t => {
  const [a, b] = twoManagers()
  const { id } = b.sessions.create({ attributes: [['list', [1]]] })
  const filtered = oneManager({ exclude: 'list' })
  t.is(filtered.sessions.size, 0)
  const session = filtered.sessions.create()
  t.deepEqual(session.names(), [])
  t.deepEqual(view(a.sessions, id).get('list'), [1])
})

test('a dropped commit keeps nothing', t => {
  const [a, b] = twoManagers({ exclude: 'basket' })
  const { id } = a.sessions.create()
  const slow = view(a.sessions, id).set('basket', 1).set('late', 1)
  b.sessions.find(id)?.invalidate()
  a.sessions.commit(slow)
  t.is(a.sessions.stats().discarded, 1)
  t.is(a.sessions.find(id), undefined)
})

test('the table is bounded', t => {
  let dropped = 0
  const table = new LocalAttributes(() => dropped++)
  for (let key = 0; key < 100_002; key++) table.keep(`k#${key}`, new Map([['a', key]]))
  t.deepEqual([table.size, dropped], [100_000, 2])
  t.is(table.of('k#1'), undefined)
  t.is(table.of('k#2')?.get('a'), 2)
  table.drop('k#2', ['b'])
  t.is(table.of('k#2')?.size, 1)
  table.drop('k#2', ['a'])
  t.is(table.of('k#2'), undefined)
})

test('filters that are none are refused', t => {
  for (const exclude of [1, [1], {}]) {
    t.throws(() => oneManager({ exclude: exclude as never }), { code: 'INVALID_OPTION', message: /exclude/ })
  }
  t.throws(() => oneManager({ maxAttributeBytes: -1 }), { code: 'INVALID_OPTION' })
  t.throws(() => oneManager({ warnAttributeBytes: 0.5 }), { code: 'INVALID_OPTION' })
})

test.serial('a large attribute is warned of once by its name', async t => {
  const warnings: Error[] = []
  const listener = (warning: Error): void => {
    if ((warning as { code?: string }).code === 'TRIBELINE_LARGE_ATTRIBUTE') warnings.push(warning)
  }
  process.on('warning', listener)
  t.teardown(() => process.off('warning', listener))
  const { sessions } = oneManager({ warnAttributeBytes: 1_000 })
  const told: unknown[] = []
  sessions.on('largeAttribute', event => told.push(event))
  const session = sessions.create({
    attributes: [
      ['photo', 'x'.repeat(2_000)],
      ['name', 'ada'],
    ],
  })
  for (let turn = 0; turn < 3; turn++) sessions.commit(session.set('photo', 'y'.repeat(2_001 + turn)))
  const silent = oneManager({ warnAttributeBytes: 0 })
  silent.sessions.create({ attributes: [['huge', 'x'.repeat(100_000)]] })
  await new Promise(resolve => setImmediate(resolve))
  t.deepEqual(told, [{ name: 'photo', bytes: 2_003 }])
  t.is(warnings.length, 1)
  t.regex(String(warnings[0]?.message), /"photo" has 2003 bytes/)
  t.is(sessions.stats().largeAttributes, 1)
  t.is(silent.sessions.stats().largeAttributes, 0)
})

test('a session that has ended keeps nothing, whatever a late request sets', t => {
  const [a, b] = twoManagers({ exclude: 'basket' })
  const { id } = a.sessions.create()
  const late = view(a.sessions, id)
  late.set('basket', new Basket())
  const discarded: unknown[] = []
  a.sessions.on('discarded', event => discarded.push(event))
  b.sessions.invalidate(view(b.sessions, id))
  t.is(a.sessions.commit(late), undefined)
  t.deepEqual([a.sessions.stats().local, a.sessions.stats().discarded], [0, 1])
  t.deepEqual(discarded, [{ id, names: ['basket'] }])
})
