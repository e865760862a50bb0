import type { ExecutionContext, TestFn } from 'ava'
import { sign } from 'cookie-signature'
import type { SessionMove } from '../../lib/http/index.js'
import { SessionHttpStats } from '../../lib/http/index.js'
import { twoManagers } from '../helpers/session-managers.js'
import type { Adapter, AdapterOptions } from './adapter-suite.js'
import { Browser, counting, named, SID, secret, signed, turn } from './adapter-suite.js'

const SEEN = 'tribeline_seen'

/** What a client that goes from member to member sees, with every adapter alike. */
export function routingSuite(test: TestFn, adapter: Adapter): void {
  const check = (title: string, body: (t: ExecutionContext) => Promise<void>): void => {
    test(`${adapter.name}: ${title}`, body)
  }
  const { serve } = adapter
  const both = async (t: ExecutionContext, options: Partial<AdapterOptions> = {}) => {
    const [a, b] = twoManagers()
    const stats = new SessionHttpStats()
    const handler: typeof counting = visit => {
      if (visit.url === '/look') return `${visit.session.views} ${visit.session.stale}`
      if (visit.url === '/untouched') return ''
      if (visit.url === '/logout') visit.end()
      else if (visit.url === '/login') visit.session.regenerate({ keep: true })
      else return counting(visit)
      return ''
    }
    const first = await serve(t, { cluster: a, secret, ...options }, handler)
    const second = await serve(t, { cluster: b, secret, stats, ...options }, handler)
    return { a, b, first, second, stats, browser: new Browser(first) }
  }

  check('a request waits for what its client wrote elsewhere, also for the session itself', async t => {
    for (const before of [0, 1]) {
      const { a, b, second, browser, stats } = await both(t)
      for (let n = 0; n < before; n++) await browser.get('/')
      a.store.held = true
      await browser.get('/')
      const answer = browser.at(second, '/look')
      while (b.store.waiting === 0) await turn()
      a.store.flush()
      t.is((await answer).text, `${before + 1} false`)
      t.deepEqual([stats.requests, stats.waits, stats.stale, stats.reads], [1, 1, 0, 1])
    }
  })

  check('what does not come in time is said to be stale, until it is here', async t => {
    const { a, b, second, browser, stats } = await both(t)
    await browser.get('/')
    a.store.held = true
    await browser.get('/')
    const answer = browser.at(second, '/look')
    while (b.store.waiting === 0) await turn()
    b.store.giveUp()
    const { text, set } = await answer
    t.is(text, '1 true')
    t.is(named(set, SEEN), undefined, 'its writer is a member: it will come')
    a.store.flush()
    t.is((await browser.at(second, '/look')).text, '2 false')
    t.deepEqual([stats.stale, stats.waits], [1, 1])
  })

  check('a stale request that writes still names the write it lacked, a fresh one a single write', async t => {
    const { a, b, first, second, browser } = await both(t, { catchUpMs: 0 })
    await browser.get('/')
    a.store.held = true
    await browser.get('/')
    b.store.held = true
    const stale = browser.cookies.get(SEEN)?.split('~')[0]
    await browser.at(second, '/')
    const tokens = browser.cookies.get(SEEN)?.split('~').slice(0, -1)
    t.deepEqual([tokens?.length, tokens?.[0]], [2, stale])
    t.is((await browser.at(second, '/look')).text, '2 true')
    t.is((await browser.at(first, '/look')).text, '2 true', 'nor has the first what the second wrote')
    a.store.flush()
    b.store.flush()
    t.regex((await browser.at(first, '/look')).text, / false$/)
    t.regex((await browser.at(second, '/look')).text, / false$/)
    await browser.at(second, '/')
    t.is(browser.cookies.get(SEEN)?.split('~').length, 2)
  })

  check('answers of two members to parallel requests leave both writes named, whichever comes last', async t => {
    for (const reversed of [false, true]) {
      const [a, b] = twoManagers()
      const options = { secret, catchUpMs: 0 }
      const look: typeof counting = visit => (visit.url === '/look' ? String(visit.session.stale) : counting(visit))
      const first = await serve(t, { ...options, cluster: { ...a, members: [{ name: 'node2' }] } }, look)
      const second = await serve(t, { ...options, cluster: { ...b, members: [{ name: 'node1' }] } }, look)
      const browser = new Browser(first)
      await browser.get('/')
      const [one, other] = [new Browser(first, browser.cookies), new Browser(second, browser.cookies)]
      a.store.held = true
      b.store.held = true
      const answers = [await one.get('/'), await other.get('/')]
      for (const { set } of reversed ? answers.reverse() : answers) browser.keep(set)
      t.is((await browser.at(first, '/look')).text, 'true')
      t.is((await browser.at(second, '/look')).text, 'true')
      a.store.flush()
      t.is((await browser.at(second, '/look')).text, 'false')
      t.is((await browser.at(first, '/look')).text, 'true')
      b.store.flush()
      t.is((await browser.at(first, '/look')).text, 'false')
    }
  })

  check('a session that is not here yet does not give way to an empty one', async t => {
    const { a, b, second, browser } = await both(t, { catchUpMs: 0, saveUninitialized: true })
    a.store.held = true
    await browser.get('/')
    const sid = browser.cookies.get(SID)
    for (const path of ['/untouched', '/look']) await browser.at(second, path)
    t.deepEqual([browser.cookies.get(SID), b.sessions.size], [sid, 0])
    a.store.flush()
    t.is((await browser.at(second, '/')).text, '2')
  })

  check('a write nobody here made is waited for once', async t => {
    const { a, b, second, browser, stats } = await both(t)
    await browser.get('/')
    a.store.held = true
    await browser.get('/')
    b.store.linked = false
    const answer = browser.at(second, '/untouched')
    while (b.store.waiting === 0) await turn()
    b.store.giveUp()
    t.regex(String(named((await answer).set, SEEN)), /=; Max-Age=0/)
    t.false(browser.cookies.has(SEEN))
    t.is((await browser.at(second, '/look')).text, '1 false')
    t.is(stats.stale, 1)
  })

  check('after a logout or a new id no other member knows the old one', async t => {
    for (const path of ['/logout', '/login']) {
      const { a, b, second, browser } = await both(t)
      await browser.get('/')
      const old = browser.cookies.get(SID) as string
      a.store.held = true
      await browser.get(path)
      t.true(browser.cookies.has(SEEN), 'the end is a write too')
      const back = new Browser(second, [
        [SID, old],
        [SEEN, browser.cookies.get(SEEN) as string],
      ])
      const answer = back.get('/look')
      while (b.store.waiting === 0) await turn()
      a.store.flush()
      t.is((await answer).text, 'undefined false', path)
    }
  })

  check('tokens that are not ours are counted, and nobody waits', async t => {
    const { a, b, second, browser, stats } = await both(t)
    await browser.get('/')
    a.store.held = true
    await browser.get('/')
    const [token, mac] = (browser.cookies.get(SEEN) as string).split('~') as [string, string]
    const forged = [
      `${'A'.repeat(22)}.5~${mac}`,
      `${token}~${'A'.repeat(22)}`,
      token,
      `${token}~`,
      `${token}~${mac}x`,
      `${`${token}~`.repeat(5)}${mac}`,
      'a'.repeat(5_000),
      '',
      '%ZZ',
    ]
    for (const [index, value] of forged.entries()) {
      browser.cookies.set(SEEN, value)
      t.is((await browser.at(second, '/look')).text, '1 false', value.slice(0, 100))
      t.is(stats.refusedTokens, index + 1, value.slice(0, 100))
    }
    t.deepEqual([stats.waits, stats.stale, b.store.waiting], [0, 0, 0])
    a.store.flush()
  })

  check('seenCookie: false, and another name', async t => {
    const { a, second, browser } = await both(t, { seenCookie: false })
    await browser.get('/')
    a.store.held = true
    await browser.get('/')
    t.deepEqual([...browser.cookies.keys()], [SID, 'tribeline_route'])
    t.is((await browser.at(second, '/look')).text, '1 false')
    const other = await both(t, { seenCookie: 'last_write', cookie: { maxAge: 5_000, sameSite: 'strict' } })
    const { set } = await other.browser.get('/')
    t.regex(String(named(set, 'last_write')), /; Max-Age=5; Path=\/; HttpOnly; SameSite=Strict$/)
  })

  check('costs are counted', async t => {
    const { second, browser, stats } = await both(t)
    browser.cookies.clear()
    for (const path of ['/', '/', '/look', '/login', '/logout', '/look']) await browser.at(second, path)
    const { requests, reads, writes, deltas } = stats
    t.deepEqual({ requests, reads, writes, deltas }, { requests: 6, reads: 1, writes: 4, deltas: 4 })
    t.true(stats.bytes > 20)
    t.is(stats.moves, 0)
  })

  const formats = [
    ['cookie', SID, /^s%3A[\w-]+\.[\w%]+$/],
    ['suffix', SID, /^s%3A[\w-]+\.[\w%]+~node[12]$/],
    ['jvmRoute', SID, /^[\w-]+~[\w-]{43}\.node[12]$/],
  ] as const

  for (const [routing, , form] of formats) {
    check(`routing ${routing}: the first response of another member binds to it, once`, async t => {
      const moves: SessionMove[] = []
      const { a, second, browser, stats } = await both(t, { routing, onMoved: move => void moves.push(move) })
      const bound = (): string => (routing === 'cookie' ? (browser.cookies.get('tribeline_route') ?? '') : sid())
      const sid = (): string => browser.cookies.get(SID) as string
      await browser.get('/')
      t.regex(sid(), form)
      t.true(bound().endsWith('node1'))
      t.is(browser.cookies.has('tribeline_route'), routing === 'cookie')
      const [{ id = '' } = {}] = a.sessions
      for (const path of ['/look', '/untouched']) {
        moves.length = 0
        await browser.get('/look')
        moves.length = 0
        await browser.at(second, path)
        t.true(bound().endsWith('node2'), path)
        t.deepEqual(moves, [{ id, from: 'node1', to: 'node2' }])
        t.regex(sid(), form)
        t.deepEqual((await browser.at(second, '/look')).set, [])
      }
      t.is((await browser.at(second, '/')).text, '2')
      t.is(stats.moves, 2)
    })

    check(`routing ${routing}: cookies of the other formats are good, and replaced`, async t => {
      const [cluster] = twoManagers()
      let cookies: Iterable<readonly [string, string]> = []
      let views = 0
      for (const [other] of formats) {
        for (const now of [other, routing]) {
          const port = await serve(t, { cluster, secret, routing: now }, counting)
          const browser = new Browser(port, cookies)
          t.is((await browser.get('/')).text, String(++views))
          t.regex(browser.cookies.get(SID) as string, formats.find(([name]) => name === now)?.[2] as RegExp)
          cookies = browser.cookies
        }
      }
    })

    check(`routing ${routing}: bad routes are none`, async t => {
      const moves: SessionMove[] = []
      const [cluster] = twoManagers()
      const { id } = cluster.sessions.create({ attributes: [['views', 1]] })
      const port = await serve(t, { cluster, secret, routing, onMoved: move => void moves.push(move) }, counting)
      let views = 1
      for (const route of ['', 'a'.repeat(65), 'node 2', 'node.2', '~', 'n%C3%B6de', `x.${'A'.repeat(43)}`]) {
        const [, plain] = signed(id)
        const jvm = `${id}~${sign(id, secret).slice(-43).replace(/\+/g, '-').replace(/\//g, '_')}.${route}`
        const value = { cookie: plain, suffix: `${plain}~${route}`, jvmRoute: jvm }[routing]
        const browser = new Browser(port, [
          [SID, value],
          ...(routing === 'cookie' ? [['tribeline_route', route] as const] : []),
        ])
        t.is((await browser.get('/')).text, String(++views), route)
        const bound = browser.cookies.get(routing === 'cookie' ? 'tribeline_route' : SID)
        t.true(bound?.endsWith('node1'), route)
      }
      t.deepEqual(moves, [])
    })
  }

  check('what onMoved throws goes to onError', async t => {
    const errors: unknown[] = []
    const onMoved = (): never => {
      throw new Error('not today')
    }
    const { second, browser } = await both(t, { onMoved, onError: error => errors.push(error) })
    await browser.get('/')
    t.is((await browser.at(second, '/')).text, '2')
    t.regex(String(errors), /not today/)
  })
}
