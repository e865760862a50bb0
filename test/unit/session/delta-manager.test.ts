import test from 'ava'
import { MessageTooLargeError } from '../../../lib/errors.js'
import type { DeltaManager } from '../../../lib/session/delta-manager.js'
import { DeltaManager as Manager } from '../../../lib/session/delta-manager.js'
import type { SessionEvents } from '../../../lib/session/session-manager.js'
import { CountingRandom } from '../../helpers/memory-record-store.js'
import { oneManager, twoManagers } from '../../helpers/session-managers.js'

type Told = [name: string, event: Record<string, unknown>]

function listen(sessions: DeltaManager): Told[] {
  const told: Told[] = []
  const names: Exclude<keyof SessionEvents, 'listenerError'>[] = [
    'created',
    'changed',
    'idChanged',
    'destroyed',
    'shortfall',
    'discarded',
  ]
  for (const name of names) {
    const listener = (event: object): void => {
      told.push([name, { ...event }])
    }
    sessions.on(name, listener as never)
  }
  return told
}

test('every member has every session, and tells of it', t => {
  const [a, b] = twoManagers()
  const [here, there] = [listen(a.sessions), listen(b.sessions)]
  const session = a.sessions.create({ attributes: [['user', 'ada']] })
  t.is(b.sessions.find(session.id)?.get('user'), 'ada')
  session.set('page', 2)
  a.sessions.commit(session)
  t.is(b.sessions.find(session.id)?.get('page'), 2)
  session.invalidate()
  t.is(b.sessions.find(session.id), undefined)
  t.is(b.sessions.size, 0)
  const { id } = session
  const attributes = new Map<string, unknown>([
    ['user', 'ada'],
    ['page', 2],
  ])
  for (const [told, cause] of [[here, 'local'] as const, [there, 'remote'] as const]) {
    t.deepEqual(told, [
      ['created', { id, cause }],
      ['changed', { id, names: ['page'], cause }],
      ['destroyed', { id, reason: 'invalidated', cause, attributes }],
    ])
  }
})

test('views of parallel requests merge by attribute', t => {
  const { sessions } = oneManager()
  const { id } = sessions.create({ attributes: [['gone', 1]] })
  const views = [0, 1, 2, 3].map(() => sessions.find(id))
  for (const [index, view] of views.entries()) view?.set(`item${index}`, index)
  views[0]?.delete('gone')
  for (const view of views) if (view !== undefined) sessions.commit(view)
  t.deepEqual(sessions.find(id)?.names(), ['item0', 'item1', 'item2', 'item3'])
})

test('a session destroyed meanwhile stays destroyed, and the late commit is reported', t => {
  const [a, b] = twoManagers()
  const { id } = a.sessions.create()
  const slow = a.sessions.find(id)
  slow?.set('late', true)
  b.sessions.find(id)?.invalidate()
  t.false(slow?.isValid)
  const told = listen(a.sessions)
  t.is(slow && a.sessions.commit(slow), undefined)
  t.is(a.sessions.find(id), undefined)
  t.deepEqual(told, [['discarded', { id, names: ['late'] }]])
  t.is(a.sessions.stats().discarded, 1)
})

test('nothing changed, nothing sent', t => {
  const { sessions, store } = oneManager()
  const { id } = sessions.create({ attributes: [['cart', [1]]] })
  const sent = store.written.length
  const view = sessions.find(id)
  view?.get('cart')
  t.is(view && sessions.commit(view), undefined)
  t.is(store.written.length, sent)
  t.is(sessions.stats().unchanged, 1)
})

test('a changed id: the old one is dead at once, everywhere, and attributes stay', t => {
  const [a, b] = twoManagers()
  const session = a.sessions.create({ attributes: [['user', 'ada']] })
  const previousId = session.id
  const other = b.sessions.find(previousId)
  const told = listen(b.sessions)
  session.set('unsaved', 1)
  session.changeId()
  t.not(session.id, previousId)
  for (const { sessions } of [a, b]) {
    t.is(sessions.find(previousId), undefined)
    t.is(sessions.find(session.id)?.get('user'), 'ada')
    t.is(sessions.size, 1)
  }
  t.deepEqual(told, [['idChanged', { id: session.id, previousId, cause: 'remote' }]])
  t.true(other?.isRenamed)
  t.false(session.isRenamed)
  a.sessions.commit(session)
  t.is(b.sessions.find(session.id)?.get('unsaved'), 1)
})

test('of two sessions created with one id every member shows the same, and logout ends both', t => {
  const [a, b] = twoManagers()
  a.store.held = b.store.held = true
  a.sessions.create({ id: 'same', attributes: [['from', 'a']] })
  b.clock.nowMs += 1
  b.sessions.create({ id: 'same', attributes: [['from', 'b']] })
  const told = listen(a.sessions)
  a.store.flush()
  b.store.flush()
  t.is(a.sessions.find('same')?.get('from'), 'b')
  t.is(b.sessions.find('same')?.get('from'), 'b')
  t.deepEqual(
    told.map(([name, event]) => [name, event.reason]),
    [
      ['created', undefined],
      ['destroyed', 'replaced'],
    ],
  )
  a.sessions.find('same')?.invalidate()
  t.is(a.sessions.find('same'), undefined)
  t.is(b.sessions.find('same'), undefined)
  t.is(b.store.size, 0)
})

test('an idle session is not found, and its expiry is told', t => {
  const { sessions, store, clock } = oneManager({ maxInactiveInterval: 100 })
  const { id } = sessions.create({ attributes: [['user', 'ada']] })
  const told = listen(sessions)
  clock.nowMs += 100_000
  t.truthy(sessions.find(id), 'another member may have used it a moment ago')
  clock.nowMs += 5_000
  t.is(sessions.find(id), undefined)
  t.deepEqual([...sessions.ids()], [])
  store.expireIdle()
  t.deepEqual(told, [['destroyed', { id, reason: 'expired', cause: 'local', attributes: new Map([['user', 'ada']]) }]])
})

test('a deferred session is stored by the commit that first has something to store', t => {
  const { sessions, store } = oneManager()
  const session = sessions.create({ deferred: true })
  t.true(session.isNew)
  t.is(sessions.commit(session), undefined)
  t.is(store.size, 0)
  session.set('user', 'ada')
  sessions.commit(session)
  t.is(store.written.length, 1)
  t.is(sessions.find(session.id)?.get('user'), 'ada')
  t.false(sessions.find(session.id)?.isNew)
})

test('getOrCreate never adopts an id it does not know', t => {
  const { sessions } = oneManager()
  const made = sessions.getOrCreate('made up by an attacker')
  t.not(made.id, 'made up by an attacker')
  t.is(sessions.getOrCreate(made.id).id, made.id)
  t.throws(() => sessions.create({ id: made.id }), { code: 'INVALID_STATE' })
})

test('a shortfall is counted and told, and fails only those who asked for it', async t => {
  const report = oneManager()
  const told = listen(report.sessions)
  const session = report.sessions.create()
  report.store.outcome = 'short'
  session.set('a', 1)
  t.is((await report.sessions.commit(session))?.outcome, 'short')
  t.deepEqual(told.at(-1)?.[0], 'shortfall')
  t.is(report.sessions.stats().shortfalls, 1)

  const strict = oneManager({ onShortfall: 'throw' })
  strict.store.outcome = 'unknown'
  const other = strict.sessions.create({ deferred: true })
  other.set('a', 1)
  await t.throwsAsync(async () => strict.sessions.commit(other), { code: 'SEND_FAILED' })
  t.is(strict.sessions.find(other.id)?.get('a'), 1, 'the write itself stands')
})

test('acknowledgement options reach the store', t => {
  const { sessions, store } = oneManager({ ack: 'received', copies: 2, ackTimeoutMs: 70 })
  const session = sessions.create()
  session.set('a', 1)
  sessions.commit(session, { ack: 'none' })
  t.like(store.sends[0], { ack: 'received', copies: 2, timeoutMs: 70 })
  t.like(store.sends[1], { ack: 'none', copies: 2, timeoutMs: 70 })
})

test('a listener that throws or rejects stops neither the others nor replication', async t => {
  const [a, b] = twoManagers()
  const errors: unknown[] = []
  let heard = 0
  b.sessions.on('listenerError', error => errors.push(error))
  b.sessions.on('created', () => {
    throw new Error('mine')
  })
  b.sessions.on('created', async () => {
    throw new Error('mine too')
  })
  b.sessions.once('created', () => heard++)
  const { id } = a.sessions.create()
  await Promise.resolve()
  await Promise.resolve()
  t.truthy(b.sessions.find(id))
  t.is(heard, 1)
  t.is(errors.length, 2)
  t.is(b.sessions.stats().listenerErrors, 2)
})

test('notifyListenersOnReplication: false keeps the others’ doings from listeners', t => {
  const [a, b] = twoManagers({ notifyListenersOnReplication: false })
  const told = listen(b.sessions)
  const session = a.sessions.create()
  session.set('a', 1)
  a.sessions.commit(session)
  session.changeId()
  session.invalidate()
  t.deepEqual(told, [])
  b.sessions.create()
  t.is(told.length, 1)
})

test('stopping leaves the sessions to the others, unless told to end them', async t => {
  const [a, b] = twoManagers()
  a.sessions.create()
  await a.sessions.stop()
  t.is(b.sessions.size, 1)
  t.throws(() => a.sessions.create(), { code: 'INVALID_STATE' })

  const [c, d] = twoManagers({ expireSessionsOnShutdown: true })
  const { id } = c.sessions.create()
  const told = listen(d.sessions)
  await c.sessions.stop()
  t.is(d.sessions.size, 0)
  t.like(told[0]?.[1], { id, reason: 'invalidated', cause: 'remote' })
})

test('a manager that starts on a full store knows its sessions', t => {
  const { sessions, store, clock } = oneManager()
  const { id } = sessions.create()
  const late = new Manager({ store, clock, random: new CountingRandom(99), onChange: store.onChange })
  late.start()
  t.is(late.find(id)?.id, id)
  t.is([...late].length, 1)
})

test('options out of range are refused by name', t => {
  for (const [option, value] of [
    ['maxInactiveInterval', Number.NaN],
    ['ack', 'soon'],
    ['copies', -1],
    ['ackTimeoutMs', 0],
    ['onShortfall', 'panic'],
    ['detect', 'sometimes'],
  ] as const) {
    t.throws(() => oneManager({ [option]: value }), { code: 'INVALID_OPTION', message: new RegExp(option) })
  }
})

test('what is too large to be stored is thrown by commit, and is no discarded write', t => {
  const { sessions, store } = oneManager()
  const session = sessions.create()
  const told = listen(sessions)
  store.write = () => {
    throw new MessageTooLargeError('attribute', 2, 1)
  }
  session.set('photo', 'x')
  t.throws(() => sessions.commit(session), { instanceOf: MessageTooLargeError })
  t.is(sessions.stats().discarded, 0)
  t.deepEqual(told, [])
})
