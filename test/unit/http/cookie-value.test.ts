import test from 'ava'
import { sign } from 'cookie-signature'
import fc from 'fast-check'
import { type CookieRouting, readCookieValue, writeCookieValue } from '../../../lib/http/cookies/cookie-value.js'

const formats: readonly CookieRouting[] = ['cookie', 'suffix', 'jvmRoute']
const routes = fc.stringMatching(/^[\w-]{1,64}$/)
const ids = fc.oneof(fc.stringMatching(/^[\w-]{1,40}$/), fc.string({ minLength: 1, unit: 'grapheme' }))

test('every format is read back, whatever the id', t => {
  fc.assert(
    fc.property(ids, routes, fc.string({ minLength: 1 }), (id, route, secret) => {
      const signed = sign(id, secret)
      for (const routing of formats) {
        const value = readCookieValue(writeCookieValue(signed, routing, route))
        t.deepEqual(value, { signed, routing, route: routing === 'cookie' ? undefined : route })
      }
    }),
  )
})

test('what follows the first dot of a jvmRoute value is the route, also percent-encoded', t => {
  fc.assert(
    fc.property(ids, routes, (id, route) => {
      const sent = encodeURIComponent(writeCookieValue(sign(id, 'x'), 'jvmRoute', route))
      return sent.slice(sent.indexOf('.') + 1) === route
    }),
  )
  t.pass()
})

test('the formats, letter by letter', t => {
  const signed = sign('some-id', 'secret')
  t.is(writeCookieValue(signed, 'cookie', 'node1'), `s:${signed}`)
  t.is(writeCookieValue(signed, 'suffix', 'node1'), `s:${signed}~node1`)
  t.regex(writeCookieValue(signed, 'jvmRoute', 'node1'), /^some-id~[\w-]{43}\.node1$/)
})

test('nothing else is a value', t => {
  for (const text of ['', 'a', 'a.b', '~', `a~${'b'.repeat(42)}.c`, `~${'b'.repeat(43)}.c`, `%~${'b'.repeat(43)}.c`]) {
    t.is(readCookieValue(text), undefined, text)
  }
  fc.assert(fc.property(fc.string(), text => readCookieValue(text) === undefined || text.length > 1))
})
