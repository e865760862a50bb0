import test from 'ava'
import type { ReplicationMessage } from '../../../lib/replication/messages.js'
import { Replica } from '../../../lib/replication/replica.js'

const [A, B] = ['a'.repeat(32), 'b'.repeat(32)] as const

test('what comes in after one look at the clock needs no other, and a stall is noticed with the next', t => {
  let nowMs = 1_000
  let recentMs = nowMs
  let looks = 0
  const sent: ReplicationMessage[] = []
  const world = { clusterTime: () => 0, random: { uint32: () => 0 } }
  const a = new Replica({ ...world, id: A, monotonic: () => 0, send: (_to, message) => void sent.push(message) })
  const monotonic = (): number => {
    looks++
    recentMs = nowMs
    return nowMs
  }
  const b = new Replica({ ...world, id: B, monotonic, recent: () => recentMs, send() {} })
  const { key } = a.create(new Map([['x', Uint8Array.of(0)]]))
  const receive = (): void => {
    a.write(key, new Map([['x', Uint8Array.of(looks)]]))
    for (const message of sent.splice(0)) if (message.kind === 'delta') b.receive(message, A)
  }
  receive()
  looks = 0
  nowMs += 50
  for (let n = 0; n < 5; n++) receive()
  t.is(looks, 0)
  t.is(b.stats().stalls, 0)
  nowMs += 60_000
  // Of a run that had begun before.
  receive()
  t.is(b.stats().stalls, 0)
  recentMs = nowMs
  receive()
  t.is(b.stats().stalls, 1)
  t.is(b.idleMs(key), 0)
  t.true(b.fresh, 'there is nobody to wait for')
  nowMs += 60_000
  t.true(b.fresh)
  t.is(b.stats().stalls, 2, 'whoever asks has the clock looked at')
})
