import test from 'ava'
import { TribelineStore } from '../../lib/http/express.js'
import { FastifySessionStore } from '../../lib/http/fastify.js'
import { KoaSessionStore } from '../../lib/http/koa.js'
import { oneManager } from '../helpers/session-managers.js'
import { Browser } from './adapter-suite.js'
import { type Bag, type Library, libraries } from './session-libraries.js'

function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {}
  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  return { opened, open: () => open() }
}

for (const { name, cookie, serve } of libraries) {
  test(`${name}: eight parallel writers keep eight of eight`, async t => {
    const cluster = oneManager()
    const all = gate()
    let inside = 0
    const port = await serve(t, cluster, async (url, bag) => {
      if (url !== '/') {
        if (++inside === 8) all.open()
        await all.opened
      }
      bag[url] = { nested: [url] }
      return undefined
    })
    const browser = new Browser(port)
    await browser.get('/')
    t.truthy(browser.cookies.get(cookie))
    const names = ['/a', '/b', '/c', '/d', '/e', '/f', '/g', '/h']
    await Promise.all(names.map(url => new Browser(port, browser.cookies).get(url)))
    const { text } = await browser.get('/')
    t.like(JSON.parse(text), Object.fromEntries(names.map(url => [url, { nested: [url] }])))
    t.is(cluster.sessions.size, 1)
  })

  test(`${name}: a logout during a slow request stays one`, async t => {
    const cluster = oneManager()
    const inside = gate()
    const goOn = gate()
    const port = await serve(t, cluster, async (url, bag) => {
      if (url === '/logout') return 'end'
      bag.begun = true
      if (url === '/slow') {
        inside.open()
        await goOn.opened
        bag.late = true
      }
      return undefined
    })
    const browser = new Browser(port)
    await browser.get('/')
    t.is(cluster.sessions.size, 1)
    const slow = new Browser(port, browser.cookies).get('/slow')
    await inside.opened
    await new Browser(port, browser.cookies).get('/logout')
    t.is(cluster.sessions.size, 0)
    goOn.open()
    await slow
    t.is(cluster.sessions.size, 0)
  })

  test(`${name}: a request that only reads is a touch, whatever the library asks for`, async t => {
    const cluster = oneManager()
    const more = name === 'koa-session' ? { rolling: true } : { rolling: true, saveUninitialized: true }
    const port = await serve(
      t,
      cluster,
      async (url, bag) => {
        if (url === '/write') Object.assign(bag, { when: [1, 2], count: 1 })
        return undefined
      },
      more,
    )
    const browser = new Browser(port)
    await browser.get('/write')
    const { store } = cluster
    const [written, touched] = [store.written.length, store.touches]
    const { text } = await browser.get('/')
    t.like(JSON.parse(text), { when: [1, 2], count: 1 })
    t.is(store.written.length, written)
    t.true(store.touches > touched)
  })

  test(`${name}: a change writes the attribute that changed, and a removed one goes`, async t => {
    const cluster = oneManager()
    const port = await serve(t, cluster, async (url, bag) => {
      if (url === '/begin') Object.assign(bag, { big: 'x'.repeat(1000), gone: 1, count: 1 })
      if (url === '/count') bag.count = 2
      if (url === '/remove') delete bag.gone
      return undefined
    })
    const browser = new Browser(port)
    await browser.get('/begin')
    const { store } = cluster
    const changes = async (url: string): Promise<unknown> => {
      await browser.get(url)
      return [...(store.written.at(-1)?.writes ?? [])].filter(([key]) => !key.startsWith('\u0000')).map(([key]) => key)
    }
    t.deepEqual(await changes('/count'), ['count'])
    t.deepEqual(await changes('/remove'), ['gone'])
    t.deepEqual(
      Object.keys(JSON.parse((await browser.get('/')).text))
        .filter(key => key !== 'cookie')
        .sort(),
      ['big', 'count'],
    )
  })
}

for (const { name, serve } of libraries) {
  test(`${name}: requests that may only look change nothing, and what they tried is an error`, async t => {
    const cluster = oneManager()
    const { store } = cluster
    const readOnly = /^\/look/
    const port = await serve(
      t,
      cluster,
      async (url, bag) => {
        if (url.endsWith('/write')) bag.count = Number(bag.count ?? 0) + 1
        if (url.endsWith('/in-place')) (bag.list as number[]).push(2)
        if (url.endsWith('/begin')) Object.assign(bag, { count: 0, list: [1] })
        return url.endsWith('/end') ? 'end' : undefined
      },
      {},
      { readOnly },
    )
    const browser = new Browser(port)
    await new Browser(port).get('/look/write')
    await new Browser(port).get('/look')
    t.is(cluster.sessions.size, 0)
    await browser.get('/begin')
    const [written, touched] = [store.written.length, store.touches]
    t.like(JSON.parse((await browser.get('/look')).text), { count: 0, list: [1] })
    t.true(store.touches > touched, 'looking is a use')
    for (const path of ['/look/write', '/look/in-place']) {
      const { status } = await browser.get(path)
      // express-session sends the answer before it saves, and hands the error to the application.
      t.is(status, name === 'express-session' ? 200 : 500, path)
    }
    if (name !== 'express-session') await browser.get('/look/end')
    t.is(store.written.length, written)
    t.like(JSON.parse((await browser.get('/write')).text), { count: 1, list: [1] })
  })
}

test('stores: without a callback too few receipts end no process, with one they are its error', async t => {
  const cluster = oneManager({ onShortfall: 'throw' })
  const { sessions } = cluster
  cluster.store.outcome = 'short'
  const data = { cookie: { originalMaxAge: null }, a: 1 } as never
  const express = new TribelineStore({ sessions })
  for (const store of [express, new FastifySessionStore({ sessions })]) {
    store.set('one', data)
    t.is(sessions.size, 1)
    store.destroy('one')
    t.is(sessions.size, 0)
    t.like(await new Promise(resolve => store.set('two', data, resolve as () => void)), { code: 'SEND_FAILED' })
    express.clear()
    t.is(sessions.size, 0)
  }
  const koa = new KoaSessionStore({ sessions })
  await t.throwsAsync(koa.set('one', { a: 1 }), { code: 'SEND_FAILED' })
  // Rejections that nobody handles fail this test.
  await new Promise(resolve => setImmediate(resolve))
})

test('express-session and @fastify/session share one session', async t => {
  const cluster = oneManager()
  const counting = async (_url: string, bag: Bag): Promise<undefined> => {
    bag.count = Number(bag.count ?? 0) + 1
  }
  const [onExpress, onFastify] = libraries as [Library, Library]
  const here = await onExpress.serve(t, cluster, counting)
  const there = await onFastify.serve(t, cluster, counting, { cookieName: 'connect.sid', cookiePrefix: 's:' })
  let cookies: Iterable<readonly [string, string]> = []
  for (const [turn, port] of [here, there, here, there].entries()) {
    const browser = new Browser(port, cookies)
    t.is(JSON.parse((await browser.get('/')).text).count, turn + 1)
    cookies = browser.cookies
  }
  t.is(cluster.sessions.size, 1)
})

test('stores: callbacks may be absent, what is missing is no error, an expiry in the past ends', async t => {
  const cluster = oneManager()
  const { sessions, clock } = cluster
  const store = new FastifySessionStore({ sessions })
  store.set('one', { cookie: {}, a: 1 })
  store.get('one')
  const read = (sid: string): Promise<unknown> =>
    new Promise((resolve, reject) => store.get(sid, (error, data) => (error ? reject(error) : resolve(data))))
  t.like(await read('one'), { a: 1 })
  t.is(await read('none'), null)
  store.destroy('none')
  store.set('one', { cookie: { expires: new Date(clock.nowMs - 1) }, a: 1 })
  t.is(await read('one'), null)
  t.is(sessions.size, 0)
  t.throws(() => new FastifySessionStore({}), { code: 'INVALID_OPTION' })
})

test('koa-session’s store: lifetimes in its own terms', async t => {
  const cluster = oneManager()
  const { sessions, clock } = cluster
  const store = new KoaSessionStore({ sessions })
  t.is(await store.get('none', undefined), undefined)
  await store.destroy('none')
  const _expire = clock.nowMs + 60_000
  await store.set('one', { a: 1, _expire, _maxAge: 60_000 }, 70_000)
  t.deepEqual(await store.get('one'), { a: 1, _expire, _maxAge: 60_000 })
  t.is(sessions.find('one')?.maxInactiveInterval, 70)
  await store.set('two', { a: 1, _session: true }, 'session')
  t.deepEqual(await store.get('two'), { a: 1, _session: true })
  const ctx = {}
  await store.get('two', undefined, { ctx })
  await store.destroy('two', { ctx })
  await store.set('two', { a: 2, _session: true }, 'session', { ctx })
  t.is(await store.get('two'), undefined)
  clock.nowMs += 80_000
  t.is(await store.get('one'), undefined)
})
