import test from 'ava'
import type { MemberId } from '../../lib/membership/member.js'
import type { RecordChange } from '../../lib/replication/replica-contract.js'
import { resurrection } from './checkers/resurrection.js'
import type { SimNode } from './sim-node.js'
import type { World } from './world.js'

const KEY = 'a#1'
/** The record's end, of an origin that is over, and another one of a member that lives. */
const END = { origin: 'old', seq: 7 }
const OTHER_END = { origin: 'b', seq: 3 }

function node(id: MemberId, holds: boolean, seen: SimNode['replica']['seen']): SimNode {
  return { id, name: id, replica: { has: () => holds, seen } } as unknown as SimNode
}

function world(...live: SimNode[]): World {
  return {
    live,
    ends: new Map([[KEY, [END, OTHER_END]]]),
    invalidated: new Set([KEY]),
    isLive: (id: MemberId) => live.some(each => each.id === id),
    wronglyClosed: () => undefined,
  } as unknown as World
}

const removed: RecordChange = { kind: 'removed', key: KEY, cause: 'remote', names: [], reason: 'invalidated' }
const holder = node('c', true, origin => origin === 'old')

test('an end that went with all who had seen it is not seen because its origin is closed', t => {
  const checker = resurrection()
  const other = node('b', false, (origin, seq) => origin === 'old' || (origin === 'b' && seq === 3))
  checker.changed!(other, removed, world(holder, other))
  t.notThrows(() => checker.sample!(world(holder, other)))
})

test('who holds a record whose end somebody has seen in fact may not have closed its origin', t => {
  const checker = resurrection()
  const other = node('b', false, (origin, seq) => origin === 'old' && seq === 7)
  t.throws(() => checker.sample!(world(holder, other)), { message: /c holds a#1 and has seen its end/ })
  // Also when the other closes it afterwards.
  const later = node('b', false, origin => origin === 'old')
  t.throws(() => checker.sample!(world(holder, later)))
})
