import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { clusterSession, SessionHttpStats, type SessionRequest } from '../../lib/http/index.js'
import type { Cluster, ClusterOptions, Interceptor } from '../../lib/index.js'
import { Browser } from '../conformance/adapter-suite.js'
import { loopbackGroup, until } from '../helpers/loopback-cluster.js'

const SEEN = 'tribeline_seen'
const NO_ACK: ClusterOptions = { sessions: { ack: 'none' } }

/** Loses what comes in while told to. */
function losing(): { isOn: boolean; readonly interceptor: Interceptor } {
  const loss: { isOn: boolean; readonly interceptor: Interceptor } = {
    isOn: false,
    interceptor: { name: 'losing', receive: (message, from, next) => (loss.isOn ? 'rejected' : next(message, from)) },
  }
  return loss
}

/** Serves a counter with the sessions of a member. */
async function serve(t: ExecutionContext, cluster: Cluster, stats = new SessionHttpStats()): Promise<number> {
  const handle = clusterSession({ cluster, secret: 'keep it to yourself', stats })
  const server = createServer((req, res) => {
    handle(req, res, () => {
      const { session } = req as SessionRequest
      if (req.url === '/add') session.views = (session.views ?? 0) + 1
      else if (req.url === '/logout') session.invalidate()
      res.end(session.isInvalidated ? '' : `${session.views} ${session.stale}`)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

test('a client whose write got lost on the way to the next member finds it there all the same', async t => {
  const join = loopbackGroup(t)
  const loss = losing()
  const a = await join('a', NO_ACK)
  const b = await join('b', { ...NO_ACK, interceptors: [loss.interceptor] })
  await join('c', NO_ACK)
  await until(() => a.members.length === 2 && b.members.length === 2)
  const stats = new SessionHttpStats()
  const [atA, atB] = [await serve(t, a), await serve(t, b, stats)]
  const browser = new Browser(atA)
  loss.isOn = true
  t.is((await browser.get('/add')).text, '1 false')
  // Acknowledged or not, it has been refused by now: the answer comes after what was sent before it.
  await until(() => Number(a.stats().replication.records) === 1)
  await a.sessions.commit(a.sessions.create().set('after', 1), { ack: 'received', copies: 'all', ackTimeoutMs: 1_000 })
  t.is(b.sessions.size, 0)
  loss.isOn = false
  t.is((await browser.at(atB, '/')).text, '1 false')
  t.is((await browser.at(atB, '/add')).text, '2 false')
  t.is((await browser.get('/')).text, '2 false')
  t.deepEqual([stats.stale, stats.refusedTokens], [0, 0])
})

test('what cannot be had is said to be stale, then found', async t => {
  const join = loopbackGroup(t)
  const loss = losing()
  const a = await join('a', NO_ACK)
  const b = await join('b', { ...NO_ACK, interceptors: [loss.interceptor] })
  await until(() => a.members.length === 1 && b.members.length === 1)
  const stats = new SessionHttpStats()
  const [atA, atB] = [await serve(t, a), await serve(t, b, stats)]
  const browser = new Browser(atA)
  await browser.get('/add')
  t.is((await browser.at(atB, '/')).text, '1 false')
  loss.isOn = true
  await browser.get('/add')
  const token = browser.cookies.get(SEEN)
  t.is((await browser.at(atB, '/')).text, '1 true')
  t.is(browser.cookies.get(SEEN), token, 'a is a member: its write will come')
  t.true(b.stats().replication.catchUpTimeouts === 1 && b.stats().replication.catchUpWaits >= 1)
  t.true(stats.waitMs >= 200 && stats.stale === 1)
  loss.isOn = false
  await until(() => [...b.sessions][0]?.get('views') === 2)
  t.is((await browser.at(atB, '/')).text, '2 false')
})

test('after a logout the next member does not know the session', async t => {
  const join = loopbackGroup(t)
  const [a, b] = await Promise.all([join('a', NO_ACK), join('b', NO_ACK)])
  await until(() => a.members.length === 1 && b.members.length === 1)
  const [atA, atB] = [await serve(t, a), await serve(t, b)]
  for (let round = 0; round < 50; round++) {
    const browser = new Browser(atA)
    await browser.get('/add')
    const sid = browser.cookies.get('tribeline.sid') as string
    t.is((await browser.at(atB, '/')).text, '1 false')
    await browser.get('/logout')
    browser.cookies.set('tribeline.sid', sid)
    t.is((await browser.at(atB, '/')).text, 'undefined false')
  }
})

test('a write that died with its member is told once, and delays nobody afterwards', async t => {
  const join = loopbackGroup(t)
  const loss = losing()
  const a = await join('a', NO_ACK)
  const b = await join('b', { ...NO_ACK, interceptors: [loss.interceptor] })
  const c = await join('c', NO_ACK)
  await until(() => [a, b, c].every(({ members }) => members.length === 2))
  const stats = new SessionHttpStats()
  const [atA, atB] = [await serve(t, a), await serve(t, b, stats)]
  const browser = new Browser(atA)
  await browser.get('/add')
  t.is((await browser.at(atB, '/')).text, '1 false')
  loss.isOn = true
  c.channel.destroy()
  await until(() => a.members.length === 1)
  await browser.get('/add')
  a.channel.destroy()
  await until(() => b.members.length === 0)
  loss.isOn = false
  await join('d', NO_ACK)
  await until(() => b.members.length === 1)
  t.is((await browser.at(atB, '/')).text, '1 true')
  t.false(browser.cookies.has(SEEN))
  t.is((await browser.at(atB, '/add')).text, '2 false')
  t.is((await browser.at(atB, '/')).text, '2 false')
  t.is(stats.stale, 1)
})
