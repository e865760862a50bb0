import test from 'ava'
import { sign } from 'cookie-signature'
import fc from 'fast-check'
import { SessionCookie } from '../../../lib/http/cookies/session-cookie.js'

/** The id in a cookie of this value, which is percent-encoded on its way. */
function idIn(cookie: SessionCookie, value: string | undefined): string | undefined {
  const header = value === undefined ? undefined : `sid=${encodeURIComponent(value)}`
  return cookie.read(header, undefined).id
}

test('the value is what express-session would sign', t => {
  const cookie = new SessionCookie('sid', 'secret')
  const header = cookie.issue('some-id', false)
  t.is(header, `sid=${encodeURIComponent(`s:${sign('some-id', 'secret')}`)}; Path=/; HttpOnly; SameSite=Lax`)
  t.is(cookie.read(header.split(';')[0], undefined).id, 'some-id')
  t.is(cookie.read(header.split(';')[0], undefined).id, 'some-id', 'also when remembered')
})

test('values that were not signed by us are nobody’s', t => {
  const cookie = new SessionCookie('sid', ['new', 'old'])
  t.is(idIn(cookie, `s:${sign('a', 'old')}`), 'a')
  for (const value of [undefined, '', 'a', 's:', 's:a', 's:a.b', `s:${sign('a', 'other')}`, sign('a', 'new')]) {
    t.is(idIn(cookie, value), undefined, value)
  }
  t.is(idIn(cookie, `s:${sign('a'.repeat(5000), 'new')}`), undefined)
})

test('what is remembered is read as the first time, whatever stands around it', t => {
  const make = (): SessionCookie => new SessionCookie('sid', 'secret', {}, 'suffix')
  const signed = sign('a', 'secret')
  const values = [`s%3A${encodeURIComponent(signed)}`, `s:${signed}~n1`, `s:${sign('b', 'secret')}`, `s:${signed}x`, '']
  const cookies = values.flatMap(value => [`sid=${value}`, `sid =${value}`, `sid=${value} `, `xsid=${value}`])
  const others = [
    'x=y',
    'x=y sid=z',
    'sid.seen=x',
    'sid-2=x sid=y',
    'sid$=x',
    `x=y sid=${values[1]}`,
    'route=n2',
    'route=n%33',
    'route=n2\t',
    'route=?',
    'sid',
    '=',
  ]
  const pieces = fc.constantFrom(...cookies, ...others)
  const header = fc.array(fc.tuple(pieces, fc.constantFrom('; ', ';', ';  ', ';\t', ' ')), { maxLength: 5 })
  const cookie = make()
  for (const value of values) cookie.read(`sid=${value}; route=n1`, 'route')
  const check = fc.property(header, fc.constantFrom('route', undefined), (parts, route) => {
    const text = parts.flat().join('')
    const first = make().read(text, route)
    t.deepEqual(cookie.read(text, route), first, text)
    t.deepEqual(cookie.read(text, route), first, text)
  })
  fc.assert(check, { numRuns: 500 })
})

test('secure follows the connection unless it is set', t => {
  t.true(new SessionCookie('sid', 'x').issue('a', true).includes('; Secure'))
  t.false(new SessionCookie('sid', 'x').issue('a', false).includes('; Secure'))
  t.true(new SessionCookie('sid', 'x', { secure: true }).issue('a', false).includes('; Secure'))
  t.true(new SessionCookie('sid', 'x').clear(false).includes('Max-Age=0'))
  t.true(new SessionCookie('sid', 'x', { maxAge: 1500 }).issue('a', false).includes('Max-Age=2'))
})

test('what no cookie allows is refused at once', t => {
  t.throws(() => new SessionCookie('sid', []), { code: 'INVALID_OPTION' })
  t.throws(() => new SessionCookie('sid', ''), { code: 'INVALID_OPTION' })
  t.throws(() => new SessionCookie('a b', 'x'), { code: 'INVALID_OPTION' })
  t.throws(() => new SessionCookie('sid', 'x', { path: 'a;b' }), { code: 'INVALID_OPTION' })
  t.throws(() => new SessionCookie('sid', 'x', { maxAge: 0 }), { code: 'INVALID_OPTION' })
  for (const options of [{ sameSite: 'none' }, { partitioned: true }] as const) {
    t.throws(() => new SessionCookie('sid', 'x', { ...options, secure: false }), { message: /cookie\.secure/ })
    t.notThrows(() => new SessionCookie('sid', 'x', { ...options, secure: true }))
    t.notThrows(() => new SessionCookie('sid', 'x', options))
  }
})
