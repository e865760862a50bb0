import type { ReplicaStats } from '../../lib/replication/replica-stats.js'
import type { StackName } from './sim-node.js'
import type { World } from './world.js'

const COUNTED: { readonly [name in keyof ReplicaStats]?: string } = {
  duplicates: 'delta repeated',
  deferred: 'delta deferred for want of its deps',
  rejectedAhead: 'delta stamped too far ahead',
  withoutRoom: 'dot without room for its range',
  fetches: 'single record fetched',
  fetchesRefused: 'fetch refused at its limit',
  pulls: 'missing deltas pulled',
  notKept: 'donor no longer kept the deltas',
  reconciles: 'reconcile started',
  reconcilesResumed: 'reconcile resumed with what an earlier one achieved',
  reconcilesAbandoned: 'reconcile abandoned',
  removedByAbsence: 'rule R removed a record',
  removalsUpheld: 'removal upheld against later writes',
  expired: 'expiry issued',
  renewed: 'renew after expiry',
  revived: 'expired record revived by a later use',
  checks: 'expiry check asked',
  touchesSent: 'touches announced',
  tombstonesCollected: 'tombstone collected',
  tombstonesOverflowed: 'tombstone dropped under memory pressure',
  stalls: 'stall of the process noticed',
  startedAlone: 'started alone',
  refills: 'refill answered',
  originsClosed: 'origin closed',
  originsOverflowed: 'origin closed early',
  originsClosedAsOthers: 'origin closed as another member had',
  originsRenewed: 'went on under a new origin',
}

const RARE = new Set(['delta stamped too far ahead', 'dot without room for its range', 'fetch refused at its limit'])
const EVERYWHERE = [
  ...Object.values(COUNTED).filter(mark => !RARE.has(mark)),
  'receipt met',
  'receipt short',
  'receipt unknown',
  'message dropped by a full queue',
]

/** Marks that every long campaign meets; one that never fires is a hole in the workload or the faults. */
export const EXPECTED_MARKS: { readonly [stack in StackName]: readonly string[] } = {
  replica: [...EVERYWHERE, 'member disappeared', 'restart superseded an earlier life', 'refill after overflow'],
  channel: [
    ...EVERYWHERE,
    'member dead',
    'member superseded',
    'message dropped on arrival',
    'message held back',
    'message repeated',
  ],
}

/** Turns the counters of every life of a run into marks. */
export function markCounters(world: World): void {
  for (const { replica } of world.nodes) {
    const stats = replica.stats()
    for (const [name, mark] of Object.entries(COUNTED)) {
      const times = stats[name as keyof ReplicaStats]
      if (typeof times === 'number' && times > 0) world.mark(mark, times)
    }
    if (stats.divergences > 0) world.mark('divergence found and repaired', stats.divergences)
  }
}
