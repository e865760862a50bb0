import test from 'ava'
import type { SendReceipt } from '../../../lib/channel/topic.js'
import { SendError } from '../../../lib/errors.js'
import { isAtOnce, type ReceiptOptions, Receipts } from '../../../lib/session/receipts.js'

const OPTIONS: ReceiptOptions = { ack: 'applied', copies: 1, ackTimeoutMs: 1_000, onShortfall: 'report' }
const ALONE: SendReceipt = { outcome: 'short', wanted: 1, received: 0, applied: 0, faulty: [] }
const MET: SendReceipt = { outcome: 'met', wanted: 1, received: 1, applied: 1, faulty: [] }

function send(receipts: Receipts<undefined>, receipt: SendReceipt): Promise<SendReceipt> {
  const pending = receipts.of(undefined, {})
  pending.settled({ ...receipt })
  return pending.promise()
}

test('a lone member’s receipt is there at once, and the same for all its writes', async t => {
  const told: SendReceipt[] = []
  const receipts = new Receipts<undefined>(OPTIONS, receipt => told.push(receipt))
  const first = send(receipts, ALONE)
  const second = send(receipts, ALONE)
  t.true(isAtOnce(first))
  t.is(second, first)
  t.deepEqual(await first, ALONE)
  t.true(Object.isFrozen(await first))
  t.is(told.length, 2, 'each shortfall is told')
  const none = send(receipts, { ...ALONE, outcome: 'met', wanted: 0 })
  t.true(isAtOnce(none))
  t.is((await none).outcome, 'met')
  t.is((await send(receipts, { ...ALONE, wanted: 2 })).wanted, 2)
})

test('writes that nobody acknowledges share what they promise, but not that a closed scope took one no more', async t => {
  const told: [SendReceipt, string][] = []
  const options = { ...OPTIONS, ack: 'none', onShortfall: 'throw' } as const
  const receipts = new Receipts<string>(options, (receipt, subject) => told.push([receipt, subject]))
  const write = (subject: string, outcome: 'met' | 'short'): Promise<SendReceipt> => {
    const pending = receipts.of(subject, {})
    pending.settled({ ...ALONE, wanted: 0, outcome })
    return pending.promise()
  }
  const first = write('1', 'met')
  t.true(isAtOnce(first))
  t.like(await first, { outcome: 'met', wanted: 0 })
  const refused = write('2', 'short')
  t.deepEqual(told, [[{ ...ALONE, wanted: 0 }, '2']])
  await t.throwsAsync(refused, { instanceOf: SendError })
  t.is(write('3', 'met'), first)
  t.is(told.length, 1)
})

test('a receipt of others is its own write’s', async t => {
  const receipts = new Receipts<undefined>(OPTIONS, () => {})
  const [first, second] = [send(receipts, MET), send(receipts, MET)]
  t.false(isAtOnce(first))
  t.not(first, second)
  t.deepEqual(await first, MET)
})

test('a shortfall that is to be refused is refused, with nobody there as well', async t => {
  const receipts = new Receipts<undefined>({ ...OPTIONS, onShortfall: 'throw' }, () => {})
  const refused = send(receipts, ALONE)
  t.false(isAtOnce(refused))
  await t.throwsAsync(refused, { instanceOf: SendError })
})

test('a receipt that is not there yet comes later', async t => {
  const receipts = new Receipts<undefined>(OPTIONS, () => {})
  const pending = receipts.of(undefined, {})
  const promise = pending.promise()
  t.false(isAtOnce(promise))
  pending.settled(ALONE)
  t.deepEqual(await promise, ALONE)
})
