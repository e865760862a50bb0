import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import test from 'ava'
import { sign } from 'cookie-signature'
import express from 'express'
import session from 'express-session'
import request from 'supertest'
import { TribelineStore } from '../../lib/http/express.js'
import type { ClusterSessionOptions, SessionRequest } from '../../lib/http/index.js'
import { clusterSession, sessionOf } from '../../lib/http/index.js'
import { oneManager, twoManagers } from '../helpers/session-managers.js'

type Handler = (req: SessionRequest, res: ServerResponse) => void

const secret = 'keep it to yourself'

function ours(options: ClusterSessionOptions, handler: Handler): RequestListener {
  const handle = clusterSession(options)
  return (req: IncomingMessage, res: ServerResponse) => handle(req, res, () => handler(req as SessionRequest, res))
}

const counting: Handler = (req, res) => {
  req.session.views = (req.session.views ?? 0) + 1
  res.end(String(req.session.views))
}

function cookieOf(response: request.Response, name: string): string | undefined {
  const all = (response.headers['set-cookie'] ?? []) as unknown as string[]
  return all.find(one => one.startsWith(`${name}=`))?.split(';')[0]
}

test('express-session: 8 parallel writers keep 8 of 8, and a logout during a slow request stays one', async t => {
  const cluster = oneManager()
  const store = new TribelineStore({ cluster })
  const app = express()
  app.use(session({ secret, store, resave: false, saveUninitialized: false }))
  const waiting: (() => void)[] = []
  app.get('/begin', (req, res) => {
    Object.assign(req.session, { begun: true })
    res.end()
  })
  app.get('/write/:name', (req, res) => {
    waiting.push(() => {
      Object.assign(req.session, { [req.params.name]: 1 })
      res.end()
    })
    if (waiting.length === 8) for (const go of waiting) go()
  })
  let slow = (): void => {}
  app.get('/logout', (req, res) => req.session.destroy(() => res.end()))
  app.get('/slow', (req, res) => {
    slow = () => {
      Object.assign(req.session, { late: true })
      res.end()
    }
    request(app).get('/logout').set('Cookie', cookie).end(slow)
  })
  const cookie = cookieOf(await request(app).get('/begin'), 'connect.sid') as string
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
  await Promise.all(names.map(async name => request(app).get(`/write/${name}`).set('Cookie', cookie)))
  const kept = [...cluster.sessions][0]?.names().filter(name => name.length === 1)
  t.deepEqual(kept?.sort(), names)
  await request(app).get('/slow').set('Cookie', cookie)
  t.is(cluster.sessions.size, 0)
})

test('node:http: a session on one member goes on at the other, which takes over the route', async t => {
  const [a, b] = twoManagers()
  const first = await request(ours({ cluster: a, secret, seenCookie: false }, counting)).get('/')
  t.is(first.text, '1')
  t.is(cookieOf(first, 'tribeline_route'), 'tribeline_route=node1')
  const cookies = `${cookieOf(first, 'tribeline.sid')}; tribeline_route=node1`
  const again = await request(ours({ cluster: a, secret, seenCookie: false }, counting))
    .get('/')
    .set('Cookie', cookies)
  t.is(again.headers['set-cookie'], undefined)
  const moved = await request(ours({ cluster: b, secret }, counting))
    .get('/')
    .set('Cookie', cookies)
  t.is(moved.text, '3')
  t.is(cookieOf(moved, 'tribeline_route'), 'tribeline_route=node2')
  t.is(cookieOf(moved, 'tribeline.sid'), undefined)
})

test('no session, no cookie; a filtered request has none', async t => {
  const cluster = oneManager()
  const read: Handler = (req, res) => res.end(String(sessionOf(req)?.user))
  const plain = await request(ours({ cluster, secret }, read)).get('/')
  t.is(plain.headers['set-cookie'], undefined)
  t.is(cluster.sessions.size, 0)
  const none: Handler = (req, res) => res.end(String(req.session === undefined))
  t.is((await request(ours({ cluster, secret, filter: /\.css$/ }, none)).get('/a.css?b')).text, 'true')
})

test('one session for express-session and for ours', async t => {
  const cluster = oneManager()
  const app = express()
  const options = { secret, name: 'sid', resave: false, saveUninitialized: false }
  app.use(session({ ...options, store: new TribelineStore({ cluster }) }))
  app.get('/', (req, res) => {
    Object.assign(req.session, { views: 10 })
    res.end()
  })
  const cookie = cookieOf(await request(app).get('/'), 'sid') as string
  const lean = express()
  lean.use(clusterSession({ cluster, secret, name: 'sid' }))
  lean.get('/', (req, res) => counting(req as unknown as SessionRequest, res))
  t.is((await request(lean).get('/').set('Cookie', cookie)).text, '11')
})

test('secrets rotate; a wrong signature has no session', async t => {
  const cluster = oneManager()
  const { id } = cluster.sessions.create({ attributes: [['views', 1]] })
  const app = ours({ cluster, secret: ['new', 'old'] }, counting)
  const views = async (by: string): Promise<string> => {
    const value = encodeURIComponent(`s:${sign(id, by)}`)
    return (await request(app).get('/').set('Cookie', `tribeline.sid=${value}`)).text
  }
  t.is(await views('old'), '2')
  t.is(await views('new'), '3')
  t.is(await views('guessed'), '1')
})

test('regenerate: a new id, the old one dies at once', async t => {
  const cluster = oneManager()
  const { id } = cluster.sessions.create({
    attributes: [
      ['a', 1],
      ['b', 2],
    ],
  })
  const login: Handler = (req, res) => {
    req.session.regenerate({ keep: ['a'] })
    req.session.user = 'ada'
    res.end(JSON.stringify(req.session))
  }
  const cookie = `tribeline.sid=${encodeURIComponent(`s:${sign(id, secret)}`)}`
  const response = await request(ours({ cluster, secret }, login)).get('/').set('Cookie', cookie)
  t.deepEqual(JSON.parse(response.text), { a: 1, user: 'ada' })
  t.is(cluster.sessions.find(id), undefined)
  t.is(cluster.sessions.size, 1)
  t.not(cookieOf(response, 'tribeline.sid'), cookie)
})

test('the response ends when the receipt is in', async t => {
  const cluster = oneManager()
  cluster.store.outcome = undefined
  const server = createServer(
    ours({ cluster, secret }, (req, res) => {
      req.session.user = 'ada'
      res.end('done')
      t.false(res.writableEnded)
      setImmediate(() => {
        t.false(res.writableEnded)
        cluster.store.sends.at(-1)?.settled?.({ outcome: 'met', wanted: 1, received: 1, applied: 1, faulty: [] })
      })
    }),
  )
  t.is((await request(server).get('/')).text, 'done')
})

test('cookies of writeHead and setHeader stay beside ours', async t => {
  const cluster = oneManager()
  const inHead: Handler = (req, res) => {
    req.session.a = 1
    res.writeHead(200, { 'set-cookie': ['mine=1'] }).end()
  }
  const response = await request(ours({ cluster, secret }, inHead)).get('/')
  t.is(cookieOf(response, 'mine'), 'mine=1')
  t.truthy(cookieOf(response, 'tribeline.sid'))
})
