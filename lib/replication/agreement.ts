import type { Peers } from './peers.js'
import type { ReplicaState } from './replica-state.js'

/**
 * Whether nobody is absent and all that the others had seen has been seen here, so that nobody can bring what this
 * member does not know of.
 */
export function allAgree({ seen, options }: ReplicaState, peers: Peers): boolean {
  const { rules } = options
  for (const peer of peers.all()) {
    if (peer.gone) continue
    if (!peer.present || peer.digest === undefined) return false
    // It may know of somebody who is away and whom we have never met.
    if (rules.inheritAbsent && peer.membersHash !== peers.hash) return false
    if (rules.expiredTombstoneNeedsAgreement && !seen.covers(peer.digest)) return false
  }
  return true
}
