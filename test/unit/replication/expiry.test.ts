import test from 'ava'
import { memberId } from '../../../lib/membership/member.js'
import type { ReplicationMessage } from '../../../lib/replication/messages.js'
import { Replica } from '../../../lib/replication/replica.js'
import { MAX_INACTIVE } from '../../../lib/replication/replica-contract.js'
import { compareAccess } from '../../../lib/replication/stamp.js'
import { loneReplica } from '../../helpers/lone-replica.js'

const NOW_MS = 1_700_000_000_000
const ID = memberId(NOW_MS - 10, new Uint8Array(10).fill(1))
const PEER = memberId(NOW_MS - 5, new Uint8Array(10).fill(2))
const MEMBER = { id: PEER, name: 'b', host: '127.0.0.1', port: 4_000 }
/** Ten seconds of idleness, and what announcements may be behind. */
const DUE_MS = 14_000

/** A ready member that holds a record used `idleMs` ago, and is asked about a use stamped `aheadMs` after its own. */
function asked(idleMs: number, aheadMs: number): { later: boolean; isAbove: boolean; idleMs: number | undefined } {
  const { replica, sent, pass } = loneReplica(ID, NOW_MS)
  const { key } = replica.create(new Map([[MAX_INACTIVE, Buffer.from('10')]]))
  replica.memberAdded(MEMBER)
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

/** What a member sends as soon as a record is due, after what befell its only peer. */
function due(befell: (replica: Replica) => void): { kinds: readonly string[]; answered: () => readonly string[] } {
  const { replica, sent, pass } = loneReplica(ID, NOW_MS)
  replica.create(new Map([[MAX_INACTIVE, Buffer.from('10')]]))
  befell(replica)
  pass(DUE_MS - 100)
  sent.length = 0
  pass(100)
  const answered = (): readonly string[] => {
    replica.receive({ kind: 'checked', round: 1, later: [] }, PEER)
    return sent.map(kindOf)
  }
  return { kinds: sent.map(kindOf), answered }
}

function kindOf(message: ReplicationMessage): string {
  return message.kind === 'delta' ? message.delta.kind : message.kind
}

test('whoever was cut off and is there again is asked, though nothing was heard from it since', t => {
  const { kinds, answered } = due(replica => {
    replica.memberAdded(MEMBER)
    replica.advertised(loneReplica(PEER, NOW_MS).replica.advertise(), PEER)
    replica.memberDisappeared(MEMBER)
    replica.memberAdded(MEMBER)
  })
  t.deepEqual(kinds, ['check'])
  t.deepEqual(answered(), ['check', 'expire'])
})

test('a member that is still joining is asked, and answers', t => {
  const joiner: ReplicationMessage[] = []
  const joining = new Replica({
    id: PEER,
    send: (_to, message) => void joiner.push(message),
    monotonic: () => 0,
    clusterTime: () => NOW_MS,
    random: { uint32: () => 7 },
  })
  const { kinds } = due(replica => {
    replica.memberAdded(MEMBER)
    replica.advertised(joining.advertise(), PEER)
  })
  t.deepEqual(kinds, ['check'])
  joining.receive({ kind: 'check', round: 1, entries: [] }, ID)
  t.deepEqual(joiner.map(kindOf), ['checked'])
})

test('a member that does not hold the scope is not waited for', t => {
  t.deepEqual(due(replica => replica.memberAdded(MEMBER)).kinds, ['expire'])
})

test('a member that has just come is asked before anything was heard from it, and not waited for in vain', t => {
  const { replica, sent, pass } = loneReplica(ID, NOW_MS)
  replica.create(new Map([[MAX_INACTIVE, Buffer.from('10')]]))
  pass(DUE_MS - 500)
  replica.memberAdded(MEMBER)
  pass(1_000)
  t.true(sent.some(message => message.kind === 'check'))
  t.false(sent.map(kindOf).includes('expire'))
  pass(4_000)
  t.true(sent.map(kindOf).includes('expire'))
})
