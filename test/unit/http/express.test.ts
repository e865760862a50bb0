import test from 'ava'
import type { SessionData } from 'express-session'
import { TribelineStore } from '../../../lib/http/express.js'
import { sessionStoreSuite } from '../../conformance/session-store-suite.js'
import type { ManagerFixture } from '../../helpers/session-managers.js'
import { oneManager, twoManagers } from '../../helpers/session-managers.js'

type Data = SessionData & Record<string, unknown>

sessionStoreSuite(test, 'TribelineStore', () => {
  const cluster = oneManager()
  return fixtureOf(cluster, new TribelineStore({ cluster }))
})

sessionStoreSuite(test, 'TribelineStore with a prefix beside another', () => {
  const cluster = oneManager()
  cluster.sessions.create({ id: 'other:one', attributes: [['a', 'not mine']] })
  return fixtureOf(cluster, new TribelineStore({ sessions: cluster.sessions, prefix: 'mine:' }))
})

function fixtureOf({ clock }: ManagerFixture, store: TribelineStore) {
  return {
    store,
    now: () => clock.nowMs,
    elapse: (ms: number) => {
      clock.nowMs += ms
    },
  }
}

async function load(store: TribelineStore, sid: string): Promise<Data> {
  const found = await new Promise<unknown>((resolve, reject) => {
    store.load(sid, (error, data) => (error ? reject(error) : resolve(data)))
  })
  if (found === undefined) throw new Error(`no session ${sid}`)
  return found as Data
}

function fresh(attributes: Record<string, unknown> = {}): Data {
  const cookie = { originalMaxAge: null, expires: null, httpOnly: true, path: '/' }
  return { cookie, ...attributes } as unknown as Data
}

test('sets of sessions loaded in parallel merge by attribute', async t => {
  const [a, b] = twoManagers()
  const stores = [new TribelineStore({ cluster: a }), new TribelineStore({ cluster: b })]
  stores[0]?.set('one', fresh({ gone: 1, nested: { list: [] } }))
  const loaded = await Promise.all(stores.map(store => load(store, 'one')))
  loaded.forEach((data, index) => {
    data[`item${index}`] = index
  })
  delete loaded[0]?.gone
  ;(loaded[1] as Data & { nested: { list: number[] } }).nested.list.push(7)
  for (const [index, data] of loaded.entries()) stores[index]?.set('one', data)
  const { cookie: _, ...rest } = { ...(await load(stores[0] as TribelineStore, 'one')) }
  t.deepEqual(rest, { nested: { list: [7] }, item0: 0, item1: 1 })
})

test('a set after destroy writes nothing, on this member or another', async t => {
  const [a, b] = twoManagers()
  const [here, there] = [new TribelineStore({ cluster: a }), new TribelineStore({ cluster: b })]
  here.set('one', fresh({ user: 'ada' }))
  const slow = await load(here, 'one')
  there.destroy('one')
  slow.late = true
  let answered: unknown = 'no'
  here.set('one', slow, error => {
    answered = error
  })
  t.is(answered, null)
  t.is(a.store.size + b.store.size, 0)
  t.is(a.sessions.stats().discarded, 1)
})

test('an object that was never loaded keeps its own base after its first set', async t => {
  const cluster = oneManager()
  const store = new TribelineStore({ cluster })
  const made = fresh({ a: 1 })
  store.set('one', made)
  const other = await load(store, 'one')
  other.b = 2
  store.set('one', other)
  made.c = 3
  store.set('one', made)
  t.like(await load(store, 'one'), { a: 1, b: 2, c: 3 })
  store.destroy('one')
  store.set('one', made)
  t.is(cluster.store.size, 0)
})

test('touches that hardly move the expiry are not sent', t => {
  const cluster = oneManager()
  const { store: records, clock } = cluster
  const store = new TribelineStore({ cluster })
  const at = (ms: number): Data =>
    ({ cookie: { originalMaxAge: 100_000, expires: new Date(clock.nowMs + ms) } }) as unknown as Data
  store.set('one', at(100_000))
  const sent = records.written.length
  clock.nowMs += 5000
  store.touch('one', at(100_000))
  t.is(records.written.length, sent)
  t.is(records.touches, 1)
  clock.nowMs += 1000
  store.touch('one', at(100_000))
  t.is(records.written.length, sent + 1)
  t.deepEqual([...(records.written.at(-1)?.writes.keys() ?? [])], ['\u0000cookie'])
})

test('a change of data does not carry the rest along', async t => {
  const cluster = oneManager()
  const store = new TribelineStore({ cluster })
  store.set('one', fresh({ big: 'x'.repeat(1000), count: 1 }))
  const data = await load(store, 'one')
  data.count = 2
  store.set('one', data)
  t.deepEqual([...(cluster.store.written.at(-1)?.writes.keys() ?? [])], ['count'])
})

test('maxAge and ttl become the session’s idle time', t => {
  const cluster = oneManager()
  const store = new TribelineStore({ cluster, ttl: 77 })
  const expires = new Date(cluster.clock.nowMs + 9500)
  store.set('aged', { cookie: { originalMaxAge: 9500, expires } } as unknown as Data)
  store.set('plain', fresh())
  t.is(cluster.sessions.find('aged')?.maxInactiveInterval, 10)
  t.is(cluster.sessions.find('plain')?.maxInactiveInterval, 77)
})

test('names that express-session itself uses survive a request that cannot see them', async t => {
  const cluster = oneManager()
  const store = new TribelineStore({ cluster })
  cluster.sessions.create({
    id: 'one',
    attributes: [
      ['id', 'an attribute'],
      ['cookie', 'too'],
      ['a', 1],
    ],
  })
  const data = await load(store, 'one')
  data.a = 2
  store.set('one', data)
  const session = cluster.sessions.find('one')
  t.deepEqual([session?.get('id'), session?.get('cookie'), session?.get('a')], ['an attribute', 'too', 2])
})

test('a value that cannot be encoded is the callback’s error', t => {
  const cluster = oneManager()
  const store = new TribelineStore({ cluster })
  const bad = {
    get value(): never {
      throw new Error('cannot be read')
    },
  }
  let answered: unknown
  store.set('one', fresh({ bad }), error => {
    answered = error
  })
  t.regex(String(answered), /cannot be read/)
  t.is(cluster.store.size, 0)
})

test('the callback of set waits for the receipt', async t => {
  const cluster = oneManager()
  const store = new TribelineStore({ cluster })
  cluster.store.outcome = undefined
  let answered = false
  const done = new Promise<void>(resolve => {
    store.set('one', fresh(), () => {
      answered = true
      resolve()
    })
  })
  await new Promise(resolve => setImmediate(resolve))
  t.false(answered)
  cluster.store.sends.at(-1)?.settled?.({ outcome: 'unknown', wanted: 1, received: 0, applied: 0, faulty: [] })
  await done
  t.true(answered)
})

test('a set that changes nothing is a use, and writes nothing', async t => {
  const cluster = oneManager()
  const store = new TribelineStore({ cluster })
  store.set('one', fresh({ a: 1, list: [1] }))
  const written = cluster.store.written.length
  store.set('one', await load(store, 'one'))
  t.deepEqual([cluster.store.written.length, cluster.store.touches], [written, 1])
})

test('a touch writes no data, also what was changed in place', async t => {
  const cluster = oneManager()
  const store = new TribelineStore({ cluster, touchAfterMs: 0 })
  const at = (): Date => new Date(cluster.clock.nowMs + 100_000)
  store.set('one', { cookie: { originalMaxAge: 100_000, expires: at() }, seen: new Map([['a', 1]]) } as never)
  const data = (await load(store, 'one')) as Data & { seen: Map<string, number> }
  data.seen.set('b', 2)
  cluster.clock.nowMs += 5_000
  data.cookie.expires = at()
  store.touch('one', data)
  t.deepEqual([...(cluster.store.written.at(-1)?.writes.keys() ?? [])], ['\u0000cookie'])
})

test('a cookie’s date is the caller’s own', async t => {
  const cluster = oneManager()
  const store = new TribelineStore({ cluster })
  const expires = new Date(cluster.clock.nowMs + 60_000)
  store.set('one', { cookie: { originalMaxAge: 60_000, expires } } as unknown as Data)
  const read = (): Promise<Date> =>
    new Promise(resolve => store.get('one', (_, data) => resolve(data?.cookie.expires as Date)))
  ;(await read()).setTime(0)
  t.deepEqual(await read(), expires)
})

test('options out of range are refused', t => {
  t.throws(() => new TribelineStore({}), { code: 'INVALID_OPTION' })
  t.throws(() => new TribelineStore({ cluster: oneManager(), ttl: 0 }), { code: 'INVALID_OPTION' })
  t.throws(() => new TribelineStore({ cluster: oneManager(), touchAfterMs: -1 }), { code: 'INVALID_OPTION' })
})
