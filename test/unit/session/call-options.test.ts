import test from 'ava'
import type { CommitOptions } from '../../../lib/session/session-manager.js'
import { oneManager } from '../../helpers/session-managers.js'

const WRONG: readonly (readonly [name: keyof CommitOptions, value: unknown, expected: RegExp])[] = [
  ['ack', 'aplied', /Option ack must be one of .*applied.*; got "aplied"/],
  ['copies', -1, /Option copies must be a whole number from 0, or 'all'; got -1/],
  ['copies', 'two', /Option copies/],
  ['ackTimeoutMs', 0, /Option ackTimeoutMs/],
  ['ackTimeoutMs', Number.NaN, /Option ackTimeoutMs/],
]
const WRONG_IN_COMMITS: typeof WRONG = [
  ...WRONG,
  ['detect', 'some', /Option detect must be one of/],
  ['merge', 'mine', /Option merge/],
]

test('a commit checks its own options; nothing is written, and the view can be committed again', t => {
  const { sessions } = oneManager()
  const session = sessions.create({ attributes: [['n', 1]] })
  session.set('n', 2)
  for (const [name, value, message] of WRONG_IN_COMMITS) {
    t.throws(() => sessions.commit(session, { [name]: value }), { code: 'INVALID_OPTION', message })
    t.is(sessions.find(session.id)?.get('n'), 1)
  }
  sessions.commit(session, { ack: 'none', copies: 'all', ackTimeoutMs: 5, detect: 'set', merge: 'last-write' })
  t.is(sessions.find(session.id)?.get('n'), 2)
})

test('so do the first commit, a change of the id, and an end', t => {
  const { sessions } = oneManager()
  const session = sessions.create({ attributes: [['n', 1]] })
  const first = sessions.create({ deferred: true, attributes: [['n', 1]] })
  for (const [name, value, message] of WRONG) {
    const options = { [name]: value }
    t.throws(() => sessions.commit(first, options), { code: 'INVALID_OPTION', message })
    t.throws(() => session.changeId(options), { code: 'INVALID_OPTION', message })
    t.throws(() => session.invalidate(options), { code: 'INVALID_OPTION', message })
  }
  t.is(sessions.size, 1)
  t.true(sessions.find(session.id)?.isValid)
  t.true(session.isValid, 'a view whose end was refused goes on')
})
