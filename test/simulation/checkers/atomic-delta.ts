import { compareStamps } from '../../../lib/replication/stamp.js'
import { type Checker, dotName, Violation } from '../world.js'

/** Invariant 5: of each delta all writes are in effect or superseded, or none is. */
export function atomicDelta(): Checker {
  return {
    invariant: '5 atomic delta',
    changed(node, { kind, key }, world) {
      if (kind === 'removed') return
      for (const name of world.names.get(key) ?? []) {
        const stamp = node.replica.stamp(key, name)
        if (stamp === undefined) continue
        const write = world.writes.get(dotName(stamp.origin, stamp.seq))
        for (const other of write?.names ?? []) {
          const otherStamp = node.replica.stamp(key, other)
          if (otherStamp === undefined || compareStamps(otherStamp, stamp) < 0) {
            throw new Violation(
              '5 atomic delta',
              `${node.name} has ${name} of delta ${stamp.seq} on ${key}, and not its ${other}`,
            )
          }
        }
      }
    },
  }
}
