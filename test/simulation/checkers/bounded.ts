import { type ReplicaOptionsInput, resolveReplicaOptions } from '../../../lib/replication/replica-options.js'
import { type Checker, Violation } from '../world.js'

/** Invariant 13: every accounted pool keeps its limit exactly; when idle, what is only under way is empty. */
export function bounded(input: ReplicaOptionsInput): Checker {
  const options = resolveReplicaOptions(input)
  return {
    invariant: '13 bounded',
    sample(world) {
      for (const { name, replica } of world.live) {
        const { fetching, tombstones, expiredKept, ringBytes } = replica.stats()
        if (fetching > options.fetchesMax) throw new Violation('13 bounded', `${name} fetches ${fetching} records`)
        if (tombstones + expiredKept > options.tombstonesMax)
          throw new Violation('13 bounded', `${name} remembers ${tombstones + expiredKept} ends`)
        if (ringBytes > options.ringBytes)
          throw new Violation('13 bounded', `${name} keeps ${ringBytes} bytes of deltas`)
      }
    },
    idle(world) {
      for (const { name, replica } of world.live) {
        const { fetching, reconciling } = replica.stats()
        if (fetching > 0 || reconciling)
          throw new Violation('13 bounded', `${name} still fetches (${fetching}) or reconciles`)
      }
    },
  }
}
