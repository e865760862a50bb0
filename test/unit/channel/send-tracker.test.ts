import test from 'ava'
import fc from 'fast-check'
import { SendTracker } from '../../../lib/channel/send-tracker.js'
import type { SendReceipt } from '../../../lib/channel/topic.js'
import type { Member } from '../../../lib/membership/member.js'
import type { MemberOutcome } from '../../../lib/transport/types.js'

const members: readonly Member[] = ['a', 'b', 'c'].map(name => ({ id: name, name, host: 'h', port: 1 }))
const [a, b, c] = members as [Member, Member, Member]

function track(
  to: readonly Member[],
  ack: 'received' | 'applied',
  copies: number | 'all',
): [SendTracker, SendReceipt[]] {
  const receipts: SendReceipt[] = []
  return [new SendTracker(to, ack, copies, receipt => receipts.push(receipt)), receipts]
}

test('met as soon as the copies are there', t => {
  const [tracker, receipts] = track(members, 'applied', 2)
  tracker.outcome(a, 'received')
  tracker.outcome(a, 'applied')
  t.deepEqual(receipts, [])
  tracker.outcome(b, 'applied')
  t.deepEqual(receipts, [{ outcome: 'met', wanted: 2, received: 2, applied: 2, faulty: [] }])
  tracker.outcome(c, 'rejected')
  tracker.timeout()
  t.is(receipts.length, 1)
})

test('nobody there, or fewer than asked for, is short at once', t => {
  t.like(track([], 'received', 'all')[1][0], { outcome: 'short', wanted: 1 })
  t.like(track([a], 'received', 2)[1][0], { outcome: 'short', wanted: 2 })
  t.like(track([], 'received', 0)[1][0], { outcome: 'met', wanted: 0 })
})

test('short as soon as it can no longer be met; the faulty are named', t => {
  const [tracker, receipts] = track(members, 'applied', 'all')
  tracker.outcome(a, 'applied')
  tracker.outcome(b, 'deferred')
  t.deepEqual(receipts, [
    { outcome: 'short', wanted: 3, received: 2, applied: 1, faulty: [{ member: b, reason: 'deferred' }] },
  ])
})

test('received does not count as applied, and silence is unknown', t => {
  const [tracker, receipts] = track([a, b], 'applied', 'all')
  tracker.outcome(a, 'received')
  tracker.outcome(b, 'applied')
  tracker.timeout()
  t.deepEqual(receipts, [
    { outcome: 'unknown', wanted: 2, received: 2, applied: 1, faulty: [{ member: a, reason: 'timeout' }] },
  ])
})

test('property: one receipt, and met only with enough distinct acknowledgements', t => {
  const word = fc.tuple(
    fc.constantFrom(...members),
    fc.constantFrom<MemberOutcome>('received', 'applied', 'rejected', 'deferred', 'disappeared', 'queue-full'),
  )
  const copies = fc.oneof(fc.constant('all' as const), fc.nat(4))
  fc.assert(
    fc.property(fc.array(word), copies, fc.constantFrom('received', 'applied'), (words, wanted, ack) => {
      const [tracker, receipts] = track(members, ack, wanted)
      const heard = new Set<Member>()
      for (const [member, outcome] of words) {
        if (outcome === 'applied' || (ack === 'received' && !['disappeared', 'queue-full'].includes(outcome)))
          heard.add(member)
        tracker.outcome(member, outcome)
      }
      tracker.timeout()
      if (receipts.length !== 1) throw new Error('not one receipt')
      const [receipt] = receipts as [SendReceipt]
      if (receipt.outcome === 'met' && heard.size < receipt.wanted) throw new Error('met without evidence')
    }),
  )
  t.pass()
})
