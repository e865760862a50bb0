import type { IncomingMessage } from 'node:http'
import type { ExecutionContext, TestFn } from 'ava'
import { sign } from 'cookie-signature'
import { SessionOvertakenError } from '../../lib/errors.js'
import type { RequestSession } from '../../lib/http/index.js'
import type { SessionMove, SessionOptions } from '../../lib/http/requests/session-options.js'
import type { DeltaManager } from '../../lib/session/delta-manager.js'
import { oneManager, twoManagers } from '../helpers/session-managers.js'
import { stallingMember } from '../helpers/stalling-member.js'

/** One request as the suite's handlers see it, whatever the framework. */
export interface Visit {
  /** Path and query. */
  readonly url: string
  readonly session: RequestSession
  /** Assigns null to the session, in the framework's way. */
  end(): void
}

/** Gives the body of the reply; one that is given in pieces is streamed. May throw. */
export type VisitHandler = (visit: Visit) => Reply | Promise<Reply>
export type Reply = string | AsyncIterable<string>

/** Options that all adapters take alike. */
export type AdapterOptions = Omit<SessionOptions<IncomingMessage>, 'filter' | 'onError' | 'onMoved' | 'readOnly'> & {
  readonly filter?: RegExp
  readonly readOnly?: boolean | RegExp | (() => boolean)
  readonly onMoved?: (move: SessionMove) => void
  readonly onError?: (error: unknown) => void
}

/** An adapter under test. */
export interface Adapter {
  readonly name: string
  /** Whether what a stream changes while it is sent is written when it ends. */
  readonly writesLate: boolean
  /** Whether the framework has its own setting for trusted proxies. */
  readonly trustsProxies: boolean
  /** Listens on 127.0.0.1; the port. `trusts`: the framework's setting for proxies. */
  serve(t: ExecutionContext, options: AdapterOptions, handler: VisitHandler, trusts?: boolean): Promise<number>
}

export const secret = 'keep it to yourself'
export const SID = 'tribeline.sid'

/** A client with its cookies. */
export class Browser {
  readonly cookies: Map<string, string>
  readonly #port: number

  constructor(port: number, cookies: Iterable<readonly [string, string]> = []) {
    this.#port = port
    this.cookies = new Map(cookies)
  }

  get(path: string, headers: Record<string, string> = {}): Promise<Answer> {
    return this.at(this.#port, path, headers)
  }

  /** Takes over what an answer says of cookies. */
  keep(set: readonly string[]): void {
    for (const one of set) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(one) ?? []
      if (/; Max-Age=0/i.test(one)) this.cookies.delete(name)
      else this.cookies.set(name, value)
    }
  }

  /** The same client at another member. */
  async at(port: number, path: string, headers: Record<string, string> = {}): Promise<Answer> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      headers: { ...(cookie === '' ? {} : { cookie }), ...headers },
      redirect: 'manual',
    })
    const set = response.headers.getSetCookie()
    this.keep(set)
    return { status: response.status, headers: response.headers, set, text: await response.text() }
  }
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  /** Set-Cookie headers. */
  readonly set: readonly string[]
  readonly text: string
}

export const counting: VisitHandler = ({ session }) => {
  session.views = (session.views ?? 0) + 1
  return String(session.views)
}

/** A session cookie, as express-session signs it. */
export function signed(id: string, by: string = secret): [string, string] {
  return [SID, encodeURIComponent(`s:${sign(id, by)}`)]
}

/** The Set-Cookie header of one cookie. */
export function named(set: readonly string[], name: string): string | undefined {
  return set.find(one => one.startsWith(`${name}=`))
}

/** A promise and its key. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {}
  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  return { opened, open: () => open() }
}

/** What every adapter does alike, over real HTTP. */
export function adapterSuite(test: TestFn, adapter: Adapter): void {
  const check = (title: string, body: (t: ExecutionContext) => Promise<void>): void => {
    test(`${adapter.name}: ${title}`, body)
  }
  const { serve } = adapter

  check('a session is begun, read and written; its client is told once', async t => {
    const cluster = oneManager()
    const browser = new Browser(await serve(t, { cluster, secret }, counting))
    const first = await browser.get('/')
    t.deepEqual([first.status, first.text], [200, '1'])
    t.regex(String(named(first.set, SID)), /^tribeline\.sid=s%3A[^;]+; Path=\/; HttpOnly; SameSite=Lax$/)
    t.regex(String(named(first.set, 'tribeline_route')), /^tribeline_route=node1; Path=\/; HttpOnly; SameSite=Lax$/)
    const second = await browser.get('/')
    t.deepEqual([second.text, second.set.length], ['2', 1])
    t.truthy(named(second.set, 'tribeline_seen'), 'the write')
    t.is(cluster.sessions.size, 1)
  })

  check('a session that is only looked at is neither stored nor told', async t => {
    const cluster = oneManager()
    const port = await serve(t, { cluster, secret }, ({ session }) => String(session.views))
    const { text, set } = await new Browser(port).get('/')
    t.deepEqual([text, set, cluster.sessions.size], ['undefined', [], 0])
  })

  check('a request that only reads counts as a use, and writes nothing', async t => {
    const cluster = oneManager()
    const { id } = cluster.sessions.create({ attributes: [['list', [1, 2]]] })
    const { store } = cluster
    const written = store.written.length
    const port = await serve(t, { cluster, secret }, ({ session }) => String(session.list))
    t.is((await new Browser(port, [signed(id)]).get('/')).text, '1,2')
    t.deepEqual([store.written.length, store.touches], [written, 1])
  })

  check('saveUninitialized stores it all the same', async t => {
    const cluster = oneManager()
    const options = { cluster, secret, saveUninitialized: true }
    const browser = new Browser(await serve(t, options, () => 'nothing done'))
    t.truthy(named((await browser.get('/')).set, SID))
    t.is(cluster.sessions.size, 1)
    t.deepEqual((await browser.get('/')).set, [])
    t.is(cluster.sessions.size, 1)
  })

  check('rolling renews both cookies with every reply', async t => {
    const cluster = oneManager()
    const options = { cluster, secret, rolling: true, cookie: { maxAge: 90_000 } }
    const browser = new Browser(await serve(t, options, counting))
    for (const expected of ['1', '2', '3']) {
      const { text, set } = await browser.get('/')
      t.is(text, expected)
      t.regex(String(named(set, SID)), /Max-Age=90/)
      t.regex(String(named(set, 'tribeline_route')), /Max-Age=90/)
    }
    t.is([...cluster.sessions][0]?.maxInactiveInterval, 90)
  })

  check('regenerate: a new id with what was to be kept, and the old one dead', async t => {
    const cluster = oneManager()
    const port = await serve(t, { cluster, secret }, visit => {
      if (visit.url === '/login') visit.session.regenerate({ keep: ['cart'] }).user = 'ada'
      else if (visit.url === '/begin') Object.assign(visit.session, { cart: [1], secretive: true })
      return JSON.stringify(visit.session)
    })
    const browser = new Browser(port)
    await browser.get('/begin')
    const old = new Map(browser.cookies)
    const { text, set } = await browser.get('/login')
    t.deepEqual(JSON.parse(text), { cart: [1], user: 'ada' })
    t.truthy(named(set, SID))
    t.not(browser.cookies.get(SID), old.get(SID))
    t.is((await new Browser(port, old).get('/')).text, '{}')
    t.is((await browser.get('/')).text, text)
    t.is(cluster.sessions.size, 1)
  })

  check('regenerate({ keep: true }): the same session under a new id', async t => {
    const cluster = oneManager()
    const port = await serve(t, { cluster, secret }, visit => {
      if (visit.url === '/login') visit.session.regenerate({ keep: true }).user = 'ada'
      return counting(visit)
    })
    const browser = new Browser(port)
    await browser.get('/')
    const old = new Map(browser.cookies)
    const { text, set } = await browser.get('/login')
    t.is(text, '2')
    t.truthy(named(set, SID))
    t.not(browser.cookies.get(SID), old.get(SID))
    t.is((await browser.get('/')).text, '3')
    t.is((await new Browser(port, old).get('/')).text, '1')
    t.is([...cluster.sessions].find(session => session.has('user'))?.get('views'), 3)
  })

  check('assigning null ends the session everywhere, and its client forgets it', async t => {
    const [cluster, other] = twoManagers()
    const port = await serve(t, { cluster, secret }, visit => {
      if (visit.url !== '/logout') return counting(visit)
      visit.end()
      return 'bye'
    })
    const browser = new Browser(port)
    await browser.get('/')
    const old = new Map(browser.cookies)
    const { text, set } = await browser.get('/logout')
    t.is(text, 'bye')
    t.regex(String(named(set, SID)), /^tribeline\.sid=; Max-Age=0/)
    t.deepEqual([cluster.sessions.size, other.sessions.size], [0, 0])
    t.is((await new Browser(port, old).get('/')).text, '1')
    t.deepEqual((await new Browser(port).get('/logout')).set, [], 'who has no session has none to forget')
  })

  check('eight parallel requests keep what each of them wrote', async t => {
    const cluster = oneManager()
    const all = gate()
    let inside = 0
    const port = await serve(t, { cluster, secret }, async visit => {
      if (visit.url === '/') return counting(visit)
      const name = visit.url.slice(1)
      void visit.session.views
      if (++inside === 8) all.open()
      await all.opened
      visit.session[name] = name
      return ''
    })
    const browser = new Browser(port)
    await browser.get('/')
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
    await Promise.all(names.map(name => browser.get(`/${name}`)))
    t.deepEqual([...cluster.sessions][0]?.names().sort(), [...names, 'views'])
  })

  check('a logout during a slow request stays one', async t => {
    const cluster = oneManager()
    const inside = gate()
    const goOn = gate()
    const port = await serve(t, { cluster, secret }, async visit => {
      if (visit.url === '/logout') visit.end()
      else counting(visit)
      if (visit.url !== '/slow') return ''
      inside.open()
      await goOn.opened
      visit.session.late = true
      return 'late'
    })
    const browser = new Browser(port)
    await browser.get('/')
    const slow = new Browser(port, browser.cookies).get('/slow')
    await inside.opened
    await browser.get('/logout')
    goOn.open()
    const { text, set } = await slow
    t.deepEqual([text, set], ['late', []])
    t.is(cluster.sessions.size, 0)
    t.is(cluster.sessions.stats().discarded, 1)
  })

  check('an error in the handler is answered, and what was written before it is kept', async t => {
    const cluster = oneManager()
    const port = await serve(t, { cluster, secret }, async visit => {
      const text = await counting(visit)
      if (visit.url === '/fail') throw new Error('as it should')
      return text
    })
    const browser = new Browser(port)
    const failed = await browser.get('/fail')
    t.is(failed.status, 500)
    t.truthy(named(failed.set, SID))
    t.is((await browser.get('/')).text, '2')
  })

  check('a streamed reply carries the cookie of a session begun before', async t => {
    const cluster = oneManager()
    async function* pieces(session: RequestSession): AsyncIterable<string> {
      yield 'one '
      if (adapter.writesLate) session.late = true
      yield 'two'
    }
    const port = await serve(t, { cluster, secret }, visit => {
      counting(visit)
      return pieces(visit.session)
    })
    const browser = new Browser(port)
    const { text, set } = await browser.get('/')
    t.is(text, 'one two')
    t.truthy(named(set, SID))
    const [session] = cluster.sessions
    t.is(session?.get('views'), 1)
    t.is(session?.get('late'), adapter.writesLate ? true : undefined)
  })

  if (adapter.writesLate) {
    check('a session begun after the headers is reported, for nobody can get its cookie', async t => {
      const cluster = oneManager()
      const errors: unknown[] = []
      async function* pieces(visit: Visit): AsyncIterable<string> {
        yield 'one '
        counting(visit)
        yield 'two'
      }
      const port = await serve(t, { cluster, secret, onError: error => errors.push(error) }, visit => pieces(visit))
      const { text, set } = await new Browser(port).get('/')
      t.deepEqual([text, set], ['one two', []])
      t.regex(String(errors[0]), /after the headers were sent/)
      t.is(errors.length, 1)
      t.is(cluster.sessions.size, 0)
    })
  }

  check('what cannot be encoded is reported, and the reply goes out', async t => {
    const cluster = oneManager()
    const errors: unknown[] = []
    const port = await serve(t, { cluster, secret, onError: error => errors.push(error) }, ({ session }) => {
      session.bad = unreadable
      return 'sent'
    })
    const { status, text } = await new Browser(port).get('/')
    t.deepEqual([status, text], [200, 'sent'])
    t.regex(String(errors[0]), /cannot be read/)
    t.is(cluster.sessions.size, 0)
  })

  check('filtered paths, and those outside the cookie’s, have no session', async t => {
    const cluster = oneManager()
    const options = { cluster, secret, filter: /\.css$/, cookie: { path: '/app' } }
    const port = await serve(t, options, ({ session }) => {
      if (session === undefined) return 'none'
      session.views = 1
      return 'some'
    })
    const browser = new Browser(port)
    for (const path of ['/app/a.css', '/app/a.css?b', '/', '/apple', '/ap']) {
      const { text, set } = await browser.get(path)
      t.deepEqual([text, set], ['none', []], path)
    }
    t.is((await browser.get('/app/a')).text, 'some')
  })

  check('secure `auto` believes a proxy only when told to', async t => {
    const cluster = oneManager()
    const isSecure = async (options: Partial<AdapterOptions>, proto: string, trusts?: boolean): Promise<boolean> => {
      const port = await serve(t, { cluster, secret, ...options }, counting, trusts)
      const { set } = await new Browser(port).get('/', { 'x-forwarded-proto': proto })
      return /; Secure/.test(String(named(set, SID)))
    }
    t.true(await isSecure({ trustProxy: true }, 'https'))
    t.true(await isSecure({ trustProxy: true }, 'https, http'))
    t.false(await isSecure({ trustProxy: true }, 'http, https'))
    t.false(await isSecure({}, 'https'))
    t.true(await isSecure({ cookie: { secure: true } }, 'http'))
    if (adapter.trustsProxies) t.true(await isSecure({}, 'https', true), 'as the framework says')
  })

  check('unsigned, forged and oversized cookies are nobody’s', async t => {
    const cluster = oneManager()
    const { id } = cluster.sessions.create({ attributes: [['views', 100]] })
    const port = await serve(t, { cluster, secret }, ({ session }) => String(session.views))
    const text = async (value: string): Promise<string> => (await new Browser(port, [[SID, value]]).get('/')).text
    t.is(await text(signed(id)[1]), '100')
    const forged = [id, `s:${id}`, `s:${id}.`, `s:${id}.${'a'.repeat(43)}`, `s:${'a'.repeat(5_000)}.b`, 's%', '']
    for (const value of forged) t.is(await text(encodeURIComponent(value)), 'undefined', value.slice(0, 100))
    t.is(await text(signed(id, 'guessed')[1]), 'undefined')
    t.is(await text(signed('a'.repeat(4_000))[1]), 'undefined')
    t.is(await text('s%3A%ZZ'), 'undefined', 'badly encoded')
    t.is(cluster.sessions.size, 1)
  })

  check('secrets rotate', async t => {
    const cluster = oneManager()
    const { id } = cluster.sessions.create({ attributes: [['views', 1]] })
    const port = await serve(t, { cluster, secret: ['new', 'old'] }, counting)
    t.is((await new Browser(port, [signed(id, 'old')]).get('/')).text, '2')
    t.is((await new Browser(port, [signed(id, 'new')]).get('/')).text, '3')
  })

  check('another member goes on with the session and takes over the route', async t => {
    const [a, b] = twoManagers()
    const browser = new Browser(await serve(t, { cluster: a, secret }, counting))
    await browser.get('/')
    const moved = new Browser(await serve(t, { cluster: b, secret }, counting), browser.cookies)
    const { text, set } = await moved.get('/')
    t.deepEqual([text, set.length], ['2', 2])
    t.truthy(named(set, 'tribeline_route')?.startsWith('tribeline_route=node2'))
  })

  check('the reply waits for the receipt', async t => {
    const cluster = oneManager()
    cluster.store.outcome = undefined
    const port = await serve(t, { cluster, secret }, counting)
    let answered = false
    const answer = new Browser(port).get('/').then(({ text }) => {
      answered = true
      return text
    })
    while (cluster.store.sends.length === 0) await turn()
    for (let turns = 0; turns < 20; turns++) await turn()
    t.false(answered)
    cluster.store.sends.at(-1)?.settled?.({ outcome: 'met', wanted: 1, received: 1, applied: 1, faulty: [] })
    t.is(await answer, '1')
  })

  check('after a stall requests wait until the copy has caught up', async t => {
    const cluster = stallingMember()
    let handled = 0
    const port = await serve(t, { cluster, secret }, visit => {
      handled++
      return counting(visit)
    })
    const { id } = cluster.sessions.create({ attributes: [['views', 1]] })
    cluster.stallWhile(elsewhere => add(elsewhere, id, 4))
    const answer = new Browser(port, [signed(id)]).get('/')
    for (let turns = 0; turns < 20; turns++) await turn()
    t.is(handled, 0)
    cluster.catchUp()
    t.is((await answer).text, '6')
  })

  check('a request under way over a stall is refused if another member was faster', async t => {
    for (const kind of ['faster', 'idle'] as const) {
      const cluster = stallingMember()
      const inside = gate()
      const goOn = gate()
      const errors: unknown[] = []
      const port = await serve(t, { cluster, secret, onError: error => errors.push(error) }, async visit => {
        const text = await counting(visit)
        inside.open()
        await goOn.opened
        return text
      })
      const { id } = cluster.sessions.create({ attributes: [['views', 1]] })
      const answer = new Browser(port, [signed(id)]).get('/')
      await inside.opened
      cluster.stallWhile(elsewhere => (kind === 'faster' ? add(elsewhere, id, 4) : undefined))
      goOn.open()
      for (let turns = 0; turns < 5; turns++) await turn()
      t.is(cluster.elsewhere.find(id)?.get('views'), kind === 'faster' ? 5 : 1, 'it waits')
      cluster.catchUp()
      const { status, text, headers } = await answer
      const views = cluster.elsewhere.find(id)?.get('views')
      if (kind === 'faster') t.deepEqual([status, text, headers.get('retry-after'), views], [503, '', '0', 5])
      else t.deepEqual([status, text, views], [200, '2', 2])
      t.is(errors.length, kind === 'faster' ? 1 : 0)
      t.true(errors.every(error => error instanceof SessionOvertakenError))
    }
  })

  check('save makes changes known before the reply', async t => {
    const [cluster, other] = twoManagers()
    let seen: unknown
    const port = await serve(t, { cluster, secret }, async ({ session }) => {
      session.views = 7
      await session.save()
      seen = [...other.sessions][0]?.get('views')
      return ''
    })
    t.truthy(named((await new Browser(port).get('/')).set, SID))
    t.is(seen, 7)
  })

  check(
    'a save that nobody awaits ends no process: too few receipts are an event, what cannot be stored is reported',
    async t => {
      const cluster = oneManager({ onShortfall: 'throw' })
      const errors: unknown[] = []
      let shortfalls = 0
      cluster.sessions.on('shortfall', () => shortfalls++)
      cluster.store.outcome = 'short'
      const port = await serve(t, { cluster, secret, onError: error => errors.push(error) }, ({ url, session }) => {
        session.value = url === '/good' ? 1 : unreadable
        void session.save()
        if (url === '/good') session.changeId()
        return 'sent'
      })
      t.is((await new Browser(port).get('/good')).text, 'sent')
      t.deepEqual([shortfalls > 0, errors.length], [true, 0])
      t.is((await new Browser(port).get('/bad')).text, 'sent')
      t.is(errors.join(), 'SessionValueError: The session attribute "value" cannot be stored: cannot be read')
    },
  )
}

/** Nobody can encode it. */
const unreadable = {
  get value(): never {
    throw new Error('cannot be read')
  },
}

function add(sessions: DeltaManager, id: string, by: number): void {
  const session = sessions.find(id)
  if (session !== undefined) sessions.commit(session.set('views', Number(session.get('views')) + by))
}

/** One turn of the event loop. */
export const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
