import type { MemberId } from '../../../lib/membership/member.js'
import type { RecordKey } from '../../../lib/replication/replica-contract.js'
import { type Checker, Violation } from '../world.js'

/** Invariant 3: what a life has dropped as invalidated it never holds again, nor does anyone when quiet. */
export function resurrection(): Checker {
  const dropped = new Map<RecordKey, Set<MemberId>>()
  return {
    invariant: '3 resurrection',
    changed(node, change, world) {
      if (change.kind === 'removed') {
        if (change.reason !== 'invalidated' || !world.invalidated.has(change.key)) return
        const lives = dropped.get(change.key)
        if (lives === undefined) dropped.set(change.key, new Set([node.id]))
        else lives.add(node.id)
      } else if (dropped.get(change.key)?.has(node.id) === true) {
        throw new Violation('3 resurrection', `${node.name} holds ${change.key} again`)
      }
    },
    quiet(world) {
      for (const [key, lives] of dropped) {
        if (![...lives].some(id => world.isLive(id))) continue
        for (const { name, replica } of world.live) {
          if (replica.has(key)) throw new Violation('3 resurrection', `${name} holds ${key}, invalidated elsewhere`)
        }
      }
    },
  }
}
