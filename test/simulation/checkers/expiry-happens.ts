import { type Checker, Violation } from '../world.js'

/** Invariant 10: nothing idle stays, whoever crashed. */
export function expiryHappens(): Checker {
  return {
    invariant: '10 expiry happens',
    idle(world) {
      for (const { name, replica } of world.live) {
        for (const key of replica.keys()) {
          const user = world.pins.get(key)
          if (!world.maxInactiveMs.has(key) || (user !== undefined && world.isLive(user))) continue
          throw new Violation('10 expiry happens', `${name} still holds ${key}, idle for ${replica.idleMs(key)} ms`)
        }
      }
    },
  }
}
