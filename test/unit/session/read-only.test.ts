import test from 'ava'
import { SessionReadOnlyError } from '../../../lib/errors.js'
import { oneManager } from '../../helpers/session-managers.js'

test('a view for reading only refuses every change, and is a use', t => {
  const { sessions, store } = oneManager()
  const { id } = sessions.create({ attributes: [['list', [1]]] })
  const view = sessions.find(id, { readOnly: true })
  t.true(view?.isReadOnly)
  t.false(sessions.find(id)?.isReadOnly)
  const changes: (() => unknown)[] = [
    () => view?.set('a', 1),
    () => view?.delete('list'),
    () => view?.invalidate(),
    () => view?.changeId(),
    () => view?.setReserved('\u0000x', undefined),
    () => {
      if (view !== undefined) view.maxInactiveInterval = 5
    },
  ]
  for (const change of changes) t.throws(change, { instanceOf: SessionReadOnlyError, code: 'SESSION_READ_ONLY' })
  view?.touch()
  t.is(store.touches, 1)
  t.deepEqual(view?.get('list'), [1])
})

test('what is changed in place is not written', t => {
  const { sessions, store } = oneManager({ detect: 'all' })
  const { id } = sessions.create({ attributes: [['list', [1]]] })
  const written = store.written.length
  const view = sessions.find(id, { readOnly: true })
  view?.get<number[]>('list')?.push(2)
  t.is(view && sessions.commit(view), undefined)
  t.is(store.written.length, written)
  t.deepEqual(sessions.find(id)?.get('list'), [1])
})

test('a new session for reading only is empty and never stored', t => {
  const { sessions } = oneManager()
  const session = sessions.create({ readOnly: true })
  t.throws(() => session.set('a', 1), { instanceOf: SessionReadOnlyError })
  t.is(sessions.commit(session, { storeEmpty: true }), undefined)
  t.is(sessions.size, 0)
})
