import type { MemberId } from '../../../lib/membership/member.js'
import type { RecordKey } from '../../../lib/replication/replica-contract.js'
import { isClosed } from '../closings.js'
import type { SimNode } from '../sim-node.js'
import { type Checker, dotName, Violation, type World } from '../world.js'

/** Invariant 3: what a life dropped as invalidated, or saw the end of, it never holds again; nor does anyone when quiet. */
export function resurrection(): Checker {
  const dropped = new Map<RecordKey, Set<MemberId>>()
  /** Who has seen an end in fact, and not only closed its origin; by dot. */
  const seers = new Map<string, Set<MemberId>>()
  /** Whether anybody of them lives. */
  const isKnown = (lives: ReadonlySet<MemberId> | undefined, world: World): boolean => {
    for (const id of lives ?? []) if (world.isLive(id)) return true
    return false
  }
  const noteEnds = ({ id, replica }: SimNode, key: RecordKey, world: World): void => {
    for (const { origin, seq } of world.ends.get(key) ?? []) {
      if (!replica.seen(origin, seq) || isClosed(replica, origin)) continue
      const name = dotName(origin, seq)
      const lives = seers.get(name)
      if (lives === undefined) seers.set(name, new Set([id]))
      else lives.add(id)
    }
  }
  /** Of a closed origin an end counts as seen, also where it went with all who had seen it in fact. */
  const notAfterItsEnd = ({ name, replica }: SimNode, key: RecordKey, world: World): void => {
    if (!replica.has(key)) return
    for (const { origin, seq } of world.ends.get(key) ?? []) {
      if (!replica.seen(origin, seq)) continue
      const closed = isClosed(replica, origin)
      if (closed && !isKnown(seers.get(dotName(origin, seq)), world)) continue
      const why = closed ? world.wronglyClosed(origin) : undefined
      if (why === undefined) throw new Violation('3 resurrection', `${name} holds ${key} and has seen its end`)
      world.excuse('3 resurrection', key, why)
    }
  }
  return {
    invariant: '3 resurrection',
    changed(node, change, world) {
      const { key } = change
      if (change.kind === 'removed') {
        noteEnds(node, key, world)
        if (change.reason !== 'invalidated' || !world.invalidated.has(key)) return
        const lives = dropped.get(key)
        if (lives === undefined) dropped.set(key, new Set([node.id]))
        else lives.add(node.id)
      } else if (dropped.get(key)?.has(node.id) === true) {
        throw new Violation('3 resurrection', `${node.name} holds ${key} again`)
      } else notAfterItsEnd(node, key, world)
    },
    sample(world) {
      for (const key of world.ends.keys()) {
        for (const node of world.live) noteEnds(node, key, world)
        for (const node of world.live) notAfterItsEnd(node, key, world)
      }
    },
    quiet(world) {
      for (const [key, lives] of dropped) {
        if (!isKnown(lives, world)) continue
        for (const { name, replica } of world.live) {
          if (replica.has(key)) throw new Violation('3 resurrection', `${name} holds ${key}, invalidated elsewhere`)
        }
      }
    },
  }
}
