import { type Checker, Violation } from '../world.js'

/** A use must be so old for the asked member to have known of it, whatever was lost and repeated. */
const KNOWN_AFTER_MS = 2_500
const MARGIN_MS = 600
const SETTLED_MS = 4_000

/** Invariant 9: what a reachable ready holder uses does not expire, and what is used to the end is there. */
export function expiryInUse(): Checker {
  return {
    invariant: '9 expiry in use',
    changed(node, { kind, key, cause, reason }, world) {
      const maxInactiveMs = world.maxInactiveMs.get(key)
      if (kind !== 'removed' || cause !== 'local' || reason !== 'expired' || maxInactiveMs === undefined) return
      if (world.now - world.lastDisturbanceMs < SETTLED_MS) return
      for (const user of world.live) {
        if (user === node || !user.replica.ready || !node.view.includes(user.id)) continue
        const idleMs = user.replica.idleMs(key)
        const uses = user.replica.inspect(key)?.access.origin === user.id
        if (uses && idleMs !== undefined && idleMs > KNOWN_AFTER_MS && idleMs < maxInactiveMs - MARGIN_MS) {
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
          if (!replica.has(key)) throw new Violation('9 expiry in use', `${name} lacks ${key}, in use to the end`)
        }
      }
    },
  }
}
