import type { Delta, RecordSnapshot } from './delta.js'
import type { RecordKey } from './replica-contract.js'
import type { ReplicaState } from './replica-state.js'
import { compareAccess, creationDot } from './stamp.js'
import type { Tombstone } from './tombstones.js'

/**
 * What became of a delta: part of this member's history; merged but not marked, for want of a range; to be fetched
 * as a whole record; stamped too far ahead.
 */
export type Applied = 'done' | 'unmarked' | 'fetch' | 'ahead'

/** The merge rules: deltas, whole records, tombstones. Every path either keeps a record whole or leaves it alone. */
export class DeltaApplier {
  readonly #state: ReplicaState
  /** Objects to an expiry that meets a later use. */
  readonly #object: (key: RecordKey) => void

  constructor(state: ReplicaState, object: (key: RecordKey) => void) {
    this.#state = state
    this.#object = object
  }

  apply(delta: Delta, cause: 'local' | 'remote'): Applied {
    const state = this.#state
    const { origin, seq } = delta.stamp
    if (state.seen.has(origin, seq)) {
      state.counters.duplicates++
      return 'done'
    }
    if (cause === 'remote' && state.clock.isAhead(delta.stamp, state.env.clusterTime())) {
      state.counters.rejectedAhead++
      return 'ahead'
    }
    state.clock.observe(delta.stamp)
    if (delta.kind === 'invalidate') return this.#invalidate(delta, cause)
    if (delta.kind === 'expire') return this.#expire(delta, cause)
    return this.#merge(delta, cause)
  }

  #invalidate(delta: Delta, cause: 'local' | 'remote'): Applied {
    const state = this.#state
    const record = state.records.get(delta.key)
    const beaten = record !== undefined && compareAccess(record.access, delta.stamp) > 0
    const done = this.#finish(delta)
    if (beaten && !state.options.rules.absorbingInvalidate) return done
    state.tombstones.set(delta.key, { dot: delta.stamp })
    state.remove(delta.key, 'invalidated', cause)
    return done
  }

  #expire(delta: Delta, cause: 'local' | 'remote'): Applied {
    const state = this.#state
    const { key } = delta
    const limit = delta.limit!
    const record = state.records.get(key)
    const known = state.tombstones.get(key)
    const creationSeen = this.#creationSeen(key)
    const done = this.#finish(delta)
    if (record !== undefined) {
      if (compareAccess(record.access, limit) > 0) {
        this.#object(key)
        return done
      }
      state.tombstones.set(key, { dot: delta.stamp, limit })
      state.remove(key, 'expired', cause)
    } else if (known !== undefined || !creationSeen) {
      state.tombstones.set(key, { dot: delta.stamp, limit })
    }
    return done
  }

  #merge(delta: Delta, cause: 'local' | 'remote'): Applied {
    const state = this.#state
    const { key, stamp } = delta
    let record = state.records.get(key)
    const tombstone = state.tombstones.get(key)
    if (tombstone !== undefined && record === undefined) {
      const revives = tombstone.limit !== undefined && compareAccess(stamp, tombstone.limit) > 0
      return revives ? 'fetch' : this.#finish(delta)
    }
    const isCreation = delta.kind === 'create'
    if (record === undefined && !isCreation && state.provesRemoval(state.seen, key)) return this.#finish(delta)
    if (record !== undefined && (record.context.get(stamp.origin) ?? 0) >= stamp.seq) return this.#finish(delta)
    if (!this.#mayMerge(delta)) return 'fetch'
    const created = record === undefined
    const now = state.now()
    record ??= state.insert(key, now)
    const target = record
    let done: Applied = 'done'
    state.change(
      target,
      cause,
      created,
      () => target.applyDelta(delta),
      () => {
        target.use({ wallMs: stamp.wallMs, counter: stamp.counter, origin: stamp.origin }, 0, now)
        done = this.#finish(delta)
        state.counters.applied++
      },
    )
    return done
  }

  /** Whether what the writer had seen of the record is here. */
  #mayMerge(delta: Delta): boolean {
    if (!this.#state.options.rules.checkDeps) return true
    const record = this.#state.records.get(delta.key)
    return record === undefined ? delta.kind === 'create' : record.satisfies(delta.deps)
  }

  #finish(delta: Delta): Applied {
    this.#state.ring.add(delta)
    return this.#state.mark(delta.stamp.origin, delta.stamp.seq) ? 'done' : 'unmarked'
  }

  /** Joins a whole record. `false`: it was stamped too far ahead and left out. */
  mergeRecord(snapshot: RecordSnapshot): boolean {
    const state = this.#state
    const clusterTime = state.env.clusterTime()
    const stamps = [snapshot.access, ...snapshot.attributes.map(([, attribute]) => attribute.stamp)]
    if (stamps.some(stamp => state.clock.isAhead(stamp, clusterTime))) {
      state.counters.rejectedAhead++
      return false
    }
    const { key } = snapshot
    const tombstone = state.tombstones.get(key)
    const revives = tombstone?.limit !== undefined && compareAccess(snapshot.access, tombstone.limit) > 0
    if (tombstone !== undefined && !revives) return true
    let record = state.records.get(key)
    if (record === undefined && !revives && state.provesRemoval(state.seen, key)) return true
    if (revives) {
      state.tombstones.delete(key)
      state.counters.revived++
    }
    for (const stamp of stamps) state.clock.observe(stamp)
    const created = record === undefined
    const now = state.now()
    record ??= state.insert(key, now - snapshot.ageMs)
    const target = record
    state.change(
      target,
      'remote',
      created,
      () => target.join(snapshot, now),
      () => this.#markDots(snapshot),
    )
    return true
  }

  #markDots(snapshot: RecordSnapshot): void {
    if (!this.#state.options.rules.markRecordDots) return
    const { origin, seq } = creationDot(snapshot.key)
    this.#state.mark(origin, seq)
    for (const [member, last] of snapshot.context) this.#state.mark(member, last)
  }

  /** Takes over that a record is gone. */
  takeTombstone(key: RecordKey, tombstone: Tombstone): void {
    const state = this.#state
    const record = state.records.get(key)
    const known = state.tombstones.get(key)
    const { limit } = tombstone
    if (limit !== undefined && record !== undefined && compareAccess(record.access, limit) > 0) {
      this.#refuse(key, tombstone)
      return
    }
    const expiredBefore = known?.limit !== undefined
    const needed = !this.#creationSeen(key) || expiredBefore || (limit !== undefined && record !== undefined)
    if (needed) state.tombstones.set(key, tombstone)
    state.remove(key, limit === undefined ? 'invalidated' : 'expired', 'remote')
    // The tombstone is all that its delta does; unmarked, equal seen-sets could stand over different records.
    state.mark(tombstone.dot.origin, tombstone.dot.seq)
  }

  /** A later use is known here. Saying so must be a delta, for the expiry's dot is about to count as seen. */
  #refuse(key: RecordKey, { dot }: Tombstone): void {
    const { seen } = this.#state
    if (seen.has(dot.origin, dot.seq)) return
    this.#state.mark(dot.origin, dot.seq)
    this.#object(key)
  }

  #creationSeen(key: RecordKey): boolean {
    const { origin, seq } = creationDot(key)
    return this.#state.seen.has(origin, seq)
  }
}
