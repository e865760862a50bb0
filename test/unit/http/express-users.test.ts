import test from 'ava'
import express, { type Express, type NextFunction, type Request, type Response } from 'express'
import session from 'express-session'
import request from 'supertest'
import { routeCookie, sessionOf, TribelineStore } from '../../../lib/http/express.js'
import { type UserMember, userMembers } from '../../helpers/user-members.js'

const secret = 'keep it to yourself'

/** Logs in as the documentation of `sessionOf` shows. */
function shop(cluster: UserMember, prefix = ''): Express {
  const { users } = cluster
  const store = new TribelineStore({ cluster, prefix })
  const app = express()
  app.use(routeCookie({ cluster, secret }))
  app.use(session({ secret, resave: false, saveUninitialized: false, store }))
  app.get('/login/:user', (req, res, next) => {
    req.session.regenerate(error => {
      if (error) return next(error)
      const { user } = req.params
      Object.assign(req.session, { user, at: cluster.name })
      req.session.save(async error => {
        if (error) return next(error)
        try {
          await users.login(sessionOf(req)!, user, { keepId: true })
          res.send(req.sessionID)
        } catch (error) {
          req.session.destroy(() => next(error))
        }
      })
    })
  })
  app.get('/write', (req, res) => {
    Object.assign(req.session, { written: true })
    res.send(req.sessionID)
  })
  app.get('/logout', (req, res, next) => {
    users.logout(sessionOf(req)!)?.then(() => req.session.destroy(() => res.send('bye')), next)
  })
  app.get('/who', (req, res) => {
    const { user } = req.session as { user?: string }
    res.json({ user, principal: sessionOf(req)?.principal })
  })
  app.use((error: { code?: string }, _req: Request, res: Response, _next: NextFunction) => {
    res.status(403).send(error.code)
  })
  return app
}

/** A client with its cookies. */
function client(): (app: Express, path: string) => Promise<string> {
  const cookies = new Map<string, string>()
  return async (app, path) => {
    const header = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await request(app).get(path).set('Cookie', header)
    for (const one of (response.headers['set-cookie'] ?? []) as unknown as string[]) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(one) ?? []
      cookies.set(name, value)
    }
    return response.text
  }
}

for (const prefix of ['', 'shop:']) {
  test(`express-session: a login is the principal’s everywhere, and goes on as a session; prefix '${prefix}'`, async t => {
    const [a, b] = userMembers()
    const [one, two] = [shop(a, prefix), shop(b, prefix)]
    const ann = client()
    const before = await ann(one, '/write')
    const id = await ann(one, '/login/ann')
    t.not(id, before)
    t.deepEqual([...a.sessions.ids()], [prefix + id])
    for (const app of [one, two]) t.is(await ann(app, '/who'), '{"user":"ann","principal":"ann"}')
    t.is(await ann(two, '/write'), id)
    t.deepEqual([b.users.count('ann'), [...b.users.principals()]], [1, ['ann']])
    t.deepEqual(
      new Map(a.users.sessions('ann')[0]?.entries()),
      new Map(Object.entries({ user: 'ann', at: 'node1', written: true })),
    )
    const [{ signal } = { signal: AbortSignal.abort() }] = a.users.sessions('ann')
    t.is(await ann(two, '/logout'), 'bye')
    t.like(signal.reason, { code: 'SESSION_ENDED', why: 'logout' })
    t.is(await ann(one, '/who'), '{}')
    t.is(a.sessions.size, 0)
  })
}

test('express-session: endAll ends it, also under a request that saves afterwards', async t => {
  const [a, b] = userMembers()
  const ann = client()
  await ann(shop(a), '/login/ann')
  await b.users.endAll('ann')
  t.is(await ann(shop(a), '/who'), '{}')
  t.is(await ann(shop(b), '/who'), '{}')
  t.deepEqual([a.sessions.size, a.users.count('ann')], [0, 0])
})

test('express-session: the limit of logins', async t => {
  const [a, b] = userMembers({ maxSessions: 1 })
  const [first, second] = [client(), client()]
  await first(shop(a), '/login/ann')
  await second(shop(b), '/login/ann')
  t.is(await first(shop(a), '/who'), '{}')
  t.is(await second(shop(a), '/who'), '{"user":"ann","principal":"ann"}')

  const [strict] = userMembers({ maxSessions: 1, whenFull: 'refuse' })
  const [third, fourth] = [client(), client()]
  await third(shop(strict), '/login/ann')
  t.is(await fourth(shop(strict), '/login/ann'), 'LOGIN_REFUSED')
  t.is(await fourth(shop(strict), '/who'), '{}')
  t.is(strict.sessions.size, 1)
})

test('express-session: what other members lack of a login is waited for', async t => {
  const [a, b] = userMembers()
  const ann = client()
  a.store.held = true
  await ann(shop(a), '/login/ann')
  const answer = ann(shop(b), '/who')
  while (b.store.waiting === 0) await new Promise(resolve => setImmediate(resolve))
  a.store.flush()
  t.is(await answer, '{"user":"ann","principal":"ann"}')
})

test('sessionOf: nothing before the session is stored, and nothing without one', async t => {
  const [a] = userMembers()
  const app = express()
  app.use(session({ secret, resave: false, saveUninitialized: false, store: new TribelineStore({ cluster: a }) }))
  app.get('/', (req, res) => {
    res.send(String(sessionOf(req)))
  })
  t.is((await request(app).get('/')).text, 'undefined')
  t.is(sessionOf({}), undefined)
  t.is(sessionOf({ session: null }), undefined)
})
