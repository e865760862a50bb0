import test from 'ava'
import fc from 'fast-check'
import { readWriteToken, writeToken } from '../../../lib/session/write-token.js'

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
