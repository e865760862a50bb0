import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { inspect } from 'node:util'
import test from 'ava'
import express from 'express'
import session from 'express-session'
import fastify from 'fastify'
import { Hono } from 'hono'
import request from 'supertest'
import { TribelineStore } from '../../lib/http/express.js'
import { fastifySession, sessionOf as sessionOfFastify } from '../../lib/http/fastify.js'
import { type HonoSession, honoSession } from '../../lib/http/hono.js'
import { type ClusterSessionOptions, clusterSession, type SessionRequest, sessionOf } from '../../lib/http/index.js'
import { oneManager } from '../helpers/session-managers.js'

const secret = 'keep it to yourself'

function ours(
  options: ClusterSessionOptions,
  handler: (req: SessionRequest, res: ServerResponse) => void,
): RequestListener {
  const handle = clusterSession(options)
  return (req: IncomingMessage, res: ServerResponse) => handle(req, res, () => handler(req as SessionRequest, res))
}

function cookiesOf(response: request.Response): string[] {
  return ((response.headers['set-cookie'] ?? []) as unknown as string[]).map(one => one.split('=')[0] as string)
}

function cookieOf(response: request.Response): string {
  const all = (response.headers['set-cookie'] ?? []) as unknown as string[]
  return all.map(one => one.split(';')[0]).join('; ')
}

const OURS = ['tribeline.sid', 'tribeline_route', 'tribeline_seen']

test('every form of writeHead keeps its own cookies beside ours', async t => {
  const forms: Record<string, (res: ServerResponse) => ServerResponse> = {
    'no headers': res => res.writeHead(200),
    'a message': res => res.writeHead(200, 'Fine'),
    object: res => res.writeHead(200, { 'Set-Cookie': 'mine=1', 'X-Mine': '1' }),
    'message and object': res => res.writeHead(200, 'Fine', { 'set-cookie': ['mine=1'], 'X-Mine': '1' }),
    'object without cookies': res => res.setHeader('Set-Cookie', 'mine=1').writeHead(200, { 'X-Mine': '1' }),
    'flat list': res => res.writeHead(200, ['Set-Cookie', 'mine=1', 'X-Mine', '1']),
    'list of pairs': res => res.writeHead(200, [['Set-Cookie', 'mine=1'] as never, ['X-Mine', '1'] as never]),
    'flat list without cookies': res => res.setHeader('Set-Cookie', ['mine=1']).writeHead(200, ['X-Mine', '1']),
    'message and flat list': res => res.writeHead(200, 'Fine', ['set-cookie', 'mine=1', 'X-Mine', '1']),
  }
  for (const [form, write] of Object.entries(forms)) {
    const listener = ours({ cluster: oneManager(), secret }, (req, res) => {
      req.session.a = 1
      write(res).end('done')
    })
    const response = await request(listener).get('/')
    t.is(response.text, 'done', form)
    const has = /object|list/.test(form)
    t.deepEqual(cookiesOf(response).sort(), has ? ['mine', ...OURS] : OURS, form)
    t.is(response.headers['x-mine'], has ? '1' : undefined, form)
  }
})

test('tribeline/express without express-session says what is missing', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'tribeline-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const root = fileURLToPath(new URL('../../../', import.meta.url))
  const { dependencies } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { dependencies: object }
  await cp(fileURLToPath(new URL('../../lib', import.meta.url)), join(folder, 'lib'), { recursive: true })
  await writeFile(join(folder, 'package.json'), '{"type":"module"}')
  // Packages that cannot be entered, so that none of a folder further up is found in their place.
  for (const name of ['express-session', 'express', 'fastify', 'koa', 'hono']) {
    await mkdir(join(folder, 'node_modules', name), { recursive: true })
    await writeFile(join(folder, 'node_modules', name, 'package.json'), JSON.stringify({ name, exports: {} }))
  }
  for (const name of Object.keys(dependencies)) {
    await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  }
  const load = (file: string): Promise<unknown> => import(pathToFileURL(join(folder, 'lib/http', file)).href)
  const error = await t.throwsAsync(load('express.js'), { code: 'PEER_MISSING' })
  t.regex(String(error?.message), /express-session/)
  for (const file of ['index.js', 'fastify.js', 'koa.js', 'hono.js']) await t.notThrowsAsync(load(file), file)
})

test('Express: who hooked the response before stays below, on the first request and on later ones', async t => {
  const cluster = oneManager()
  const app = express()
  const order: string[] = []
  app.use((_, res, next) => {
    const { writeHead, end } = res
    res.writeHead = ((...args: unknown[]) => {
      order.push('head')
      return Reflect.apply(writeHead, res, args)
    }) as typeof res.writeHead
    res.end = ((...args: unknown[]) => {
      order.push('end')
      return Reflect.apply(end, res, args)
    }) as typeof res.end
    next()
  })
  app.use(clusterSession({ cluster, secret }))
  app.get('/', (req, res) => {
    const session = sessionOf(req)
    if (session !== undefined) session.views = (session.views ?? 0) + 1
    res.send(String(session?.views))
  })
  for (const _ of [1, 2]) {
    order.length = 0
    const response = await request(app).get('/')
    t.deepEqual(cookiesOf(response), OURS)
    t.deepEqual(order, ['end', 'head'])
  }
  t.is(cluster.store.written.length, 2, 'each was committed once')
})

test('Express: a session that begins in a mounted application goes on after it', async t => {
  const cluster = oneManager()
  const app = express()
  const mounted = express()
  mounted.use(clusterSession({ cluster, secret }))
  mounted.use((req, _, next) => {
    Object.assign(req.session, { inside: true })
    next()
  })
  app.use('/shop', mounted)
  app.use((req, res) => {
    if (req.session !== undefined) Object.assign(req.session, { outside: true })
    res.json(req.session ?? 'none')
  })
  const response = await request(app).get('/shop/a')
  t.deepEqual(response.body, { inside: true, outside: true })
  t.deepEqual(cookiesOf(response), OURS)
  t.deepEqual([...cluster.sessions][0]?.names(), ['inside', 'outside'])
  t.is((await request(app).get('/')).body, 'none')
})

test('Express: express-session serves some paths, ours the others', async t => {
  const cluster = oneManager()
  const app = express()
  const theirs = session({ secret, store: new TribelineStore({ cluster }), resave: false, saveUninitialized: false })
  app.use('/new', clusterSession({ cluster, secret, name: 'connect.sid', routeCookie: false }))
  app.use('/old', theirs)
  app.use((req, res) => {
    const bag = req.session as unknown as { views?: number }
    bag.views = (bag.views ?? 0) + 1
    res.send(`${typeof (req.session as { regenerate?: unknown }).regenerate} ${bag.views}`)
  })
  const first = await request(app).get('/new')
  t.is(first.text, 'function 1')
  const cookie = cookieOf(first)
  t.is((await request(app).get('/old').set('Cookie', cookie)).text, 'function 2')
  t.is((await request(app).get('/new').set('Cookie', cookie)).text, 'function 3')
  t.is(cluster.sessions.size, 1)
})

test('req.session takes nothing but null', async t => {
  const listener = ours({ cluster: oneManager(), secret }, (req, res) => {
    t.throws(() => Object.assign(req, { session: {} }), { instanceOf: TypeError })
    t.throws(() => req.session.regenerate().get('a\u0000') === undefined && req.session.set('\u0000a', 1))
    res.end('done')
  })
  t.is((await request(listener).get('/')).text, 'done')
})

test('what a session has of its own is not overwritten without a word, not even by sloppy code', async t => {
  const assign = new Function('session', 'name', 'session[name] = 1') as (session: object, name: string) => void
  const cluster = oneManager()
  const listener = ours({ cluster, secret }, ({ session }, res) => {
    session.kept = 1
    for (const name of ['id', 'isNew', 'save', 'names', 'stored', 'wrote', 'key']) {
      const message = `A session has ${name} of its own; an attribute of that name needs session.set("${name}", value)`
      t.throws(() => assign(session, name), { instanceOf: TypeError, message })
    }
    session.set('stored', 2)
    assign(session, 'maxInactiveInterval')
    res.end(session.id)
  })
  const stored = cluster.sessions.find((await request(listener).get('/')).text)
  t.deepEqual(
    [...(stored?.entries() ?? [])],
    [
      ['kept', 1],
      ['stored', 2],
    ],
  )
  t.is(stored?.maxInactiveInterval, 1)
})

test('a session can be looked at and put into a text, and does not give its id away', async t => {
  const listener = ours({ cluster: oneManager(), secret }, ({ session }, res) => {
    session.cart = ['apples']
    t.is(inspect(session), "Session { cart: [ 'apples' ] }")
    t.is(`${session}`, '[object Session]')
    t.is(JSON.stringify(session), '{"cart":["apples"]}')
    session.invalidate()
    t.is(inspect(session), 'Session (invalidated)')
    res.end('done')
  })
  t.is((await request(listener).get('/')).text, 'done')
})

test('Hono: the variable takes nothing but null, and what else it is given is reported', async t => {
  const told: unknown[] = []
  const cluster = oneManager()
  const app = new Hono<HonoSession>()
  app.use(honoSession({ cluster, secret, onError: error => told.push(String(error)) }))
  app.get('/renew', c => {
    c.get('session').regenerate().views = 1
    return c.text('fine')
  })
  app.get('/wrong', c => {
    c.set('session', { views: 1 } as never)
    return c.text('fine')
  })
  t.is((await app.request('/renew')).headers.getSetCookie().length, OURS.length)
  t.deepEqual(told, [])
  t.is((await app.request('/wrong')).status, 200)
  t.deepEqual(told, ["TypeError: c.set('session', …) takes nothing but null"])
})

test('behind express-session on the same request it says so, instead of failing where nobody catches', async t => {
  const cluster = oneManager()
  const app = express()
  app.use(session({ secret, store: new TribelineStore({ cluster }), resave: false, saveUninitialized: false }))
  app.use(clusterSession({ cluster, secret }))
  app.use((_req, res) => void res.send('not reached'))
  app.use((error: { code: string }, _req: unknown, res: express.Response, _next: unknown) => {
    res.status(500).send(error.code)
  })
  const response = await request(app).get('/')
  t.is(`${response.status} ${response.text}`, '500 INVALID_STATE')
})

test('Fastify: the plugin is not encapsulated, inject works, and ends with null', async t => {
  const cluster = oneManager()
  const app = fastify()
  t.teardown(() => app.close())
  await app.register(fastifySession, { cluster, secret })
  await app.register(async child => {
    child.get('/in', async request => {
      const session = sessionOfFastify(request)
      if (session !== undefined) session.views = (session.views ?? 0) + 1
      return { views: session?.views }
    })
  })
  app.get('/out', async request => {
    Object.assign(request, { session: null })
    return ''
  })
  const first = await app.inject('/in')
  t.deepEqual(first.json(), { views: 1 })
  const cookies = Object.fromEntries(first.cookies.map(({ name, value }) => [name, value]))
  t.deepEqual(Object.keys(cookies), OURS)
  t.deepEqual((await app.inject({ url: '/in', cookies })).json(), { views: 2 })
  const out = await app.inject({ url: '/out', cookies })
  t.is(out.cookies[0]?.maxAge, 0)
  t.is(cluster.sessions.size, 0)
  await t.throwsAsync(async () => fastify().register(fastifySession, { cluster, secret: '' }), {
    code: 'INVALID_OPTION',
  })
})
