import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import express from 'express'
import fastify from 'fastify'
import { fastifySession, sessionOf } from '../../lib/http/fastify.js'
import { clusterSession, type SessionRequest } from '../../lib/http/index.js'
import type { Cluster } from '../../lib/index.js'
import { Browser } from '../conformance/adapter-suite.js'
import { loopbackGroup, until } from '../helpers/loopback-cluster.js'

const secret = 'shared by all applications'

/** The shop: Express, `/login?ann` and `/logout`. */
async function shopAt(t: ExecutionContext, cluster: Cluster): Promise<number> {
  const app = express()
  app.use(clusterSession({ cluster, secret, name: 'shop.sid', cookie: { path: '/shop' }, signOn: true }))
  app.get('/shop/login', async (req, res) => {
    const { session } = req as unknown as SessionRequest
    await session.login(req.url.split('?')[1] as string)
    res.send(session.id)
  })
  app.get('/shop/logout', async (req, res) => {
    await (req as unknown as SessionRequest).session.logout()
    res.send('bye')
  })
  app.get('/shop/who', (req, res) => {
    res.send((req as unknown as SessionRequest).session.principal ?? 'nobody')
  })
  const server = app.listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

/** The administration: Fastify. */
async function adminAt(t: ExecutionContext, cluster: Cluster): Promise<number> {
  const app = fastify({ forceCloseConnections: true })
  await app.register(fastifySession, {
    cluster,
    secret,
    name: 'admin.sid',
    cookie: { path: '/admin' },
    signOn: true,
  })
  app.get('/admin/who', async request => sessionOf(request)?.principal ?? 'nobody')
  app.get('/admin/logout', async request => {
    await sessionOf(request)?.logout()
    return 'bye'
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => app.close())
  return (app.server.address() as AddressInfo).port
}

test('two applications of two frameworks on two members: one login, one logout, at once on both', async t => {
  const join = loopbackGroup(t)
  const [a, b] = [await join('node1'), await join('node2')]
  await until(() => a.members.length === 1 && b.members.length === 1)
  const [shop, admin] = [await shopAt(t, a), await adminAt(t, b)]
  for (let round = 0; round < 20; round++) {
    const browser = new Browser(shop)
    const get = async (port: number, path: string): Promise<string> => (await browser.at(port, path)).text
    t.is(await get(admin, '/admin/who'), 'nobody')
    await get(shop, `/shop/login?user${round}`)
    t.is(await get(admin, '/admin/who'), `user${round}`)
    await until(() => a.users.count(`user${round}`) === 2)
    await (round % 2 === 0 ? get(admin, '/admin/logout') : get(shop, '/shop/logout'))
    await until(() => a.users.count(`user${round}`) + b.users.count(`user${round}`) === 0)
    t.deepEqual([await get(shop, '/shop/who'), await get(admin, '/admin/who')], ['nobody', 'nobody'])
  }
  await until(() => a.replication.stats().records === 0 && b.replication.stats().records === 0)
})

test('an event stream on one member ends when its user is logged out on another', async t => {
  const join = loopbackGroup(t)
  const [a, b] = [await join('node1'), await join('node2')]
  await until(() => a.members.length === 1 && b.members.length === 1)
  const handle = clusterSession({ cluster: b, secret, name: 'shop.sid', cookie: { path: '/shop' } })
  const listen = ({ session }: SessionRequest, res: ServerResponse): void => {
    res.writeHead(200, { 'Content-Type': 'text/event-stream' }).write(`data: ${session.principal}\n\n`)
    const { signal } = session
    signal.addEventListener('abort', () => res.end(`event: end\ndata: ${signal.reason.why}\n\n`), { once: true })
  }
  const server = createServer((req, res) => handle(req, res, () => listen(req as SessionRequest, res)))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const browser = new Browser(await shopAt(t, a))
  const events = (server.address() as AddressInfo).port
  for (const why of ['forced', 'logout', 'limit']) {
    const id = (await browser.get('/shop/login?ann')).text
    await until(() => b.sessions.find(id) !== undefined)
    const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const stream = await fetch(`http://127.0.0.1:${events}/shop/events`, { headers: { cookie } })
    if (why === 'forced') void a.users.endAll('ann')
    else if (why === 'limit') void a.users.login(a.sessions.create(), 'ann', { maxSessions: 1 })
    else void browser.get('/shop/logout')
    t.is(await stream.text(), `data: ann\n\nevent: end\ndata: ${why}\n\n`)
  }
})
