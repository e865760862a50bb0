import test from 'ava'
import { Peers } from '../../../lib/replication/peers.js'
import { MAX_INACTIVE } from '../../../lib/replication/replica-contract.js'
import { PerfectNetwork } from './perfect-network.js'

const OLD = { id: 'a'.repeat(32), name: 'web', host: '', port: 0 }
const NEW = { id: 'b'.repeat(32), name: 'web', host: '', port: 0 }

test('a life that is still there when the next of its name has begun hands over what it wrote', t => {
  const network = new PerfectNetwork()
  const other = network.add()
  network.run(1_200)
  const old = network.add({}, 'web')
  const next = network.add({}, 'web')
  network.filter = message => message.kind !== 'delta'
  const { key } = old.create(new Map([['x', new Uint8Array(8)]]))
  network.flush()
  t.false(other.has(key))
  // The next life would pass it on.
  network.filter = (_, from, to) => from !== next.id || to !== other.id
  let behind: readonly string[] | undefined
  old.handOver.start(5_000, report => {
    behind = report.behind
  })
  network.flush()
  network.run(1_000)
  t.deepEqual(behind, [])
  t.true(network.members.every(({ replica }) => replica.has(key)))
})

test('a life is over when it is away and another of its name is there, whichever comes first', t => {
  const peers = new Peers({ id: 'c'.repeat(32), name: 'self' })
  peers.added(OLD, 0)
  peers.added(NEW, 10)
  t.like(peers.get(OLD.id), { present: true, gone: false })
  peers.disappeared(OLD.id, false, 20)
  t.like(peers.get(OLD.id), { present: false, gone: true })
  t.like(peers.get(NEW.id), { present: true, gone: false })

  const others = new Peers({ id: 'c'.repeat(32), name: 'self' })
  others.added(OLD, 0)
  others.disappeared(OLD.id, false, 10)
  t.false(others.get(OLD.id)!.gone)
  others.added(NEW, 20)
  t.true(others.get(OLD.id)!.gone)
})

/** Members 0 and 1, and two lives of one name, the later of which is cut off and in use. */
for (const [what, near] of [
  ['with the earlier one', [0, 1]],
  ['from the earlier one', [0, 1, 2]],
] as const) {
  test(`a life that is cut off ${what} is not over`, t => {
    const network = new PerfectNetwork()
    const one = network.add()
    network.run(1_200)
    network.add()
    network.add({}, 'web')
    const later = network.add({}, 'web')
    network.run(6_000)
    t.true(network.members.every(({ replica }) => replica.ready))
    const { key } = one.create(new Map([[MAX_INACTIVE, new Uint8Array(Buffer.from('1'))]]))
    network.flush()
    const sides = [near.map(index => network.members[index]!.id), []] as [string[], string[]]
    for (const { id } of network.members) if (!sides[0].includes(id)) sides[1].push(id)
    const isCut = (from: string, to: string): boolean => sides[0].includes(from) !== sides[0].includes(to)
    network.filter = (_, from, to) => !isCut(from, to)
    for (const [index, { id, replica }] of network.members.entries()) {
      const lost = network.members.filter(other => isCut(id, other.id))
      // Not in the same order everywhere.
      for (const other of index % 2 === 0 ? lost : lost.reverse()) replica.memberDisappeared(other)
    }
    for (let i = 0; i < 20; i++) {
      later.touch(key)
      network.run(500)
    }
    t.false(one.has(key))
    t.is(one.stats().expiredKept, 1, 'it may be in use')
    network.filter = () => true
    for (const { id, replica } of network.members) {
      for (const other of network.members) if (isCut(id, other.id)) replica.memberAdded({ ...other, host: '', port: 0 })
    }
    network.run(2_000)
    t.true(network.members.every(({ replica }) => replica.has(key)))
  })
}
