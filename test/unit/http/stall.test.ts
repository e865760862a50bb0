import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import type { SessionData } from 'express-session'
import request from 'supertest'
import { SessionOvertakenError } from '../../../lib/errors.js'
import { TribelineStore } from '../../../lib/http/express.js'
import { type ClusterSessionOptions, clusterSession, type SessionRequest } from '../../../lib/http/index.js'
import type { DeltaManager } from '../../../lib/session/delta-manager.js'
import { type StallingMember, stallingMember as stalling } from '../../helpers/stalling-member.js'

type Handler = (req: SessionRequest, res: ServerResponse) => void

function increment(sessions: DeltaManager, id: string, by = 1): void {
  const session = sessions.find(id)
  session?.set('count', Number(session.get('count') ?? 0) + by)
  if (session !== undefined) sessions.commit(session)
}

function countOf(sessions: DeltaManager, id: string): unknown {
  return sessions.find(id)?.get('count')
}

test('a manager without freshness, or with a fresh copy, has nothing to wait for', t => {
  const member = stalling()
  t.is(member.elsewhere.whenFresh(), undefined)
  t.true(member.elsewhere.fresh)
  t.is(member.sessions.whenFresh(), undefined)
  member.freshness.stall()
  t.false(member.sessions.fresh)
  t.truthy(member.sessions.whenFresh())
})

test('a commit over a stall is refused whole when another member changed one of its attributes', t => {
  const member = stalling()
  member.sessions.create({ id: 'one', attributes: [['count', 5]] })
  const view = member.sessions.find('one')
  if (view === undefined) return t.fail()
  view.set('count', 6).set('other', 1)
  member.stallWhile(elsewhere => increment(elsewhere, 'one'))
  member.catchUp()
  const error = t.throws(() => member.sessions.commit(view), { instanceOf: SessionOvertakenError })
  t.deepEqual([error?.code, error?.names, error?.retriable], ['SESSION_OVERTAKEN', ['count'], true])
  t.is(countOf(member.sessions, 'one'), 6)
  t.false(member.sessions.find('one')?.has('other'))
  t.is(member.sessions.stats().overtaken, 1)
  increment(member.sessions, 'one')
  t.is(countOf(member.elsewhere, 'one'), 7, 'who begins again gets through')
  t.throws(() => member.sessions.commit(view), { instanceOf: SessionOvertakenError }, 'and is not undone either')
})

test('a commit over a stall goes through when others changed other attributes, or nothing', t => {
  const member = stalling()
  member.sessions.create({ id: 'one', attributes: [['count', 5]] })
  const views = [1, 2].map(() => member.sessions.find('one'))
  views[0]?.set('mine', 1)
  views[1]?.set('count', 6)
  member.stallWhile(elsewhere => {
    const session = elsewhere.find('one')
    if (session !== undefined) elsewhere.commit(session.set('theirs', 2))
  })
  member.catchUp()
  for (const view of views) t.notThrows(() => view && member.sessions.commit(view))
  const found = member.elsewhere.find('one')
  t.deepEqual([found?.get('mine'), found?.get('theirs'), found?.get('count')], [1, 2, 6])
})

test('without another member a stall refuses nothing, and without a stall the later write wins', t => {
  const member = stalling()
  member.sessions.create({ id: 'one', attributes: [['count', 5]] })
  const view = member.sessions.find('one')
  member.stallWhile(() => {})
  increment(member.sessions, 'one')
  member.catchUp(false)
  t.notThrows(() => view && member.sessions.commit(view.set('count', 10)))
  const next = member.sessions.find('one')
  increment(member.elsewhere, 'one')
  member.clock.nowMs++
  t.notThrows(() => next && member.sessions.commit(next.set('count', 20)))
  t.is(countOf(member.sessions, 'one'), 20)
})

test('detection `all` does not undo what nobody changed here', t => {
  const member = stalling({ detect: 'all' })
  member.sessions.create({
    id: 'one',
    attributes: [
      ['count', 5],
      ['other', 1],
    ],
  })
  const view = member.sessions.find('one')
  member.stallWhile(elsewhere => increment(elsewhere, 'one'))
  member.catchUp()
  t.notThrows(() => view && member.sessions.commit(view.set('other', 2)))
  const found = member.sessions.find('one')
  t.deepEqual([found?.get('count'), found?.get('other')], [6, 2])
})

// The express-session store.

function ask(run: (done: (error?: unknown, data?: SessionData | null) => void) => void) {
  const answer: { done: boolean; error?: unknown; data?: (SessionData & { count?: number }) | null } = { done: false }
  const settled = new Promise<void>(resolve => {
    run((error, data) => {
      Object.assign(answer, { done: true, error, data })
      resolve()
    })
  })
  return { answer, settled }
}

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

test('the store answers while the copy is fresh, and waits while it is not', async t => {
  const member = stalling()
  const store = new TribelineStore({ cluster: member })
  member.sessions.create({ id: 'one', attributes: [['count', 5]] })
  const fresh = ask(done => store.get('one', done))
  await fresh.settled
  t.is(fresh.answer.data?.count, 5)
  member.stallWhile(elsewhere => increment(elsewhere, 'one'))
  const { answer, settled } = ask(done => store.get('one', done))
  const gone = ask(done => store.destroy('none', done))
  const length = ask(done => store.length(done as never))
  await turn()
  t.false(answer.done || gone.answer.done || length.answer.done)
  member.catchUp()
  await Promise.all([settled, gone.settled, length.settled])
  t.is(answer.data?.count, 6)
  t.is(length.answer.data as unknown, 1)
})

test('a session that ended elsewhere during the stall is not there afterwards, and one begun there can be ended', async t => {
  const member = stalling()
  const store = new TribelineStore({ cluster: member })
  member.sessions.create({ id: 'one' })
  member.stallWhile(elsewhere => {
    void elsewhere.find('one')?.invalidate()
    elsewhere.create({ id: 'two' })
  })
  const one = ask(done => store.get('one', done))
  const two = ask(done => store.destroy('two', done))
  member.catchUp()
  await Promise.all([one.settled, two.settled])
  t.is(one.answer.data, null)
  t.is(member.elsewhere.find('two'), undefined)
})

test('the set of a request that was under way waits, and fails if another member was faster', async t => {
  const member = stalling()
  const store = new TribelineStore({ cluster: member })
  member.sessions.create({ id: 'one', attributes: [['count', 5]] })
  const load = async (): Promise<SessionData & { count?: number; mine?: number }> => {
    const { answer, settled } = ask(done => store.get('one', done))
    await settled
    const { data } = answer
    if (!data) throw new Error('no session')
    return data
  }
  const [clashing, apart] = [await load(), await load()]
  clashing.count = 6
  apart.mine = 1
  member.stallWhile(elsewhere => increment(elsewhere, 'one', 2))
  const failing = ask(done => store.set('one', clashing, done))
  const passing = ask(done => store.set('one', apart, done))
  await turn()
  t.false(failing.answer.done || passing.answer.done)
  member.catchUp()
  await Promise.all([failing.settled, passing.settled])
  t.true(failing.answer.error instanceof SessionOvertakenError)
  t.is(passing.answer.error, null)
  const found = member.elsewhere.find('one')
  t.deepEqual([found?.get('count'), found?.get('mine')], [7, 1])
})

// The middleware.

async function serve(
  t: ExecutionContext,
  member: StallingMember,
  handler: Handler,
  more: Partial<ClusterSessionOptions> = {},
): Promise<{ readonly server: Server; readonly errors: unknown[] }> {
  const errors: unknown[] = []
  const handle = clusterSession({ cluster: member, secret: 's', onError: error => errors.push(error), ...more })
  const server = createServer((req: IncomingMessage, res) =>
    handle(req, res, () => handler(req as SessionRequest, res)),
  )
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return { server, errors }
}

const counting: Handler = (req, res) => {
  req.session.count = (req.session.count ?? 0) + 1
  res.end(String(req.session.count))
}

async function begin(server: Server): Promise<{ cookie: string; id: string }> {
  const response = await request(server).get('/')
  const cookie = ((response.headers['set-cookie'] ?? []) as unknown as string[])[0]?.split(';')[0] ?? ''
  return {
    cookie,
    id:
      decodeURIComponent(cookie)
        .replace(/^[^=]*=(s:)?/, '')
        .split('.')[0] ?? '',
  }
}

test('the middleware holds requests back until the copy has caught up', async t => {
  const member = stalling()
  let handled = 0
  const { server } = await serve(t, member, (req, res) => {
    handled++
    counting(req, res)
  })
  const { cookie, id } = await begin(server)
  member.stallWhile(elsewhere => increment(elsewhere, id, 4))
  const waiting = request(server)
    .get('/')
    .set('Cookie', cookie)
    .then(response => response.text)
  await new Promise(resolve => server.once('request', resolve))
  await turn()
  t.is(handled, 1)
  member.catchUp()
  t.is(await waiting, '6')
  t.is(countOf(member.elsewhere, id), 6)
})

test('a request whose client hung up while it waited is dropped', async t => {
  const member = stalling()
  const { server } = await serve(t, member, counting)
  const { cookie, id } = await begin(server)
  member.stallWhile(() => {})
  const { port } = server.address() as AddressInfo
  const req = httpRequest({ host: '127.0.0.1', port, headers: { cookie } })
  req.on('error', () => {})
  req.end()
  const [, res] = await new Promise<[IncomingMessage, ServerResponse]>(resolve =>
    server.once('request', (...args) => resolve(args)),
  )
  const closed = new Promise(resolve => res.once('close', resolve))
  req.destroy()
  await closed
  member.catchUp()
  await turn()
  t.is(countOf(member.sessions, id), 1)
})

/** A handler that reads and changes the session, and ends when told. */
function slow(finish: (res: ServerResponse) => void) {
  let entered = (): void => {}
  let go = (): void => {}
  const inside = new Promise<void>(resolve => {
    entered = resolve
  })
  const handler: Handler = (req, res) => {
    if (req.url !== '/slow') return counting(req, res)
    req.session.count = Number(req.session.count) + 1
    go = () => finish(res)
    entered()
  }
  return { handler, inside, go: () => go() }
}

test('a request under way over the stall is answered with 503 if another member was faster, and changes nothing', async t => {
  const member = stalling()
  const { handler, inside, go } = slow(res => res.setHeader('Content-Length', 4).end('done'))
  const { server, errors } = await serve(t, member, handler)
  const { cookie, id } = await begin(server)
  const answer = request(server)
    .get('/slow')
    .set('Cookie', cookie)
    .then(response => response)
  await inside
  member.stallWhile(elsewhere => increment(elsewhere, id, 4))
  go()
  await turn()
  t.is(member.sessions.stats().overtaken, 0, 'it waits')
  member.catchUp()
  const { status, text, headers } = await answer
  t.deepEqual([status, text, headers['retry-after']], [503, '', '0'])
  t.is(countOf(member.sessions, id), 5)
  t.true(errors[0] instanceof SessionOvertakenError)
  t.is(errors.length, 1)
})

test('it is cut off when its headers were written before', async t => {
  const member = stalling()
  const { handler, inside, go } = slow(res => res.writeHead(200).end('done'))
  const { server } = await serve(t, member, handler)
  const { cookie, id } = await begin(server)
  const answer = request(server)
    .get('/slow')
    .set('Cookie', cookie)
    .then(response => response.text)
  await inside
  member.stallWhile(elsewhere => increment(elsewhere, id, 4))
  go()
  member.catchUp()
  await t.throwsAsync(answer)
  t.is(countOf(member.elsewhere, id), 5)
})

test('it commits after the fence if nobody was faster, with headers written before or not', async t => {
  for (const finish of [
    (res: ServerResponse): unknown => res.end('done'),
    (res: ServerResponse): unknown => res.writeHead(200).end('done'),
  ]) {
    const member = stalling()
    const { handler, inside, go } = slow(finish)
    const { server } = await serve(t, member, handler)
    const { cookie, id } = await begin(server)
    const answer = request(server)
      .get('/slow')
      .set('Cookie', cookie)
      .then(response => response.text)
    await inside
    member.stallWhile(() => {})
    go()
    await turn()
    t.is(countOf(member.sessions, id), 1)
    member.catchUp()
    t.is(await answer, 'done')
    t.is(countOf(member.elsewhere, id), 2)
  }
})

test('save waits as well', async t => {
  const member = stalling()
  let saved: unknown
  const { server } = await serve(t, member, (req, res) => {
    if (req.url !== '/slow') return counting(req, res)
    req.session.count = 2
    member.stallWhile(elsewhere => increment(elsewhere, req.session.id, 4))
    req.session.save().catch((error: unknown) => {
      saved = error
      req.session.count = 1
      res.end()
    })
    setImmediate(() => member.catchUp())
  })
  const { cookie, id } = await begin(server)
  await request(server).get('/slow').set('Cookie', cookie)
  t.true(saved instanceof SessionOvertakenError)
  t.is(countOf(member.elsewhere, id), 5)
})
