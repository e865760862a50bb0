import test from 'ava'
import { SessionValueError } from '../../../lib/errors.js'
import { AttributeScope } from '../../../lib/session/attribute-scope.js'
import { oneManager } from '../../helpers/session-managers.js'

test('a value that cannot be stored is told by its attribute, and nothing of the commit is written', t => {
  const { sessions } = oneManager()
  const session = sessions.create({ attributes: [['n', 1]] })
  session.set('n', 2).set('token', Symbol('secret'))
  const error = t.throws(() => sessions.commit(session), { instanceOf: SessionValueError, code: 'SESSION_VALUE' })
  t.is(error?.attribute, 'token')
  t.regex(error?.message ?? '', /^The session attribute "token" cannot be stored: /)
  t.true(error?.cause instanceof Error)
  t.is(sessions.find(session.id)?.get('n'), 1)
  session.delete('token')
  sessions.commit(session)
  t.is(sessions.find(session.id)?.get('n'), 2, 'the view goes on without it')
})

test('the name is the one the application knows', t => {
  const { sessions } = oneManager()
  const { id } = sessions.create()
  const scope = new AttributeScope({ application: 'shop' })
  const session = sessions.find(id, { scope })!
  session.set('token', Symbol('secret'))
  t.is(t.throws(() => sessions.commit(session), { instanceOf: SessionValueError })?.attribute, 'token')
})

test('what a merge function makes is named as well', t => {
  const { sessions } = oneManager({ merge: () => Symbol('merged') })
  const { id } = sessions.create({ attributes: [['n', 1]] })
  const [first, second] = [sessions.find(id)!, sessions.find(id)!]
  first.set('n', 2)
  sessions.commit(first)
  second.set('n', 3)
  t.is(t.throws(() => sessions.commit(second), { instanceOf: SessionValueError })?.attribute, 'n')
  t.is(sessions.find(id)?.get('n'), 2)
})
