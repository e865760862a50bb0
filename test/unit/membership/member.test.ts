import test from 'ava'
import { firstIdAt, MEMBER_ID_RANDOM_BYTES, memberId, startedAtMs } from '../../../lib/membership/member.js'

const low = new Uint8Array(MEMBER_ID_RANDOM_BYTES)
const high = new Uint8Array(MEMBER_ID_RANDOM_BYTES).fill(255)

test('an id tells its start and sorts by it', t => {
  const starts = [0, 1, 255, 1_700_000_000_000, 2 ** 48 - 1]
  for (const startMs of starts) {
    const id = memberId(startMs, high)
    t.regex(id, /^[0-9a-f]{32}$/)
    t.is(startedAtMs(id), startMs)
  }
  for (const [index, startMs] of starts.slice(1).entries())
    t.true(memberId(starts[index]!, high) < memberId(startMs, low))
})

test('a start out of range is the next that is in it', t => {
  t.is(startedAtMs(memberId(-5, low)), 0)
  t.is(startedAtMs(memberId(2 ** 50, low)), 2 ** 48 - 1)
  t.is(startedAtMs(memberId(7.9, low)), 7)
})

test('the first id at a time is above all earlier ones and below all others', t => {
  const first = firstIdAt(1_000)
  t.true(memberId(999, high) < first)
  t.true(first < memberId(1_000, low))
  t.is(firstIdAt(0), '')
})
