import { resolveReplicaOptions } from '../../../lib/replication/replica-options.js'
import type { Pace } from '../pace.js'
import { type Checker, Violation } from '../world.js'

/**
 * Invariant 9: what a user uses at a reachable ready holder does not expire, and what is used to the end is there.
 * A member's own notion of it is no measure: a write that came late it takes for a use, rightly, and says so.
 *
 * Who was asked knew of its own use when it answered, and an answer counts for four time-outs at most: a use older
 * than that, and than the messages on their way, was known to whoever let the record expire.
 */
export function expiryInUse(pace: Pace): Checker {
  const { checkTimeoutMs, tickMs } = resolveReplicaOptions(pace.replica)
  return {
    invariant: '9 expiry in use',
    changed(node, { kind, key, cause, reason }, world) {
      const maxInactiveMs = world.maxInactiveMs.get(key)
      if (kind !== 'removed' || maxInactiveMs === undefined) return
      const usedMs = world.unusedMs(key, node.id)
      const inUse = world.pins.get(key) === node.id && usedMs < maxInactiveMs - pace.marginMs
      if (inUse) {
        const why = world.forgettable(key, node.id) ?? world.closable(key)
        if (why === undefined)
          throw new Violation('9 expiry in use', `${node.name} lost ${key}, which it used ${usedMs} ms ago`)
        world.excuse(this.invariant, key, why)
      }
      if (cause !== 'local' || reason !== 'expired') return
      const knownAfterMs = 4 * checkTimeoutMs + 2 * tickMs + 2 * world.delayMaxMs
      for (const user of world.live) {
        if (user === node || !user.replica.ready || !world.connected(node, user, knownAfterMs + pace.marginMs)) continue
        if (!user.replica.has(key)) continue
        const idleMs = world.unusedMs(key, user.id)
        // A pause is nobody's idleness where it happened, and idleness to all others.
        if (idleMs >= world.now - (world.resumedAtMs.get(user.name) ?? -Infinity)) continue
        if (idleMs > knownAfterMs && idleMs < maxInactiveMs - pace.marginMs) {
          throw new Violation(
            '9 expiry in use',
            `${node.name} let ${key} expire, used by ${user.name} ${idleMs} ms ago`,
          )
        }
      }
    },
    idle(world) {
      for (const [key, id] of world.pins) {
        if (!world.isLive(id) || world.invalidated.has(key)) continue
        for (const { name, replica } of world.live) {
          if (replica.has(key)) continue
          const why = world.forgettable(key, id) ?? world.closable(key)
          if (why === undefined) throw new Violation('9 expiry in use', `${name} lacks ${key}, in use to the end`)
          world.excuse(this.invariant, key, why)
        }
      }
    },
  }
}
