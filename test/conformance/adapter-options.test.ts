import test, { type ExecutionContext } from 'ava'
import type { SessionManager } from '../../lib/session/session-manager.js'
import { type ManagerFixture, oneManager, twoManagers } from '../helpers/session-managers.js'
import { Browser, counting, SID, secret, signed, type VisitHandler } from './adapter-suite.js'
import { adapters } from './adapters.js'

class Basket {
  readonly items: unknown[] = ['book']
  count(): number {
    return this.items.length
  }
}

/** Lets `count` requests in, and each out as it is told. */
function doors(count: number): {
  readonly inside: Promise<void>
  pass(index: number): Promise<void>
  open(index: number): void
} {
  let arrived = (): void => {}
  let waiting = count
  const inside = new Promise<void>(resolve => {
    arrived = resolve
  })
  const opens: (() => void)[] = []
  const gates = Array.from({ length: count }, () => new Promise<void>(resolve => opens.push(resolve)))
  return {
    inside,
    async pass(index) {
      if (--waiting === 0) arrived()
      await gates[index]
    },
    open: index => opens[index]?.(),
  }
}

function attributesOf(sessions: SessionManager): Record<string, unknown> {
  const [session] = sessions
  return Object.fromEntries(session?.entries() ?? [])
}

for (const { name, serve } of adapters) {
  const check = (title: string, body: (t: ExecutionContext) => Promise<void>): void => {
    test(`${name}: ${title}`, body)
  }

  /** Begins a session with `n: 10`, and has two requests write to it that were both loaded before either commits. */
  const overlap = async (
    t: ExecutionContext,
    cluster: ManagerFixture,
    options: object,
    writes: readonly VisitHandler[],
  ): Promise<Record<string, unknown>> => {
    const { inside, pass, open } = doors(2)
    const port = await serve(t, { cluster, secret, ...options }, async visit => {
      const index = Number(visit.url.slice(1))
      if (visit.url === '/') {
        visit.session.n = 10
        return ''
      }
      void visit.session.n
      await pass(index - 1)
      return writes[index - 1]?.(visit) ?? ''
    })
    const browser = new Browser(port)
    await browser.get('/')
    const [first, second] = [1, 2].map(index => new Browser(port, browser.cookies).get(`/${index}`))
    await inside
    open(0)
    t.is((await first)?.status, 200)
    open(1)
    t.is((await second)?.status, 200)
    return attributesOf(cluster.sessions)
  }

  const writers: VisitHandler[] = [
    ({ session }) => {
      session.n++
      session.first = true
      return ''
    },
    ({ session }) => {
      session.n += 2
      session.second = true
      return ''
    },
  ]

  check('merge by attribute: the later write of one stands, and all others', async t => {
    t.deepEqual(await overlap(t, oneManager(), {}, writers), { n: 12, first: true, second: true })
  })

  check('last write: the session is the last request’s whole view', async t => {
    t.deepEqual(await overlap(t, oneManager(), { merge: 'last-write' }, writers), { n: 12, second: true })
    t.deepEqual(await overlap(t, oneManager({ merge: 'last-write' }), {}, writers), { n: 12, second: true })
  })

  check('an own merge function: no count is lost', async t => {
    const merge = (_name: string, { base, mine, theirs }: { base: unknown; mine: unknown; theirs: unknown }): number =>
      Number(mine) + Number(theirs) - Number(base)
    t.deepEqual(await overlap(t, oneManager(), { merge }, writers), { n: 13, first: true, second: true })
  })

  check('a merge function that throws is reported, and nothing of the request is written', async t => {
    const errors: unknown[] = []
    const merge = (): never => {
      throw new RangeError('not these two')
    }
    const options = { merge, onError: (error: unknown) => errors.push(error) }
    t.deepEqual(await overlap(t, oneManager(), options, writers), { n: 11, first: true })
    t.deepEqual(errors.map(String), ['RangeError: not these two'])
  })

  check('requests for reading only read, count as a use, and change nothing', async t => {
    const cluster = oneManager()
    const errors: unknown[] = []
    const options = { cluster, secret, readOnly: /^\/look/g, onError: (error: unknown) => errors.push(error) }
    const port = await serve(t, options, visit => {
      const { session, url } = visit
      if (url === '/look/deep') session.list?.push(3)
      if (url === '/look/set') session.list = []
      if (url === '/look/end') visit.end()
      if (url === '/look/login') session.regenerate()
      if (url === '/') session.list = [1, 2]
      return JSON.stringify(session.list ?? null)
    })
    const browser = new Browser(port)
    t.is((await browser.get('/look?first')).text, 'null')
    t.is((await browser.get('/look/set')).status, 500)
    t.is(cluster.sessions.size, 0)
    await browser.get('/')
    const { store } = cluster
    const before = [store.written.length, store.touches] as const
    t.is((await browser.get('/look?again')).text, '[1,2]')
    t.is((await browser.get('/look/deep')).text, '[1,2,3]')
    t.deepEqual([store.written.length, store.touches], [before[0], before[1] + 2])
    for (const path of ['/look/set', '/look/end', '/look/login']) {
      const { status, set } = await browser.get(path)
      t.deepEqual([status, set.filter(one => one.startsWith(SID))], [500, []], path)
    }
    t.is((await browser.get('/look')).text, '[1,2]')
    t.is((await browser.get('/elsewhere')).text, '[1,2]')
    t.deepEqual(errors, [])
    t.is(store.written.length, before[0])
  })

  check('a function that tells requests for reading is asked once for each', async t => {
    const cluster = oneManager()
    let asked = 0
    const readOnly = (): boolean => {
      asked++
      return false
    }
    const port = await serve(t, { cluster, secret, readOnly }, visit => {
      visit.session.n = 1
      if (visit.url === '/renew') visit.session.regenerate().n = 2
      return ''
    })
    const browser = new Browser(port)
    for (const path of ['/', '/renew', '/']) {
      asked = 0
      t.is((await browser.get(path)).status, 200)
      t.is(asked, 1, path)
    }
  })

  check('all requests of an application for reading only', async t => {
    const cluster = oneManager()
    const { id } = cluster.sessions.create({ attributes: [['views', 1]] })
    const port = await serve(t, { cluster, secret, readOnly: true, saveUninitialized: true }, visit =>
      visit.url === '/count' ? counting(visit) : String(visit.session.views),
    )
    const known = new Browser(port, [signed(id)])
    t.deepEqual([(await known.get('/')).text, (await known.get('/count')).status], ['1', 500])
    t.deepEqual((await new Browser(port).get('/')).set, [])
    t.is(cluster.sessions.size, 1)
  })

  check('an absolute end comes however much a session is used, and the cookie knows it', async t => {
    const cluster = oneManager()
    const { clock, sessions } = cluster
    const options = { cluster, secret, maxLifetime: 100, rolling: true, cookie: { maxAge: 60_000 } }
    const port = await serve(t, options, visit => {
      if (visit.url === '/same') visit.session.regenerate({ keep: true })
      if (visit.url === '/new') visit.session.regenerate()
      return counting(visit)
    })
    const browser = new Browser(port)
    const maxAge = (set: readonly string[]): number =>
      Number(/Max-Age=(\d+)/.exec(set.find(one => one.startsWith(SID)) ?? '')?.[1])
    t.is(maxAge((await browser.get('/')).set), 60)
    clock.nowMs += 50_000
    t.is(maxAge((await browser.get('/')).set), 50)
    clock.nowMs += 30_000
    const same = await browser.get('/same')
    t.deepEqual([same.text, maxAge(same.set)], ['3', 20])
    const old = new Browser(port, browser.cookies)
    const fresh = await new Browser(port, browser.cookies).get('/new')
    t.deepEqual([fresh.text, maxAge(fresh.set)], ['1', 60], 'another session, another life')
    t.is((await old.get('/')).text, '1')
    const other = new Browser(port)
    for (const [afterMs, text] of [
      [0, '1'],
      [50_000, '2'],
      [49_000, '3'],
      [1_000, '1'],
    ] as const) {
      clock.nowMs += afterMs
      t.is((await other.get('/')).text, text, String(afterMs))
    }
    t.is(sessions.stats().expired, 1)
  })

  check('two applications, one session: what is shared is shared, the rest is not', async t => {
    const [a, b] = twoManagers()
    const handler: VisitHandler = ({ session, url }) => {
      const [, name, value] = /^\/(\w+)=(\w+)/.exec(url) ?? []
      if (name !== undefined) session[name] = value
      return JSON.stringify(session)
    }
    const shop = await serve(t, { cluster: a, secret, application: 'shop', shared: ['user'] }, handler)
    const forum = await serve(t, { cluster: b, secret, application: 'forum', shared: /^user$/ }, handler)
    const neither = await serve(t, { cluster: b, secret }, handler)
    const browser = new Browser(shop)
    const see = async (port: number, path: string): Promise<unknown> => JSON.parse((await browser.at(port, path)).text)
    t.deepEqual(await see(shop, '/cart=book'), { cart: 'book' })
    t.deepEqual(await see(forum, '/'), {})
    t.deepEqual(await see(forum, '/user=ada'), { user: 'ada' })
    t.deepEqual(await see(shop, '/'), { cart: 'book', user: 'ada' })
    t.deepEqual(await see(forum, '/cart=none'), { user: 'ada', cart: 'none' })
    t.deepEqual(await see(shop, '/'), { cart: 'book', user: 'ada' })
    t.deepEqual(await see(neither, '/'), { user: 'ada' })
    t.is(a.sessions.size, 1)
  })

  check('values come back as what they were, and instances as plain data', async t => {
    const [a, b] = twoManagers()
    const values = {
      date: new Date(5),
      map: new Map<unknown, unknown>([[1, new Set(['a'])]]),
      big: 2n ** 70n,
      bytes: new Uint8Array([1, 2, 3]),
      nothing: undefined,
      list: [Number.NaN, null, -1.5],
      basket: new Basket(),
    }
    const handler: VisitHandler = ({ session, url }) => {
      if (url === '/') for (const [key, value] of Object.entries(values)) session.set(key, value)
      else session.map.get(1).add('b')
      return ''
    }
    const browser = new Browser(await serve(t, { cluster: a, secret }, handler))
    await browser.get('/')
    await browser.at(await serve(t, { cluster: b, secret }, handler), '/in-place')
    const { basket, map, ...rest } = attributesOf(a.sessions)
    const { basket: _, map: __, ...expected } = values
    t.deepEqual(rest, expected)
    t.deepEqual(map, new Map([[1, new Set(['a', 'b'])]]))
    t.deepEqual(basket, { items: ['book'] })
    t.false(basket instanceof Basket)
  })

  check('the levels of change detection, as the middleware asks', async t => {
    const names = async (detect: 'set' | 'modified' | 'get' | 'all'): Promise<string[]> => {
      const cluster = oneManager({ detect: 'modified' })
      const { id } = cluster.sessions.create({
        attributes: [
          ['list', [1]],
          ['seen', 1],
          ['rest', 1],
        ],
      })
      const port = await serve(t, { cluster, secret, detect }, ({ session }) => {
        session.list.push(2)
        return String(session.seen)
      })
      const { written } = cluster.store
      const before = written.length
      await new Browser(port, [signed(id)]).get('/')
      return written.slice(before).flatMap(({ writes }) => [...writes.keys()])
    }
    t.deepEqual(await names('set'), [])
    t.deepEqual(await names('modified'), ['list'])
    t.deepEqual(await names('get'), ['list', 'seen'])
    t.deepEqual((await names('all')).sort(), ['list', 'rest', 'seen'])
  })

  check('what stays on its member is the same object there, and unknown elsewhere', async t => {
    const [a, b] = twoManagers({ exclude: (_name, value) => value instanceof Basket })
    const handler: VisitHandler = ({ session }) => {
      session.user ??= 'ada'
      if (session.basket === undefined) session.basket = new Basket()
      else session.basket.items.push('more')
      return String(session.basket.count())
    }
    const browser = new Browser(await serve(t, { cluster: a, secret }, handler))
    const elsewhere = await serve(t, { cluster: b, secret }, handler)
    t.is((await browser.get('/')).text, '1')
    t.is((await browser.get('/')).text, '2')
    t.is((await browser.at(elsewhere, '/')).text, '1')
    t.is((await browser.get('/')).text, '3')
  })

  check('a forged cookie costs no look-up, an unknown id one', async t => {
    const cluster = oneManager()
    const asked: string[] = []
    const find = cluster.sessions.find.bind(cluster.sessions)
    cluster.sessions.find = (id, view) => {
      asked.push(id)
      return find(id, view)
    }
    const port = await serve(t, { cluster, secret }, ({ session }) => String(session.isNew))
    const forged = [signed('guessed', 'another secret')]
    t.is((await new Browser(port, forged).get('/')).text, 'true')
    t.deepEqual(asked, [])
    t.is((await new Browser(port, [signed('unknown')]).get('/')).text, 'true')
    t.deepEqual(asked, ['unknown'])
  })
}

for (const options of [{ merge: 'mine' }, { maxLifetime: -1 }, { application: 'a b' }, { shared: ['user'] }]) {
  test(`options out of range are refused: ${JSON.stringify(options)}`, async t => {
    for (const { name, serve } of adapters) {
      const attempt = async (): Promise<number> =>
        serve(t, { cluster: oneManager(), secret, ...options } as never, () => '')
      await t.throwsAsync(attempt, { code: 'INVALID_OPTION' }, name)
    }
  })
}

test('whatever a request sends is acknowledged as the options ask', async t => {
  const cluster = oneManager()
  const [{ serve }] = adapters as [(typeof adapters)[0]]
  const port = await serve(t, { cluster, secret, copies: 3, ackTimeoutMs: 77 }, ({ url, session, end }) => {
    if (url === '/write') session.n = 1
    else if (url === '/id') session.changeId()
    else if (url === '/keep') session.regenerate({ keep: true })
    else if (url === '/new') session.regenerate().n = 1
    else if (url === '/end') end()
    else session.invalidate()
    return ''
  })
  const browser = new Browser(port)
  for (const path of ['/write', '/id', '/keep', '/new', '/end', '/write', '/invalidate']) await browser.get(path)
  t.deepEqual(
    cluster.store.sends.map(({ copies, timeoutMs }) => [copies, timeoutMs]),
    Array(8).fill([3, 77]),
  )
})
