import test from 'ava'
import { memberId } from '../../../lib/membership/member.js'
import { MAX_INACTIVE } from '../../../lib/replication/replica-contract.js'
import { compareAccess } from '../../../lib/replication/stamp.js'
import { loneReplica } from '../../helpers/lone-replica.js'

const NOW_MS = 1_700_000_000_000
const ID = memberId(NOW_MS - 10, new Uint8Array(10).fill(1))
const PEER = memberId(NOW_MS - 5, new Uint8Array(10).fill(2))

/** A ready member that holds a record used `idleMs` ago, and is asked about a use stamped `aheadMs` after its own. */
function asked(idleMs: number, aheadMs: number): { later: boolean; isAbove: boolean; idleMs: number | undefined } {
  const { replica, sent, pass } = loneReplica(ID, NOW_MS)
  const { key } = replica.create(new Map([[MAX_INACTIVE, Buffer.from('10')]]))
  replica.memberAdded({ id: PEER, name: 'b', host: '127.0.0.1', port: 4_000 })
  pass(idleMs)
  const { access } = replica.inspect(key)!
  const judged = { ...access, wallMs: access.wallMs + aheadMs, ...(aheadMs > 0 && { origin: PEER }) }
  replica.receive({ kind: 'check', round: 1, entries: [{ key, access: judged }] }, PEER)
  const answer = sent.at(-1)
  if (answer?.kind !== 'checked') throw new Error('no answer')
  const isAbove = answer.later.every(entry => compareAccess(entry.access, judged) > 0)
  return { later: answer.later.length === 1, isAbove, idleMs: replica.idleMs(key) }
}

test('whoever used a record lately objects to its expiry, even if by the stamps another use is the last', t => {
  t.deepEqual(asked(5_000, 0), { later: true, isAbove: true, idleMs: 5_000 })
  t.deepEqual(asked(5_000, 8_000), { later: true, isAbove: true, idleMs: 5_000 })
  t.deepEqual(asked(9_900, 3_000), { later: true, isAbove: true, idleMs: 9_900 })
})

test('whoever used it no later than that consents', t => {
  t.false(asked(10_000, 0).later)
  t.false(asked(10_000, 3_000).later)
})

test('a use stamped far ahead of the clock moves no stamp', t => {
  t.false(asked(1_000, 60_000).later)
})
