import test from 'ava'
import { sign } from 'cookie-signature'
import { clusterSession } from '../../lib/http/index.js'
import type { SignOnOptions } from '../../lib/http/requests/sign-on.js'
import { type UserMember, userMembers } from '../helpers/user-members.js'
import { Browser, secret, type VisitHandler } from './adapter-suite.js'
import { adapters } from './adapters.js'

const SSO = 'tribeline.sso'

/** `/<what>?<principal>`. */
const application: VisitHandler = async ({ url, session, end }) => {
  const [path = '', principal = 'ann'] = url.split('?')
  switch (path.split('/').at(-1)) {
    case 'login':
      try {
        await session.login(principal)
        return session.id
      } catch (error) {
        return (error as { code?: string }).code ?? String(error)
      }
    case 'logout':
      await session.logout()
      return ''
    case 'invalidate':
      session.invalidate()
      return ''
    case 'end':
      end()
      return ''
    case 'write':
      session.written = true
      return session.id
    case 'id':
      return session.id
    default:
      return session.principal ?? 'nobody'
  }
}

for (const [turn, adapter] of adapters.entries()) {
  const { name } = adapter
  const next = adapters[(turn + 1) % adapters.length]!

  test(`${name}: a login has a new id and a principal, and a logout ends it`, async t => {
    const [cluster] = userMembers({ maxSessions: 1, whenFull: 'refuse' })
    const browser = new Browser(await adapter.serve(t, { cluster, secret }, application))
    const before = (await browser.get('/write')).text
    const id = (await browser.get('/login')).text
    t.not(id, before)
    t.deepEqual([cluster.sessions.find(before), cluster.sessions.find(id)?.principal], [undefined, 'ann'])
    t.is((await browser.get('/who')).text, 'ann')
    t.false(browser.cookies.has(SSO))
    const other = new Browser(await adapter.serve(t, { cluster, secret }, application))
    t.is((await other.get('/login')).text, 'LOGIN_REFUSED')
    t.is((await other.get('/who')).text, 'nobody')
    const { signal } = cluster.sessions.find(id)!
    await browser.get('/logout')
    t.like(signal.reason, { code: 'SESSION_ENDED', why: 'logout' })
    t.deepEqual([cluster.sessions.size, (await browser.get('/who')).text], [0, 'nobody'])
    t.not((await other.get('/login')).text, 'LOGIN_REFUSED')
  })

  test(`${name}: a login or logout that nobody awaits stands, and ends no process for want of receipts`, async t => {
    const [cluster] = userMembers({}, { onShortfall: 'throw' })
    cluster.store.outcome = 'short'
    const port = await adapter.serve(t, { cluster, secret }, ({ url, session }) => {
      if (url === '/login') void session.login('ann')
      else if (url === '/logout') void session.logout()
      return session.principal ?? 'nobody'
    })
    const browser = new Browser(port)
    await browser.get('/login')
    t.is((await browser.get('/')).text, 'ann')
    await browser.get('/logout')
    t.is((await browser.get('/')).text, 'nobody')
  })

  const serveBoth = async (
    t: Parameters<typeof adapter.serve>[0],
    [one, two]: [UserMember, UserMember],
    signOn: true | SignOnOptions = true,
    onError?: (error: unknown) => void,
  ): Promise<{
    browser: Browser
    shop: (path: string) => Promise<string>
    admin: (path: string) => Promise<string>
  }> => {
    const more = onError === undefined ? {} : { onError }
    const options = { secret, signOn, ...more, seenCookie: false } as const
    const shopPort = await adapter.serve(t, { ...options, cluster: one, name: 'shop.sid' }, application)
    const adminPort = await next.serve(t, { ...options, cluster: two, name: 'admin.sid' }, application)
    const browser = new Browser(shopPort)
    return {
      browser,
      shop: async path => (await browser.at(shopPort, path)).text,
      admin: async path => (await browser.at(adminPort, path)).text,
    }
  }

  for (const way of ['logout', 'invalidate', 'end']) {
    test(`${name} and ${next.name} on another member: one login, and one logout by ${way}`, async t => {
      const members = userMembers()
      const [one, two] = members
      const { browser, shop, admin } = await serveBoth(t, members)
      t.is(await admin('/who'), 'nobody')
      const anonymous = await admin('/write')
      await shop('/login')
      t.true(browser.cookies.has(SSO))
      t.is(await admin('/who'), 'ann')
      t.not(await admin('/id'), anonymous)
      t.is(two.sessions.find(anonymous), undefined)
      t.deepEqual([one.users.count('ann'), one.sessions.size, one.store.size], [2, 2, 3])
      t.is(await admin('/who'), 'ann')
      await admin(`/${way}`)
      t.deepEqual([one.sessions.size, one.store.size], [0, 0])
      t.false(browser.cookies.has(SSO))
      t.deepEqual([await shop('/who'), await admin('/who')], ['nobody', 'nobody'])
      await admin('/login?bob')
      t.is(await shop('/who'), 'bob')
      await shop('/login?cy')
      t.deepEqual([await admin('/who'), one.users.count('bob')], ['cy', 0])
    })
  }

  test(`${name} and ${next.name}: requireReauthentication asks before a session joins, once`, async t => {
    const members = userMembers()
    const asked: string[] = []
    const errors: unknown[] = []
    let answer: () => boolean | Promise<boolean> = () => false
    const reauthenticate = (principal: string): boolean | Promise<boolean> => {
      asked.push(principal)
      return answer()
    }
    const signOn = { requireReauthentication: true, reauthenticate }
    const { shop, admin } = await serveBoth(t, members, signOn, error => errors.push(error))
    await shop('/login')
    t.is(await shop('/who'), 'ann')
    t.deepEqual(asked, [])
    t.is(await admin('/who'), 'nobody')
    answer = () => Promise.reject(new Error('cannot say'))
    t.is(await admin('/who'), 'nobody')
    t.deepEqual([asked.length, String(errors)], [2, 'Error: cannot say'])
    answer = async () => true
    t.is(await admin('/who'), 'ann')
    t.is(await admin('/who'), 'ann')
    t.deepEqual(asked, ['ann', 'ann', 'ann'])
  })
}

const [adapter] = adapters as [(typeof adapters)[0]]

test('a cookie that we did not sign is no sign-on; one of a sign-on that is over is taken back', async t => {
  const [cluster] = userMembers()
  const port = await adapter.serve(t, { cluster, secret, signOn: true, seenCookie: false }, application)
  const browser = new Browser(port)
  await browser.get('/login')
  const sso = decodeURIComponent(browser.cookies.get(SSO) as string)
  const signed = sso.slice(2, sso.lastIndexOf('.'))
  const id = signed.split('~')[0] as string
  t.is(cluster.users.signedOn(id), 'ann')
  for (const forged of [
    signed,
    `s:${signed}`,
    `s:${signed}.`,
    `s:${sign(signed, 'another')}`,
    `s:${sign(id, secret)}`,
  ]) {
    t.is((await new Browser(port, [[SSO, encodeURIComponent(forged)]]).get('/who')).text, 'nobody')
  }
  const thief = new Browser(port, [[SSO, encodeURIComponent(sso)]])
  t.is((await thief.get('/who')).text, 'ann')
  void cluster.users.endAll('ann')
  const { text, set } = await browser.get('/who')
  t.is(text, 'nobody')
  t.regex(set.join(), /tribeline\.sso=; Max-Age=0; Path=\//)
})

test('the cookie is that of the whole host, or of a domain', async t => {
  const [cluster] = userMembers()
  const cookie = { path: '/shop', sameSite: 'strict', maxAge: 60_000, partitioned: true } as const
  const signOn = { name: 'all', domain: 'example.org', secure: true }
  const port = await adapter.serve(t, { cluster, secret, cookie, signOn }, application)
  const { set } = await new Browser(port).get('/shop/login')
  const one = set.find(value => value.startsWith('all='))?.replace(/^all=[^;]*/, 'all')
  const flags = ['HttpOnly', 'Partitioned', 'Path=/', 'SameSite=Strict', 'Secure']
  t.deepEqual(one?.split('; ').sort(), ['Domain=example.org', ...flags, 'all'])
})

test('a principal that is logged out everywhere is logged out of the sign-on too', async t => {
  const [one, two] = userMembers({ maxSessions: 1 })
  const options = { secret, signOn: true, seenCookie: false } as const
  const port = await adapter.serve(t, { ...options, cluster: one }, application)
  const other = await adapter.serve(t, { ...options, cluster: two, name: 'admin.sid' }, application)
  const browser = new Browser(port)
  await browser.get('/login')
  t.is((await browser.at(other, '/who')).text, 'ann')
  // Somebody else by the same name: the sign-on is one login, and the older one.
  await new Browser(other).get('/login')
  t.deepEqual([(await browser.get('/who')).text, (await browser.at(other, '/who')).text], ['nobody', 'nobody'])
  t.deepEqual([one.users.count('ann'), one.store.size], [1, 2])
})

const reauthenticate = (): boolean => true
const wrong: readonly (readonly [unknown, RegExp])[] = [
  ['yes', /^Option signOn must be true, or an object of name, secret, /],
  [{ cookieDomain: 'x' }, /^Option signOn must be true, or an object of .*; got "cookieDomain"$/],
  [{ requireReauthentication: 1 }, /^Option signOn.requireReauthentication must be true or false; got 1$/],
  [{ requireReauthentication: true }, /^Option signOn.reauthenticate must be a function; got undefined$/],
  [
    { reauthenticate },
    /^Option signOn.reauthenticate must be left out without requireReauthentication; got a function$/,
  ],
  [{ secret: '' }, /^Option secret must be /],
  [{ name: 'a b' }, /^Option signOn\.name must be a name that a cookie may have; got "a b"$/],
  [{ name: 'tribeline_route' }, /^Option signOn.name must be the name of no other cookie of ours/],
]

for (const [signOn, message] of wrong) {
  test(`the option signOn cannot be ${JSON.stringify(signOn)}`, t => {
    const [cluster] = userMembers()
    t.throws(() => clusterSession({ cluster, secret, signOn: signOn as true }), { code: 'INVALID_OPTION', message })
  })
}

test('without users there is no sign-on, and no login', async t => {
  const { name, sessions } = userMembers()[0]
  t.throws(() => clusterSession({ cluster: { name, sessions }, secret, signOn: true }), { code: 'INVALID_OPTION' })
  const port = await adapter.serve(t, { cluster: { name, sessions }, secret, signOn: false }, application)
  t.is((await new Browser(port).get('/login')).text, 'INVALID_STATE')
})

for (const way of ['logout', 'invalidate', 'end']) {
  test(`a request that joins a sign-on may end it by ${way}`, async t => {
    const [cluster] = userMembers()
    const options = { cluster, secret, signOn: true, seenCookie: false } as const
    const browser = new Browser(await adapter.serve(t, options, application))
    const other = await adapter.serve(t, { ...options, name: 'admin.sid' }, application)
    await browser.get('/login')
    await browser.at(other, `/${way}`)
    t.deepEqual([cluster.users.count('ann'), cluster.store.size], [0, 0])
    t.false(browser.cookies.has(SSO))
  })
}

test('a sign-on that is on its way keeps its cookie, and its client is told that it is late', async t => {
  const [one, two] = userMembers()
  const options = { secret, signOn: true, seenCookie: false } as const
  const shop = await adapter.serve(t, { ...options, cluster: one }, application)
  const told: unknown[] = []
  const admin = await adapter.serve(t, { ...options, cluster: two, name: 'admin.sid' }, visit => {
    told.push(visit.session.stale)
    return application(visit)
  })
  const browser = new Browser(shop)
  one.store.held = true
  await browser.get('/login')
  const late = browser.at(admin, '/who')
  while (two.store.waiting === 0) await new Promise(resolve => setImmediate(resolve))
  two.store.giveUp()
  t.is((await late).text, 'nobody')
  t.true(browser.cookies.has(SSO))
  one.store.flush()
  t.is((await browser.at(admin, '/who')).text, 'ann')
  t.deepEqual(told, [true, false])
})

test('who may not wait does not wait for a sign-on either', async t => {
  const [one, two] = userMembers()
  const options = { secret, signOn: true, catchUpMs: 0 } as const
  const shop = await adapter.serve(t, { ...options, cluster: one }, application)
  const admin = await adapter.serve(t, { ...options, cluster: two, name: 'admin.sid' }, application)
  const browser = new Browser(shop)
  one.store.held = true
  await browser.get('/login')
  t.is((await browser.at(admin, '/who')).text, 'nobody')
  t.is(two.store.waiting, 0)
})

test('a copy without what its client wrote begins no session of the sign-on in place of the client’s', async t => {
  const [one, two] = userMembers()
  const options = { secret, signOn: true, catchUpMs: 0 } as const
  const shop = await adapter.serve(t, { ...options, cluster: one }, application)
  const same = await adapter.serve(t, { ...options, cluster: two }, application)
  const other = await adapter.serve(t, { ...options, cluster: one, name: 'admin.sid' }, application)
  const browser = new Browser(other)
  await browser.get('/login')
  one.store.held = true
  await browser.at(shop, '/write')
  const sid = browser.cookies.get('tribeline.sid')
  t.is((await browser.at(same, '/who')).text, 'nobody')
  t.is(browser.cookies.get('tribeline.sid'), sid)
  one.store.flush()
  t.is((await browser.at(same, '/who')).text, 'ann')
  t.is(one.users.count('ann'), 2)
})

test('a session that is first looked at when the headers are out keeps its id, for it could not be told', async t => {
  const [cluster] = userMembers()
  const options = { cluster, secret, signOn: true, seenCookie: false } as const
  const shop = await adapter.serve(t, options, application)
  const admin = await adapter.serve(t, { ...options, name: 'admin.sid' }, visit => {
    if (visit.url !== '/late') return application(visit)
    return (async function* () {
      yield 'late: '
      yield visit.session.principal ?? 'nobody'
    })()
  })
  const browser = new Browser(admin)
  const id = (await browser.get('/write')).text
  await browser.at(shop, '/login')
  t.is((await browser.get('/late')).text, 'late: nobody')
  t.not(cluster.sessions.find(id), undefined)
  t.is((await browser.get('/who')).text, 'ann')
})

test('a request for reading only joins nothing and asks nobody', async t => {
  const [cluster] = userMembers()
  const asked: string[] = []
  const reauthenticate = (principal: string): boolean => asked.push(principal) > 0
  const signOn = { requireReauthentication: true, reauthenticate }
  const options = { cluster, secret, signOn, seenCookie: false, readOnly: /^\/look/ } as const
  const browser = new Browser(await adapter.serve(t, options, application))
  const admin = await adapter.serve(t, { ...options, name: 'admin.sid' }, application)
  await browser.get('/login')
  t.is((await browser.at(admin, '/look/who')).text, 'nobody')
  t.deepEqual(asked, [])
  t.is((await browser.at(admin, '/who')).text, 'ann')
  t.is((await browser.at(admin, '/look/who')).text, 'ann')
  t.deepEqual(asked, ['ann'])
})
