import { fork } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import {
  type ClusterSessionOptions,
  clusterSession,
  readyHandler,
  sessionOf,
  upgradeSession,
} from '../../lib/http/index.js'
import { type Cluster, createCluster, type DrainReport, type Session } from '../../lib/index.js'
import { loopbackGroup, until } from '../helpers/loopback-cluster.js'

const DRAINING = fileURLToPath(new URL('../helpers/draining-process.js', import.meta.url))
const secret = 'keep it to yourself'

interface Reply {
  readonly status: number | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

async function listen(t: ExecutionContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

function get(port: number, path: string, agent: Agent, cookie = ''): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, path, agent, headers: { cookie } }, res => {
      let body = ''
      res.setEncoding('utf8').on('data', (text: string) => {
        body += text
      })
      res.on('end', () => resolve({ status: res.statusCode, headers: res.headers, body }))
      res.on('error', reject)
    })
    req.on('error', reject)
    req.end()
  })
}

const cookieOf = ({ headers }: Reply): string => (headers['set-cookie'] ?? []).map(one => one.split(';')[0]).join('; ')

/** A server of one member, with sessions and a readiness check; the rest is `serve`. */
function web(
  cluster: Cluster,
  serve: (req: IncomingMessage, res: ServerResponse) => void,
  more: Partial<ClusterSessionOptions> = {},
): Server {
  const ready = readyHandler(cluster)
  const handle = clusterSession({ cluster, secret, ...more })
  return createServer((req, res) => {
    if (req.url === '/ready') return ready(req, res)
    handle(req, res, () => serve(req, res))
  })
}

test('while it drains: 503, no kept connections, requests under way end well and what they write is elsewhere', async t => {
  const join = loopbackGroup(t)
  const [a, b] = await Promise.all([join('a'), join('b')])
  const slow: (() => void)[] = []
  const server = web(a, (req, res) => {
    const session = sessionOf(req)
    session?.set('count', Number(session.get('count') ?? 0) + 1)
    if (req.url === '/slow') slow.push(() => res.end('slow'))
    else res.end('quick')
  })
  const port = await listen(t, server)
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const first = await get(port, '/', agent)
  const cookie = cookieOf(first)
  t.is(first.headers.connection, 'keep-alive')
  t.is((await get(port, '/ready', agent)).status, 200)
  const underWay = get(port, '/slow', agent, cookie)
  await until(() => slow.length === 1)
  const idle = connect(port, '127.0.0.1')
  idle.write('GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
  await once(idle, 'data')
  const idleEnded = once(idle, 'close')

  const drain = a.drain({ server, graceMs: 300 })
  const refused = await get(port, '/ready', agent)
  t.is(refused.status, 503)
  t.is(refused.body, '{"ready":false,"reason":"draining"}')
  const during = await get(port, '/', agent, cookie)
  t.is(during.status, 200)
  t.is(during.headers.connection, 'close')
  await idleEnded
  t.false(server.listening)
  t.is(a.state, 'draining')
  for (const end of slow) end()
  t.is((await underWay).body, 'slow')
  const report = await drain
  t.deepEqual([report.undelivered, report.behind, report.connectionsCut, report.aborted], [0, [], 0, false])
  const [session] = [...b.sessions]
  // Of two requests to one session that overlap the later write wins.
  t.is(session?.get('count'), 2)
  await t.throwsAsync(get(port, '/', agent, cookie), { code: 'ECONNREFUSED' })
})

test('a process drains at SIGTERM and ends by itself; its clients lose nothing', async t => {
  const group = `test-${randomBytes(6).toString('hex')}`
  const port = randomInt(20_000, 60_000)
  const watcher = await createCluster({
    name: 'watcher',
    group,
    membership: { bind: '127.0.0.1', port },
    receiver: { address: '127.0.0.1', port: 0 },
  })
  t.teardown(() => watcher.leave())
  const gone: string[] = []
  watcher.on('memberDisappeared', (member, reason) => gone.push(`${member.name} ${reason}`))
  const child = fork(DRAINING, ['a', group, String(port), secret, '1500'])
  t.teardown(() => child.kill('SIGKILL'))
  const [{ port: httpPort }] = (await once(child, 'message')) as [{ port: number }]
  await until(() => watcher.members.length === 1)
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  const first = await get(httpPort, '/', agent)
  const cookie = cookieOf(first)
  t.is((await get(httpPort, '/ready', agent)).status, 200)

  const told = once(child, 'message') as Promise<[{ report: DrainReport }]>
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  let answers = 1
  for (let status: number | undefined = 200; status !== 503; ) status = (await get(httpPort, '/ready', agent)).status
  for (
    let reply = await get(httpPort, '/', agent, cookie);
    answers < 20;
    reply = await get(httpPort, '/', agent, cookie)
  ) {
    answers++
    t.deepEqual([reply.status, reply.body, reply.headers.connection], [200, String(answers), 'close'])
  }
  const [{ report }] = await told
  t.deepEqual(await exit, [0, null])
  t.true(report.graceMs >= 1_499)
  t.deepEqual([report.undelivered, report.behind, report.connectionsCut], [0, [], 0])
  await until(() => gone.length > 0)
  t.deepEqual(gone, ['a left'])
  const [session] = [...watcher.sessions]
  t.is(session?.get('count'), answers + 1)
})

test('streams end at the signal, what hangs is cut after its time, and both are told', async t => {
  const a = await loopbackGroup(t)('a', { membership: { service: 'static' } })
  const open: string[] = []
  const server = web(a, (req, res) => {
    open.push(req.url ?? '')
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write('data: 1\n\n')
    if (req.url === '/events') a.signal.addEventListener('abort', () => res.end('data: bye\n\n'), { once: true })
  })
  server.on('upgrade', (_req, socket) => socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n'))
  const port = await listen(t, server)
  const agent = new Agent()
  const events = get(port, '/events', agent)
  const hanging = t.throwsAsync(get(port, '/hangs', agent))
  const upgraded = await upgrade(t, port, '')
  await until(() => open.length === 2)
  const report = await a.drain({ server, graceMs: 0, requestTimeoutMs: 200 })
  t.is((await events).body, 'data: 1\n\ndata: bye\n\n')
  await hanging
  t.is(report.connectionsCut, 2)
  t.true(report.requestsMs >= 200)
  upgraded.socket.destroy()
})

test('a second signal cuts off what is under way', async t => {
  const a = await loopbackGroup(t)('a', { membership: { service: 'static' } })
  let asked = false
  const server = web(a, () => {
    asked = true
  })
  const port = await listen(t, server)
  const hanging = t.throwsAsync(get(port, '/', new Agent()))
  await until(() => asked)
  const stop = new AbortController()
  const drain = a.drain({ server, graceMs: 0, requestTimeoutMs: 60_000, signal: stop.signal })
  await until(() => !server.listening)
  stop.abort()
  const report = await drain
  await hanging
  t.deepEqual([report.connectionsCut, report.aborted], [1, true])
})

test('a server that does not run is nothing to wait for', async t => {
  const a = await loopbackGroup(t)('a', { membership: { service: 'static' } })
  const report = await a.drain({ server: [createServer(), createServer()], graceMs: 0 })
  t.is(report.connectionsCut, 0)
})

async function upgrade(t: ExecutionContext, port: number, cookie: string): Promise<{ socket: Socket; answer: string }> {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  const lines = ['GET /socket HTTP/1.1', 'Host: 127.0.0.1', 'Connection: Upgrade', 'Upgrade: echo', `Cookie: ${cookie}`]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  return { socket, answer: bytes.toString('latin1') }
}

test('an upgrade request has the session of its cookie', async t => {
  const join = loopbackGroup(t)
  const [a, b] = await Promise.all([join('a'), join('b')])
  const options = { cluster: b, secret }
  const first = web(a, (req, res) => {
    sessionOf(req)?.set('user', 'Ada')
    res.end()
  })
  const sessionOfUpgrade = upgradeSession(options)
  const second = createServer()
  second.on('upgrade', async (req: IncomingMessage, socket: Socket) => {
    const session = await sessionOfUpgrade(req)
    if (session === undefined) return socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n')
    session.set('connected', true)
    const receipt = await b.sessions.commit(session)
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nX-User: ${session.get('user')} ${receipt?.outcome}\r\n\r\n`)
  })
  const [firstPort, secondPort] = await Promise.all([listen(t, first), listen(t, second)])
  const cookie = cookieOf(await get(firstPort, '/', new Agent()))
  const [session] = [...a.sessions]
  const known = await upgrade(t, secondPort, cookie)
  t.regex(known.answer, /^HTTP\/1\.1 101 [\s\S]*X-User: Ada met/)
  t.is(a.sessions.find(session?.id ?? '')?.get('connected'), true)
  const size = b.sessions.size
  for (const wrong of ['', 'tribeline.sid=s%3Amade-up.up', `tribeline.sid=${'x'.repeat(5_000)}`]) {
    t.regex((await upgrade(t, secondPort, wrong)).answer, /^HTTP\/1\.1 401 /)
  }
  t.is(b.sessions.size, size)
  known.socket.destroy()
})

test('an upgrade counts as a use; outside of the cookie path, or filtered, it has no session', async t => {
  const a = await loopbackGroup(t)('a', { membership: { service: 'static' } })
  const header = cookieOf(
    await get(
      await listen(
        t,
        web(a, (req, res) => {
          sessionOf(req)?.set('user', 'Ada')
          res.end()
        }),
      ),
      '/',
      new Agent(),
    ),
  )
  const ask = (options: Partial<ClusterSessionOptions>, url: string): Promise<unknown> =>
    upgradeSession({ cluster: a, secret, ...options })({ url, headers: { cookie: header } } as IncomingMessage)
  const [session] = [...a.sessions] as [Session]
  await until(() => session.idleMs >= 100)
  const askedAt = performance.now()
  t.is(((await ask({}, '/socket')) as Session).id, session.id)
  const { idleMs } = session
  t.true(performance.now() - idleMs >= askedAt, 'it counts as a use')
  t.is(await ask({ cookie: { path: '/shop' } }, '/socket'), undefined)
  t.truthy(await ask({ cookie: { path: '/shop' } }, '/shop/socket'))
  t.is(await ask({ filter: /^\/public/ }, '/public/socket'), undefined)
  t.is(await ask({ secret: 'another' }, '/socket'), undefined)
})

test('a stream that outlives its session, or this member, is told what was not stored, and nothing breaks', async t => {
  const join = loopbackGroup(t)
  const [a, b] = await Promise.all([join('a', { sessions: { ack: 'none' } }), join('b')])
  const streams: ServerResponse[] = []
  const errors: unknown[] = []
  const discarded: (readonly string[])[] = []
  a.sessions.on('discarded', ({ names }) => discarded.push(names))
  const server = web(
    a,
    (req, res) => {
      const session = sessionOf(req)
      if (req.url === '/login') {
        session?.set('user', 'Ada')
        return res.end()
      }
      session?.get('user')
      res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
      session?.set('seen', 1)
      streams.push(res)
    },
    { onError: error => errors.push(error) },
  )
  const port = await listen(t, server)
  const agent = new Agent()
  const [ended, outlived] = [await get(port, '/login', agent), await get(port, '/login', agent)].map(cookieOf)
  const replies = [get(port, '/a', agent, ended), get(port, '/b', agent, outlived)]
  await until(() => streams.length === 2 && b.sessions.size === 2)

  const id = decodeURIComponent(/sid=([^;]*)/.exec(ended ?? '')?.[1] ?? '').replace(/^s:|\.[^.]*$/g, '')
  const session = b.sessions.find(id)
  t.truthy(session)
  await session?.invalidate()
  await until(() => a.sessions.size === 1)
  streams[0]?.end('data: bye\n\n')
  t.is((await replies[0])?.body, 'data: 1\n\ndata: bye\n\n')
  t.deepEqual([discarded, errors], [[['seen']], []])

  await a.leave()
  streams[1]?.end('data: bye\n\n')
  t.is((await replies[1])?.body, 'data: 1\n\ndata: bye\n\n')
  t.is(errors.length, 1)
  t.regex(String(errors[0]), /session manager/)
})
