import type { ExecutionContext, TestFn } from 'ava'
import type { SessionData, Store } from 'express-session'

/** A store under test, and how to move its clock. */
export interface StoreFixture {
  readonly store: Store
  /** Lets `ms` pass on the clock the store lives by. */
  elapse(ms: number): void
  /** The store's wall clock. */
  now(): number
}

type Data = SessionData & Record<string, unknown>

/** What express-session expects of every store, whoever wrote it. */
export function sessionStoreSuite(test: TestFn, name: string, make: () => StoreFixture): void {
  const check = (title: string, body: (t: ExecutionContext, fixture: StoreFixture) => Promise<void>): void => {
    test(`${name}: ${title}`, async t => body(t, make()))
  }

  check('what is not there is null or undefined, and no error', async (t, { store }) => {
    const [error, data] = await call(done => store.get('nobody', done))
    t.falsy(error)
    t.true(data === null || data === undefined)
  })

  check('get gives what set was given, in a fresh object with its cookie', async (t, fixture) => {
    const { store } = fixture
    const mine = session(fixture, { user: { name: 'ada' }, list: [1, 2] })
    await ok(t, done => store.set('one', mine, done))
    ;(mine.list as number[]).push(3)
    const first = await read(t, store, 'one')
    t.deepEqual(first?.list, [1, 2])
    t.deepEqual(first?.user, { name: 'ada' })
    t.is(first?.cookie.originalMaxAge, 60_000)
    t.is(new Date(first?.cookie.expires ?? 0).getTime(), fixture.now() + 60_000)
    if (first !== undefined) first.list = 'spoiled'
    const second = await read(t, store, 'one')
    t.not(second, first)
    t.deepEqual(second?.list, [1, 2])
  })

  check('a cookie object is stored by its toJSON, and a session cookie stays one', async (t, { store }) => {
    const cookie = { secret: 'method', toJSON: () => ({ originalMaxAge: null, expires: null, path: '/shop' }) }
    await ok(t, done => store.set('one', { cookie } as unknown as SessionData, done))
    const data = await read(t, store, 'one')
    t.deepEqual({ ...data?.cookie }, { originalMaxAge: null, expires: null, path: '/shop' } as never)
  })

  check('an expiry given as text counts like a date', async (t, fixture) => {
    const expires = new Date(fixture.now() + 1000).toISOString()
    const data = { cookie: { originalMaxAge: 1000, expires }, a: 1 } as unknown as SessionData
    await ok(t, done => fixture.store.set('one', data, done))
    t.truthy(await read(t, fixture.store, 'one'))
    fixture.elapse(2000)
    t.falsy(await read(t, fixture.store, 'one'))
  })

  check('set without a base replaces all attributes', async (t, fixture) => {
    const { store } = fixture
    await ok(t, done => store.set('one', session(fixture, { a: 1, b: 1 }), done))
    await ok(t, done => store.set('one', session(fixture, { b: 2 }), done))
    const data = await read(t, store, 'one')
    t.false('a' in (data ?? {}))
    t.is(data?.b, 2)
  })

  check('destroy removes, also twice, also what was never there', async (t, fixture) => {
    const { store } = fixture
    await ok(t, done => store.set('one', session(fixture), done))
    await ok(t, done => store.destroy('one', done))
    await ok(t, done => store.destroy('one', done))
    await ok(t, done => store.destroy('nobody', done))
    t.falsy(await read(t, store, 'one'))
  })

  check('touch moves the expiry and nothing else', async (t, fixture) => {
    const { store } = fixture
    await ok(t, done => store.set('one', session(fixture, { a: 1 }), done))
    fixture.elapse(40_000)
    await ok(t, done => store.touch?.('one', session(fixture, { a: 'other', b: 2 }), done))
    fixture.elapse(40_000)
    const data = await read(t, store, 'one')
    t.is(data?.a, 1)
    t.false('b' in (data ?? {}))
    t.is(new Date(data?.cookie.expires ?? 0).getTime(), fixture.now() + 20_000)
  })

  check('touch neither makes nor revives a session', async (t, fixture) => {
    const { store } = fixture
    await ok(t, done => store.touch?.('one', session(fixture), done))
    t.falsy(await read(t, store, 'one'))
    await ok(t, done => store.set('one', session(fixture), done))
    await ok(t, done => store.destroy('one', done))
    await ok(t, done => store.touch?.('one', session(fixture), done))
    t.falsy(await read(t, store, 'one'))
  })

  check('expired sessions are invisible to get, all and length, and touch does not bring them back', async (t, f) => {
    const { store } = f
    await ok(t, done => store.set('short', session(f, {}, 1000), done))
    await ok(t, done => store.set('long', session(f, {}, 100_000), done))
    f.elapse(10_000)
    t.falsy(await read(t, store, 'short'))
    await ok(t, done => store.touch?.('short', session(f), done))
    t.falsy(await read(t, store, 'short'))
    t.deepEqual((await call(done => store.length?.(done)))[1], 1)
    t.deepEqual(Object.keys((await call(done => store.all?.(done)))[1] as object), ['long'])
  })

  check('set with an expiry in the past removes', async (t, fixture) => {
    const { store } = fixture
    await ok(t, done => store.set('one', session(fixture), done))
    await ok(t, done => store.set('one', session(fixture, {}, -1000), done))
    t.falsy(await read(t, store, 'one'))
    await ok(t, done => store.set('never', session(fixture, {}, -1000), done))
    t.falsy(await read(t, store, 'never'))
  })

  check('all, length and clear agree', async (t, fixture) => {
    const { store } = fixture
    for (const id of ['a', 'b', 'c']) await ok(t, done => store.set(id, session(fixture, { id }), done))
    const [, all] = await call<{ [sid: string]: Data }>(done => store.all?.(done as never))
    t.deepEqual(Object.keys(all ?? {}).sort(), ['a', 'b', 'c'])
    t.is(all?.b?.id, 'b')
    t.is((await call(done => store.length?.(done)))[1], 3)
    await ok(t, done => store.clear?.(done))
    t.is((await call(done => store.length?.(done)))[1], 0)
    t.deepEqual((await call(done => store.all?.(done)))[1], {})
  })

  check('every callback may be left out', async (t, fixture) => {
    const { store } = fixture
    t.notThrows(() => store.set('one', session(fixture, { a: 1 })))
    t.is((await read(t, store, 'one'))?.a, 1)
    t.notThrows(() => store.touch?.('one', session(fixture)))
    t.notThrows(() => store.destroy('one'))
    t.falsy(await read(t, store, 'one'))
    t.notThrows(() => store.clear?.())
  })

  check('load gives a live session, or nothing', async (t, fixture) => {
    const { store } = fixture
    await ok(t, done => store.set('one', session(fixture, { a: 1 }), done))
    const [error, live] = await call<Data & { id: string }>(done => store.load('one', done as never))
    t.falsy(error)
    t.is(live?.id, 'one')
    t.is(live?.a, 1)
    t.true(live?.cookie.expires instanceof Date)
    t.deepEqual(await call(done => store.load('nobody', done)), [undefined, undefined])
  })
}

function session(fixture: StoreFixture, attributes: Record<string, unknown> = {}, maxAgeMs = 60_000): Data {
  const expires = new Date(fixture.now() + maxAgeMs)
  return { cookie: { originalMaxAge: maxAgeMs, expires, httpOnly: true, path: '/' }, ...attributes } as unknown as Data
}

async function call<T>(run: (done: (error?: unknown, value?: T) => void) => void): Promise<[unknown, T | undefined]> {
  return new Promise(resolve => run((error, value) => resolve([error, value])))
}

async function ok(t: ExecutionContext, run: (done: (error?: unknown) => void) => void): Promise<void> {
  const [error] = await call(run)
  t.falsy(error)
}

async function read(t: ExecutionContext, store: Store, sid: string): Promise<Data | undefined> {
  const [error, data] = await call<SessionData | null>(done => store.get(sid, done as never))
  t.falsy(error)
  return (data ?? undefined) as Data | undefined
}
