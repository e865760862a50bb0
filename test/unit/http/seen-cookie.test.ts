import test from 'ava'
import fc from 'fast-check'
import { SeenCookie, TOKENS_MAX } from '../../../lib/http/cookies/seen-cookie.js'
import { writeToken } from '../../../lib/session/write-token.js'

const token = fc
  .tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }))
  .map(([origin, seq]) => writeToken({ origin: Buffer.from(origin).toString('hex'), seq }))
const cookie = new SeenCookie('seen', ['new', 'old'], 'sid')

test('a value names its tokens, the newest four at most, and only ours is ours', t => {
  fc.assert(
    fc.property(fc.array(token, { minLength: 1, maxLength: 8 }), tokens => {
      const value = cookie.value(tokens)
      t.deepEqual(cookie.tokens(value), tokens.slice(-TOKENS_MAX))
      t.true(cookie.isOurs(value))
      t.true(new SeenCookie('seen', ['other', 'new'], 'sid').isOurs(value), 'secrets rotate')
      t.is(encodeURIComponent(value), value)
      for (const other of [
        new SeenCookie('seen', ['other'], 'sid'),
        new SeenCookie('seen', ['old'], 'sid'),
        new SeenCookie('seen', ['new'], 'another'),
        new SeenCookie('others', ['new'], 'sid'),
      ]) {
        t.false(other.isOurs(value))
      }
    }),
  )
})

test('a changed value is not ours, and what is no value has no tokens', t => {
  fc.assert(
    fc.property(token, token, (one, other) => {
      const value = cookie.value([one])
      const changed = value.replace(one, other)
      return one === other || (!cookie.isOurs(changed) && cookie.tokens(`${value}~`) === undefined)
    }),
  )
  fc.assert(fc.property(fc.string(), text => cookie.tokens(text) === undefined))
  t.pass()
})

test('it is found among others', t => {
  for (const header of [
    'seen=x',
    'a=b; seen=x',
    'seen=x; a=b',
    'unseen=y; seen=x',
    'a=seen=y;seen=x;b=',
    'xseen=y;seen=x',
  ]) {
    t.deepEqual(cookie.find(header), [{ seat: 0, value: 'x' }], header)
    t.deepEqual(cookie.find(header.replaceAll('seen=', 'seen.3=')), [{ seat: 3, value: 'x' }], header)
  }
  for (const header of ['', 'seen', 'unseen=x', 'a=seen=x', 'seen =x', 'seen.4=x']) {
    t.deepEqual(cookie.find(header), [], header)
  }
})

test('all of them are found, and the first of each name', t => {
  const header = 'seen.2=a; seen=b; seen.20=c; seen.2=d; unseen=e; seen=f; seen.1='
  t.deepEqual(cookie.find(header), [
    { seat: 2, value: 'a' },
    { seat: 0, value: 'b' },
    { seat: 1, value: '' },
  ])
})
