import test from 'ava'
import { memberId } from '../../../lib/membership/member.js'
import type { HandOverReport } from '../../../lib/replication/hand-over.js'
import type { ReplicationMessage } from '../../../lib/replication/messages.js'
import type { Replica } from '../../../lib/replication/replica.js'
import { type Digest, SeenSet } from '../../../lib/replication/seen-set.js'
import { loneReplica } from '../../helpers/lone-replica.js'

const NOW_MS = 1_700_000_000_000
const HOUR_MS = 3_600_000
const [ID, PEER] = [life(1), life(2)]

/** A ready member and a peer that says what the test has it say. */
function met(): { replica: Replica; sent: ReplicationMessage[]; pass: (ms: number) => void } {
  const { replica, sent, pass } = loneReplica(ID, NOW_MS, 'a')
  replica.memberAdded({ id: PEER, name: 'b', host: '127.0.0.1', port: 4_000 })
  return { replica, sent, pass }
}

function says(replica: Replica, digest: Digest, origin = PEER): void {
  replica.receive({ kind: 'digest', digest, members: [], ready: true, origin }, PEER)
}

test('a peer is present under its new origin too, as long as it is', t => {
  const { replica } = met()
  const renewed = life(9)
  t.true(replica.present(PEER))
  t.false(replica.present(renewed))
  says(replica, [], renewed)
  t.true(replica.present(PEER))
  t.true(replica.present(renewed))
  replica.memberDisappeared({ id: PEER })
  t.false(replica.present(renewed))
})

test('a write that is missing is asked of its writer, whatever its origin is now', t => {
  const { replica, sent } = met()
  const other = { id: life(3), name: 'c', host: '127.0.0.1', port: 4_001 }
  replica.memberAdded(other)
  says(replica, [], life(9))
  let here: boolean | undefined
  sent.length = 0
  replica.catchUp({ origin: life(9), seq: 1 }, 1_000, result => {
    here = result
  })
  t.deepEqual(
    sent.map(({ kind }) => kind),
    ['pull'],
  )
  t.is(here, undefined)
})

test('a comparison with a member whose mark is far ahead is given up', t => {
  const { replica, sent } = met()
  const { key } = replica.create(new Map([['user', Buffer.from('ann')]]))
  replica.receive({ kind: 'notKept' }, PEER)
  const start = sent.find(message => message.kind === 'reconcileStart')
  if (start?.kind !== 'reconcileStart') return t.fail('no comparison')
  const digest = Object.assign([], { closedBeforeMs: NOW_MS + HOUR_MS })
  const hashes = Array.from({ length: 1_024 }, () => ({ high: 0, low: 0 }))
  replica.receive({ kind: 'reconcileHeader', id: start.id, digest, members: [], hashes, buried: [] }, PEER)
  t.false(replica.stats().reconciling)
  t.is(replica.stats().rejectedAhead, 1)
  t.true(replica.has(key))
  t.false(replica.seen(life(5), 1))
})

test('whose origin the others have closed writes under a new one, which they take', t => {
  const { replica } = met()
  const other = new SeenSet()
  other.add(life(5), 1)
  other.close([life(5)])
  says(replica, other.digest())
  const { dot } = replica.create(new Map([['user', Buffer.from('ann')]]))
  t.not(dot.origin, ID)
  t.is(dot.seq, 1)
  t.false(other.isClosed(dot.origin))
  t.is(replica.stats().originsRenewed, 1)
})

test('what a member says amid its state transfer is not taken for all it has seen', t => {
  const { replica } = met()
  const { dot } = replica.create(new Map([['user', Buffer.from('ann')]]))
  const digest: Digest = [{ origin: dot.origin, base: dot.seq, ranges: [] }]
  const reports: HandOverReport[] = []
  replica.receive({ kind: 'digest', digest, members: [], ready: false, origin: PEER }, PEER)
  replica.handOver.start(0, report => reports.push(report))
  says(replica, digest)
  replica.handOver.start(0, report => reports.push(report))
  t.deepEqual(
    reports.map(({ behind }) => behind),
    [['b'], []],
  )
})

test('a hand-over that is waited for ends with its replica', t => {
  const { replica } = met()
  says(replica, [])
  replica.create(new Map([['user', Buffer.from('ann')]]))
  const reports: HandOverReport[] = []
  replica.handOver.start(60_000, report => reports.push(report))
  t.deepEqual(reports, [])
  replica.close()
  t.deepEqual(reports, [{ undelivered: 1, behind: ['b'] }])
})

function life(n: number): string {
  return memberId(NOW_MS - 5_000 + n, new Uint8Array(10).fill(n))
}
