import { creationDot } from '../../../lib/replication/stamp.js'
import { isClosed } from '../closings.js'
import { type Checker, Violation } from '../world.js'

/**
 * Invariant 4: a record leaves a member only because someone invalidated it or let it expire, and nobody holds one of a
 * closed origin: whoever lacks it would take it for removed.
 */
export function vanish(): Checker {
  return {
    invariant: '4 vanish',
    changed(node, { kind, key }, world) {
      if (kind === 'removed' && !world.invalidated.has(key) && !world.expired.has(key)) {
        const why = world.closable(key)
        if (why !== undefined) return world.excuse(this.invariant, key, why)
        throw new Violation('4 vanish', `${node.name} dropped ${key}, which nobody invalidated and which never expired`)
      }
    },
    sample({ live }) {
      for (const { name, replica } of live) {
        if (replica.digest().closedBeforeMs === undefined) continue
        for (const key of replica.keys()) {
          if (isClosed(replica, creationDot(key).origin))
            throw new Violation('4 vanish', `${name} holds ${key}, whose origin it has closed`)
        }
      }
    },
  }
}
