import test from 'ava'
import { Peers } from '../../../lib/replication/peers.js'
import { PerfectNetwork } from './perfect-network.js'

const OLD = { id: 'a'.repeat(32), name: 'web', host: '', port: 0 }
const NEW = { id: 'b'.repeat(32), name: 'web', host: '', port: 0 }

test('a life that is still there when the next of its name has begun hands over what it wrote', t => {
  const network = new PerfectNetwork()
  const other = network.add()
  network.run(1_200)
  const old = network.add({}, 'web')
  network.add({}, 'web')
  network.filter = message => message.kind !== 'delta'
  const { key } = old.create(new Map([['x', new Uint8Array(8)]]))
  network.flush()
  t.false(other.has(key))
  network.filter = () => true
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
