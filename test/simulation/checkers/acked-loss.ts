import { compareStamps } from '../../../lib/replication/stamp.js'
import { type Checker, Violation } from '../world.js'

/** Invariant 2: a write that was acknowledged as applied is there while one of its holders lives. */
export function ackedLoss(): Checker {
  return {
    invariant: '2 acked loss',
    quiet(world) {
      for (const { write, holders } of world.acked) {
        const { key } = write
        if (world.invalidated.has(key) || world.expired.has(key)) continue
        if (!world.live.some(({ id }) => holders.has(id))) continue
        for (const { name, replica } of world.live) {
          if (!replica.has(key)) {
            const why = world.closable(key)
            if (why === undefined) throw new Violation('2 acked loss', `${name} lacks ${key}`)
            world.excuse(this.invariant, key, why)
            continue
          }
          for (const attribute of write.names) {
            const stamp = replica.stamp(key, attribute)
            if (stamp === undefined || compareStamps(stamp, write.stamp) < 0) {
              throw new Violation('2 acked loss', `${name} lacks ${attribute} of ${key}, written as ${write.dot.seq}`)
            }
          }
        }
      }
    },
  }
}
