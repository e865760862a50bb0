import test, { type ExecutionContext } from 'ava'
import { TribelineStore } from '../../lib/http/express.js'
import { FastifySessionStore } from '../../lib/http/fastify.js'
import { KoaSessionStore } from '../../lib/http/koa.js'
import type { StoreOptions } from '../../lib/http/stores/stored-sessions.js'
import type { SessionManager } from '../../lib/session/session-manager.js'
import { oneManager, twoManagers } from '../helpers/session-managers.js'
import { Browser } from './adapter-suite.js'
import { type Bag, libraries } from './session-libraries.js'

function attributesOf(sessions: SessionManager): Record<string, unknown> {
  const [session] = sessions
  return Object.fromEntries(session?.entries() ?? [])
}

for (const { name, serve } of libraries) {
  /** Two requests that both load the session before either saves it; the second is let out after the first. */
  const overlap = async (t: ExecutionContext, storing: Pick<StoreOptions, 'merge'>): Promise<unknown> => {
    const cluster = oneManager()
    let both = (): void => {}
    const inside = new Promise<void>(resolve => {
      both = resolve
    })
    let open = (): void => {}
    const second = new Promise<void>(resolve => {
      open = resolve
    })
    let waiting = 2
    const handler = async (url: string, bag: Bag): Promise<undefined> => {
      if (url === '/') {
        bag.n = 10
        return
      }
      if (--waiting === 0) both()
      await inside
      if (url === '/second') await second
      bag.n = Number(bag.n) + (url === '/first' ? 1 : 2)
      bag[url] = true
    }
    const port = await serve(t, cluster, handler, {}, storing)
    const browser = new Browser(port)
    await browser.get('/')
    const answers = ['/first', '/second'].map(url => new Browser(port, browser.cookies).get(url))
    await answers[0]
    open()
    await answers[1]
    return attributesOf(cluster.sessions)
  }

  test(`${name}: the merge strategies`, async t => {
    const merge = (_name: string, { base, mine, theirs }: { base: unknown; mine: unknown; theirs: unknown }): number =>
      Number(mine) + Number(theirs) - Number(base)
    t.deepEqual(await overlap(t, {}), { n: 12, '/first': true, '/second': true })
    t.deepEqual(await overlap(t, { merge: 'last-write' }), { n: 12, '/second': true })
    t.deepEqual(await overlap(t, { merge }), { n: 13, '/first': true, '/second': true })
  })

  test(`${name}: two applications, one session`, async t => {
    const [a, b] = twoManagers()
    const handler = async (url: string, bag: Bag): Promise<undefined> => {
      const [, key, value] = /^\/(\w+)=(\w+)/.exec(url) ?? []
      if (key === 'no') delete bag[String(value)]
      else if (key !== undefined) bag[key] = value
    }
    const shop = await serve(t, a, handler, {}, { application: 'shop', shared: ['user'] })
    const forum = await serve(t, b, handler, {}, { application: 'forum', shared: ['user'] })
    const browser = new Browser(shop)
    const see = async (port: number, path: string): Promise<unknown> => {
      const { cart, user } = JSON.parse((await browser.at(port, path)).text)
      return { cart, user }
    }
    await see(shop, '/cart=book')
    t.deepEqual(await see(forum, '/user=ada'), { cart: undefined, user: 'ada' })
    t.deepEqual(await see(shop, '/'), { cart: 'book', user: 'ada' })
    t.deepEqual(await see(forum, '/cart=none'), { cart: 'none', user: 'ada' })
    t.deepEqual(await see(forum, '/no=user'), { cart: 'none', user: undefined })
    t.deepEqual(await see(shop, '/'), { cart: 'book', user: undefined })
    t.is(a.sessions.size, 1)
  })

  test(`${name}: an absolute end comes however much a session is used`, async t => {
    const cluster = oneManager()
    const handler = async (_url: string, bag: Bag): Promise<undefined> => {
      bag.views = Number(bag.views ?? 0) + 1
    }
    const browser = new Browser(await serve(t, cluster, handler, {}, { maxLifetime: 100 }))
    const views = async (): Promise<unknown> => JSON.parse((await browser.get('/')).text).views
    t.is(await views(), 1)
    const began = [...cluster.sessions.ids()]
    for (let turn = 0; turn < 9; turn++) {
      cluster.clock.nowMs += 10_000
      t.is(await views(), turn + 2)
    }
    t.deepEqual([...cluster.sessions.ids()], began)
    cluster.clock.nowMs += 10_000
    t.is(await views(), 1)
    t.is(cluster.sessions.stats().expired, 1)
  })

  test(`${name}: values come back as what they were, whatever the level of detection`, async t => {
    // No BigInt: express-session and koa-session look for changes by JSON.
    for (const detect of ['set', 'modified', 'get', 'all'] as const) {
      const [a, b] = twoManagers()
      const values = { when: new Date(5), seen: new Map([[1, new Set(['a'])]]), list: [Number.NaN, null] }
      const write = async (_url: string, bag: Bag): Promise<undefined> => {
        Object.assign(bag, values)
      }
      let got: Bag = {}
      const read = async (_url: string, bag: Bag): Promise<undefined> => {
        got = { ...bag }
      }
      const browser = new Browser(await serve(t, a, write, {}, { detect }))
      await browser.get('/')
      await browser.at(await serve(t, b, read, {}, { detect }), '/')
      const { when, seen, list } = got
      t.deepEqual({ when, seen, list }, values as Bag, detect)
    }
  })
}

test('options out of range are refused', t => {
  const { sessions } = oneManager()
  for (const Store of [TribelineStore, FastifySessionStore, KoaSessionStore]) {
    for (const options of [
      { merge: 'mine' },
      { detect: 'some' },
      { prefix: 1 },
      { maxLifetime: 0.5 },
      { application: 'a b' },
      { shared: ['user'] },
    ]) {
      t.throws(() => new Store({ sessions, ...options } as never), { code: 'INVALID_OPTION' }, JSON.stringify(options))
    }
  }
})
