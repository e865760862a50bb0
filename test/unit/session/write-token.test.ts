import test from 'ava'
import fc from 'fast-check'
import { readWriteToken, writeToken } from '../../../lib/session/write-token.js'

test('before any origin was read a dot is none', t => {
  t.is(readWriteToken(`.${'A'.repeat(21)}.1`), undefined)
})

test('a token names its delta, and fits into a cookie', t => {
  const origin = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => Buffer.from(bytes).toString('hex'))
  const seq = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
  fc.assert(
    fc.property(origin, seq, (origin, seq) => {
      const token = writeToken({ origin, seq })
      const dot = readWriteToken(token)
      return token.length <= 34 && /^[\w.-]+$/.test(token) && dot?.origin === origin && dot.seq === seq
    }),
  )
  t.pass()
})

test('nothing else is a token', t => {
  const token = writeToken({ origin: '0'.repeat(32), seq: 35 })
  t.is(token, 'AAAAAAAAAAAAAAAAAAAAAA.z')
  for (const text of [
    '',
    '.',
    token.slice(1),
    `${token} `,
    token.replace('.', ''),
    token.replace('z', '0'),
    `${token}Z`,
  ]) {
    t.is(readWriteToken(text), undefined, text)
  }
  t.is(readWriteToken('AAAAAAAAAAAAAAAAAAAAAB.z'), undefined, 'padding bits that are not zero')
  t.is(readWriteToken('AAAAAAAAAAAAAAAAAAAAAA.zzzzzzzzzzz'), undefined, 'beyond whole numbers')
  fc.assert(fc.property(fc.string(), text => readWriteToken(text) === undefined || /^[\w-]{22}\./.test(text)))
})

test('what a pattern takes for a token is one, and nothing else', t => {
  const pattern = /^([\w-]{22})\.([1-9a-z][0-9a-z]{0,10})$/
  const parts = fc.tuple(
    fc.constantFrom(
      'AAAAAAAAAAAAAAAAAAAAAA',
      'BBBBBBBBBBBBBBBBBBBBBA',
      'AAAAAAAAAAAAAAAAAAAAAB',
      'AAAAAAAAAAAAAAAAAAAA.A',
    ),
    fc.constantFrom('.', '', '..', '~'),
    fc.string({ unit: fc.constantFrom(...'019azAZ~. '), maxLength: 12 }),
  )
  fc.assert(
    fc.property(parts, ([origin, dot, digits]) => {
      const [, text, number] = pattern.exec(origin + dot + digits) ?? []
      const seq = Number.parseInt(number ?? '', 36)
      const isToken = text !== undefined && !text.endsWith('B') && Number.isSafeInteger(seq)
      const hex = Buffer.from(text ?? '', 'base64url').toString('hex')
      t.deepEqual(readWriteToken(origin + dot + digits), isToken ? { origin: hex, seq } : undefined)
    }),
  )
})
