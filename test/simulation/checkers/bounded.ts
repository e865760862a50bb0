import type { Replica } from '../../../lib/replication/replica.js'
import { type ReplicaOptionsInput, resolveReplicaOptions } from '../../../lib/replication/replica-options.js'
import { creationDot } from '../../../lib/replication/stamp.js'
import { type Checker, Violation, type World } from '../world.js'

/** Of whom more is known than that it exists, and who is neither alive nor the creator of a record. */
function originsRetired(name: string, replica: Replica, { live, retires }: World): void {
  if (!retires) return
  const origins = replica.digest().filter(({ base, ranges }) => base > 0 || ranges.length > 0)
  const creators = new Set([...replica.keys()].map(key => creationDot(key).origin))
  const used = live.length + creators.size + replica.stats().expiredKept
  if (origins.length > used)
    throw new Violation('13 bounded', `${name} remembers ${origins.length} origins and needs ${used}`)
}

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
        originsRetired(name, replica, world)
      }
    },
  }
}
