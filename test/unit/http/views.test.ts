import type { IncomingMessage } from 'node:http'
import test from 'ava'
import { sign } from 'cookie-signature'
import { SessionReadOnlyError } from '../../../lib/errors.js'
import { SessionCookie, upgradeSession } from '../../../lib/http/index.js'
import { SessionGate } from '../../../lib/http/requests/session-gate.js'
import { AttributeScope } from '../../../lib/session/attribute-scope.js'
import { oneManager } from '../../helpers/session-managers.js'

const secret = 'keep it to yourself'

function requestOf(url: string, id: string): IncomingMessage {
  const cookie = `tribeline.sid=${encodeURIComponent(`s:${sign(id, secret)}`)}`
  return { url, headers: { cookie } } as IncomingMessage
}

test('which requests only read: all, a pattern for the path alone, a test', t => {
  const cluster = oneManager()
  const isReadOnly = (readOnly: boolean | RegExp | ((req: { verb: string }) => boolean), url: string): boolean => {
    const gate = new SessionGate<{ verb: string }>({ cluster, secret, readOnly })
    return gate.view(url, { verb: url.slice(1) })?.readOnly === true
  }
  t.true(isReadOnly(true, '/any'))
  t.false(isReadOnly(false, '/any'))
  t.true(isReadOnly(/^\/look/, '/look?x'))
  t.false(isReadOnly(/x$/, '/look?x'))
  t.true(isReadOnly(({ verb }) => verb === 'GET', '/GET'))
  t.false(isReadOnly(({ verb }) => verb === 'GET', '/PUT'))
})

test('an upgrade sees its application’s attributes, and may be for reading only', async t => {
  const cluster = oneManager()
  const { sessions } = cluster
  const shop = new AttributeScope({ application: 'shop' })
  const session = sessions.create({ scope: shop, attributes: [['cart', 1]] })
  const options = { cluster, secret, application: 'shop', readOnly: /^\/watch/ }
  const find = upgradeSession(options)
  const watching = await find(requestOf('/watch', session.id))
  t.is(watching?.get('cart'), 1)
  t.throws(() => watching?.set('cart', 2), { instanceOf: SessionReadOnlyError })
  const writing = await find(requestOf('/write', session.id))
  t.false(writing?.isReadOnly)
  t.is((await upgradeSession({ cluster, secret })(requestOf('/', session.id)))?.get('cart'), undefined)
})

test('a cookie lives no longer than its session, and one without a lifetime still has none', t => {
  const maxAge = (options: { maxAge?: number }, leftMs?: number): string | undefined =>
    /Max-Age=(\d+)/.exec(new SessionCookie('sid', secret, options).issue('id', true, '', leftMs))?.[1]
  t.is(maxAge({ maxAge: 60_000 }), '60')
  t.is(maxAge({ maxAge: 60_000 }, 90_000), '60')
  t.is(maxAge({ maxAge: 60_000 }, 12_999), '12')
  t.is(maxAge({}, 12_000), undefined)
})
