import test from 'ava'
import fastify from 'fastify'
import { TribelineStore } from '../../../lib/http/express.js'
import { FastifySessionStore, fastifySession } from '../../../lib/http/fastify.js'
import { honoSession } from '../../../lib/http/hono.js'
import { clusterSession, routeCookie } from '../../../lib/http/index.js'
import { KoaSessionStore, koaSession } from '../../../lib/http/koa.js'
import { oneManager } from '../../helpers/session-managers.js'

/** What an application may get wrong in the options of an adapter, and what it is told. */

const cluster = oneManager()
const secret = 'keep it to yourself'
const code = 'INVALID_OPTION'

class Host {
  readonly channel = 'of a cluster'
  readonly sessions = cluster.sessions
}

const refused: readonly (readonly [options: object, message: RegExp])[] = [
  [
    { maxlifetime: 5 },
    /^Option maxlifetime must be one of the known names \(cluster, secret, .*maxLifetime.*\); got 5$/,
  ],
  [{ resave: false }, /^Option resave must be one of the known names/],
  [{ name: 'a b' }, /^Option name must be a name that a cookie may have; got "a b"$/],
  [{ name: 5 }, /^Option name must be .*; got 5$/],
  [{ routeCookie: true }, /^Option routeCookie must be a name that a cookie may have, or false; got true$/],
  [{ seenCookie: true }, /^Option seenCookie must be a name that a cookie may have, or false; got true$/],
  [{ stats: {} }, /^Option stats must be a SessionHttpStats; got an object$/],
  [{ application: 5 }, /^Option application must be 1 to 64 letters, digits, - or _; got 5$/],
  [{ cookie: null }, /^Option cookie must be an object; got null$/],
  [{ cookie: 'sid' }, /^Option cookie must be an object; got "sid"$/],
  [{ cookie: { maxage: 5 } }, /^Option cookie\.maxage must be one of the known names \(path, httpOnly, .*\); got 5$/],
  [{ cookie: { httponly: true } }, /^Option cookie\.httponly must be one of the known names/],
  [{ cookie: { httpOnly: 'false' } }, /^Option cookie\.httpOnly must be true or false; got "false"$/],
  [{ cookie: { secure: 'yes' } }, /^Option cookie\.secure must be true, false or 'auto'; got "yes"$/],
  [{ cookie: { sameSite: true } }, /^Option cookie\.sameSite must be one of 'lax', 'strict', 'none'; got true$/],
  [{ cookie: { maxAge: '1h' } }, /^Option cookie\.maxAge must be a positive number of milliseconds; got "1h"$/],
  [{ cookie: { path: 'shop' } }, /^Option cookie\.path must be a path: '\/' .*; got "shop"$/],
  [{ cookie: { domain: 'localhost:80' } }, /^Option cookie\.domain must be a host name, without a port; got "loc/],
  [{ cookie: { partitioned: 1 } }, /^Option cookie\.partitioned must be true or false; got 1$/],
  [{ secret: undefined }, /^Option secret must be a string, or a list of them, none empty; got undefined$/],
  [{ secret: '' }, /^Option secret must be .*; got ""$/],
  [{ secret: [] }, /^Option secret must be .*; got an array$/],
  [{ secret: ['fine', ''] }, /^Option secret must be .*; got an array$/],
]

for (const [options, message] of refused) {
  test(`every middleware refuses ${JSON.stringify(options)}`, async t => {
    const given = { cluster, secret, ...options } as never
    for (const adapter of [clusterSession, koaSession, honoSession, routeCookie]) {
      t.throws(() => void adapter(given), { code, message })
    }
    const app = fastify()
    await t.throwsAsync(async () => app.register(fastifySession, given), { code, message })
  })
}

test('a secret of another kind is not told', t => {
  const error = t.throws(() => clusterSession({ cluster, secret: 123_456 as never }), { code })
  t.regex(error?.message ?? '', /got "number"$/)
})

test('no options at all are refused like wrong ones', t => {
  const message = /^Option options must be an object; got undefined$/
  for (const adapter of [clusterSession, koaSession, honoSession]) {
    t.throws(() => void adapter(undefined as never), { code, message })
  }
})

test('what Fastify takes for itself is no mistake', async t => {
  const app = fastify()
  await t.notThrowsAsync(async () => app.register(fastifySession, { cluster, secret, logLevel: 'warn', prefix: '/x' }))
})

test('attributes that a cookie may have', t => {
  for (const cookie of [
    { path: '/shop', domain: '.example.com', secure: true, sameSite: 'none', partitioned: true },
    { httpOnly: false, sameSite: 'strict', secure: 'auto', maxAge: 1, domain: undefined },
  ]) {
    t.notThrows(() => clusterSession({ cluster, secret, cookie: cookie as never }))
  }
})

test('stores refuse names that they do not know, and take a cluster itself', t => {
  for (const Store of [TribelineStore, FastifySessionStore, KoaSessionStore]) {
    for (const options of [
      { cluster, touchAfter: 5 },
      { cluster, ack: 'none' },
    ]) {
      t.throws(() => new Store(options), { code, message: /must be one of the known names \(cluster, sessions, / })
    }
    t.throws(() => new Store({ cluster: Promise.resolve(cluster) as never }), { code, message: /got an object$/ })
    t.notThrows(() => new Store(new Host()))
  }
})
