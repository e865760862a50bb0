import test from 'ava'
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import session from 'express-session'
import sinon from 'sinon'
import request from 'supertest'
import { isStale, routeCookie, TribelineStore } from '../../../lib/http/express.js'
import { SessionHttpStats, type SessionMove } from '../../../lib/http/index.js'
import { type ManagerFixture, twoManagers } from '../../helpers/session-managers.js'

declare module 'express-session' {
  interface SessionData {
    views: number
  }
}

const secret = 'keep it to yourself'

function shop(cluster: ManagerFixture, more: Partial<Parameters<typeof routeCookie>[0]> = {}): Express {
  const app = express()
  app.use(routeCookie({ cluster, secret, ...more }))
  app.use(session({ secret, resave: false, saveUninitialized: false, store: new TribelineStore({ cluster }) }))
  app.get('/saved', (req, res, next) => {
    req.session.views = (req.session.views ?? 0) + 1
    req.session.save(error => (error ? next(error) : res.send(String(req.session.views))))
  })
  app.get(['/sent', '/streamed', '/written-head', '/flushed', '/streamed-after-save'], (req, res) => {
    const { path, session } = req
    if (path === '/streamed-after-save') Object.assign(session, { saved: true }).save()
    session.views = (session.views ?? 0) + 1
    if (path.startsWith('/streamed')) res.write(' ')
    else if (path === '/flushed') res.flushHeaders()
    else if (path === '/written-head') res.writeHead(200)
    res.end(String(session.views))
  })
  app.get('/streamed-later', (req, res) => {
    res.write(' ')
    req.session.views = (req.session.views ?? 0) + 1
    res.end(String(req.session.views))
  })
  app.get('/untouched', (_req, res) => {
    res.write(' ')
    res.end()
  })
  app.get('/logout', (req, res, next) => {
    req.session.destroy(error => (error ? next(error) : res.send('')))
  })
  app.get('/head', (req, res) => {
    res.writeHead(200, { 'Set-Cookie': 'mine=1' }).end(String(req.session.views))
  })
  app.get('/look', (req, res) => {
    res.send(`${req.session.views} ${isStale(req)}`)
  })
  return app
}

/** Name and value of every cookie of a response. */
function cookiesOf(response: request.Response): Map<string, string> {
  const all = (response.headers['set-cookie'] ?? []) as unknown as string[]
  return new Map(all.map(one => /^([^=]+)=([^;]*)/.exec(one)?.slice(1) as [string, string]))
}

function header(cookies: ReadonlyMap<string, string>): string {
  return [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
}

test('the client is bound to who serves it, and the move is told', async t => {
  const [a, b] = twoManagers()
  const moves: SessionMove[] = []
  const stats = new SessionHttpStats()
  const first = cookiesOf(await request(shop(a)).get('/saved'))
  t.is(first.get('tribeline_route'), 'node1')
  const second = shop(b, { stats, onMoved: move => void moves.push(move) })
  const moved = cookiesOf(await request(second).get('/look').set('Cookie', header(first)))
  t.deepEqual([...moved], [['tribeline_route', 'node2']])
  const [{ id } = { id: '' }] = a.sessions
  t.deepEqual(moves, [{ id, from: 'node1', to: 'node2' }])
  const cookies = new Map([...first, ...moved])
  t.is(cookiesOf(await request(second).get('/look').set('Cookie', header(cookies))).size, 0)
  t.deepEqual([stats.requests, stats.moves], [2, 1])
})

test('what a session is when the headers go out is waited for elsewhere; what a stream changes later is not', async t => {
  const [a, b] = twoManagers()
  const first = shop(a)
  const cookies = new Map<string, string>()
  const visit = async (path: string): Promise<void> => {
    const answer = await request(first).get(path).set('Cookie', header(cookies))
    for (const [name, value] of cookiesOf(answer)) cookies.set(name, value)
  }
  const look = (): Promise<request.Response> => request(shop(b)).get('/look').set('Cookie', header(cookies)).then()
  await visit('/saved')
  const paths = ['/saved', '/sent', '/streamed', '/written-head', '/flushed', '/streamed-after-save']
  for (const [index, path] of paths.entries()) {
    a.store.held = true
    await visit(path)
    const deltas = path === '/streamed-after-save' ? 2 : 1
    t.is(a.store.written.length, index + 1 + deltas, path)
    const answer = look()
    while (b.store.waiting === 0) await new Promise(resolve => setImmediate(resolve))
    a.store.flush()
    t.is((await answer).text.trim(), `${index + 2} false`, path)
  }
  const before = cookies.get('tribeline_seen')
  a.store.held = true
  await visit('/streamed-later')
  t.is(cookies.get('tribeline_seen'), before)
  t.is((await look()).text, '7 false', 'as documented')
})

test('a stream whose session nobody wrote to stores none, and what goes wrong with another is reported', async t => {
  const [a] = twoManagers({ onShortfall: 'throw' })
  const errors: unknown[] = []
  const app = shop(a, { onError: error => errors.push(error) })
  t.deepEqual([...cookiesOf(await request(app).get('/untouched')).keys()], ['tribeline_route'])
  t.is(a.sessions.size, 0)
  a.store.outcome = 'short'
  await request(app).get('/streamed')
  t.like(errors, [{ code: 'SEND_FAILED' }])
  t.is(a.sessions.size, 1)
})

test('what does not come in time is stale', async t => {
  const [a, b] = twoManagers()
  const first = shop(a)
  const cookies = cookiesOf(await request(first).get('/saved'))
  a.store.held = true
  const saved = cookiesOf(await request(first).get('/saved').set('Cookie', header(cookies)))
  const second = shop(b, { catchUpMs: 0 })
  const { text } = await request(second)
    .get('/look')
    .set('Cookie', header(new Map([...cookies, ...saved])))
  t.is(text, '1 true')
})

test('a session destroyed before the answer is gone elsewhere too', async t => {
  const [a, b] = twoManagers()
  const first = shop(a)
  const cookies = cookiesOf(await request(first).get('/saved'))
  a.store.held = true
  const out = cookiesOf(await request(first).get('/logout').set('Cookie', header(cookies)))
  t.truthy(out.get('tribeline_seen'))
  const answer = request(shop(b))
    .get('/look')
    .set('Cookie', header(new Map([...cookies, ...out])))
    .then()
  while (b.store.waiting === 0) await new Promise(resolve => setImmediate(resolve))
  a.store.flush()
  t.is((await answer).text, 'undefined false')
})

test('the application’s own cookies stay', async t => {
  const [a] = twoManagers()
  const cookies = cookiesOf(await request(shop(a)).get('/head'))
  t.deepEqual([...cookies.keys()].sort(), ['mine', 'tribeline_route'])
})

/** Answers in one piece, with the calls of `store.set` counted; `between` comes before express-session. */
function counted(
  cluster: ManagerFixture,
  between?: RequestHandler,
): { app: Express; errors: unknown[]; sets(): number } {
  const store = new TribelineStore({ cluster, readOnly: /read-only/ })
  const errors: unknown[] = []
  const set = sinon.spy(store, 'set')
  const app = express()
  app.use(routeCookie({ cluster, secret, onError: error => errors.push(error) }))
  if (between !== undefined) app.use(between)
  app.use(session({ secret, resave: false, saveUninitialized: false, store }))
  app.use((req, res) => {
    req.session.views = (req.session.views ?? 0) + 1
    if (req.path === '/unchanged') res.status(304).end()
    else res.end(String(req.session.views))
    // The second is none: the first has been called.
    if (req.path === '/both-ends') res.end('again')
  })
  app.use(((_error, _req, res, _next) => void res.destroy()) as ErrorRequestHandler)
  return {
    app,
    errors,
    sets() {
      const { callCount } = set
      set.resetHistory()
      return callCount
    },
  }
}

const later: RequestHandler = (_req, _res, next) => setImmediate(next)
const wrapping: RequestHandler = (_req, res, next) => {
  const { end } = res
  res.end = function endOfOther(this: typeof res, ...args: unknown[]) {
    return Reflect.apply(end, this, args)
  } as typeof end
  setImmediate(next)
}

for (const [where, between] of [
  ['directly', undefined],
  ['after an asynchronous middleware', later],
  ['after a middleware with an end of its own', wrapping],
] as const) {
  test(`an answer in one piece saves once, with express-session ${where}`, async t => {
    const [a] = twoManagers()
    const { app, sets } = counted(a, between)
    for (const method of ['get', 'head', 'post'] as const) {
      for (const path of ['/', '/unchanged', '/both-ends']) {
        const first = cookiesOf(await request(app)[method](path))
        t.is(sets(), 1, `${method} ${path} for a new client`)
        t.true(first.has('tribeline_seen'))
        const next = cookiesOf(await request(app)[method](path).set('Cookie', header(first)))
        t.is(sets(), 1, `${method} ${path} again`)
        t.true(next.has('tribeline_seen'))
      }
    }
  })
}

test('a stream saves early, also where express-session comes late', async t => {
  const [a] = twoManagers()
  const app = express()
  app.use(routeCookie({ cluster: a, secret }), later)
  app.use(shop(a, { routeCookie: false, seenCookie: false }))
  const first = cookiesOf(await request(app).get('/streamed'))
  t.deepEqual([...first.keys()].sort(), ['connect.sid', 'tribeline_route', 'tribeline_seen'])
  t.true(cookiesOf(await request(app).get('/streamed').set('Cookie', header(first))).has('tribeline_seen'))
})

test('a cookie that nobody of ours made is forgotten at the first look, and one of another application kept', async t => {
  const [a, b] = twoManagers()
  const stats = new SessionHttpStats()
  const app = shop(b, { stats })
  for (const value of ['nonsense', `${'A'.repeat(22)}.5~${'A'.repeat(22)}`]) {
    const answer = await request(app).get('/look').set('Cookie', `tribeline_route=node2; tribeline_seen.3=${value}`)
    t.is(answer.text, 'undefined false')
    t.deepEqual([...cookiesOf(answer)], [['tribeline_seen.3', '']])
  }
  a.store.held = true
  const other = cookiesOf(await request(shop(a, { name: 'other.sid' })).get('/saved'))
  const seen = `tribeline_seen=${other.get('tribeline_seen')}`
  t.is(cookiesOf(await request(app).get('/look').set('Cookie', `tribeline_route=node2; ${seen}`)).size, 0)
  t.deepEqual([stats.refusedTokens, stats.stale, stats.waits], [3, 0, 0])
})
