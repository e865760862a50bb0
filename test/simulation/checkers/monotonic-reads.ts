import type { Stamp } from '../../../lib/replication/replica-contract.js'
import { compareStamps } from '../../../lib/replication/stamp.js'
import { type Checker, Violation } from '../world.js'

/** Invariant 8, the part a replica answers for: while it holds a record, no attribute steps back. */
export function monotonicReads(): Checker {
  const read = new Map<string, Map<string, Stamp>>()
  return {
    invariant: '8 monotonic reads',
    changed(node, { kind, key }, world) {
      const where = `${node.id} ${key}`
      if (kind === 'removed') {
        read.delete(where)
        return
      }
      let stamps = read.get(where)
      if (stamps === undefined) read.set(where, (stamps = new Map()))
      for (const name of world.names.get(key) ?? []) {
        const stamp = node.replica.stamp(key, name)
        const before = stamps.get(name)
        if (before !== undefined && (stamp === undefined || compareStamps(stamp, before) < 0)) {
          throw new Violation('8 monotonic reads', `${name} of ${key} stepped back at ${node.name}`)
        }
        if (stamp !== undefined) stamps.set(name, stamp)
      }
    },
  }
}
