import { copyOf } from '../wire/value-memory.js'
import type { Context, Delta, DeltaWrites, RecordSnapshot } from './delta.js'
import { encodeDelta } from './delta-codec.js'
import { sameHash } from './mix.js'
import { PackedRecord } from './packed-record.js'
import type { ReplicaRecord } from './record.js'
import type { AttributeWrites, Dot, RecordKey } from './replica-contract.js'
import type { ReplicaState } from './replica-state.js'
import type { SeenSet } from './seen-set.js'
import { SmallMap } from './small-map.js'
import { type AccessStamp, compareAccess, creationDot, NEVER } from './stamp.js'
import type { UpheldRemovals } from './upheld-removals.js'

/** Of so many records that come with their hash one is hashed here as well. */
const HASHED_EVERY = 64

/**
 * What became of a delta: part of this member's history; to be fetched as a whole record; left out, because it was
 * stamped too far ahead or there is no room to mark it.
 */
export type Applied = 'done' | 'fetch' | 'refused'

/** The merge rules: deltas, whole records, tombstones. Every path either keeps a record whole or leaves it alone. */
export class DeltaApplier {
  readonly #state: ReplicaState
  /** Objects to an expiry that meets a later use. */
  readonly #object: (key: RecordKey) => void
  readonly #removals: UpheldRemovals
  #arrived = 0

  constructor(state: ReplicaState, object: (key: RecordKey) => void, removals: UpheldRemovals) {
    this.#state = state
    this.#object = object
    this.#removals = removals
  }

  /** `message`: the delta as bytes, if they are at hand; they are not kept. `nowMs`: as `ReplicaState.now` tells it. */
  apply(
    delta: Delta,
    cause: 'local' | 'remote',
    message?: readonly Uint8Array[],
    nowMs: number = this.#state.now(),
  ): Applied {
    const state = this.#state
    const { origin, seq } = delta.stamp
    if (state.seen.has(origin, seq)) {
      state.counters.duplicates++
      // Of a closed origin it counts as removed, which is not to be taken for applied.
      return state.seen.isClosed(origin) ? 'refused' : 'done'
    }
    if (cause === 'remote' && state.isAhead(delta.stamp)) {
      state.counters.rejectedAhead++
      return 'refused'
    }
    if (cause === 'remote' && !state.hasRoom(origin, seq)) return 'refused'
    state.clock.observe(delta.stamp)
    if (delta.kind === 'invalidate') return this.#invalidate(delta, cause, message)
    return this.#merge(delta, cause, message, nowMs)
  }

  #invalidate(delta: Delta, cause: 'local' | 'remote', message: readonly Uint8Array[] | undefined): Applied {
    const state = this.#state
    const record = state.records.peek(delta.key)
    const beaten = record !== undefined && compareAccess(record.access, delta.stamp) > 0
    this.#finish(delta, message)
    if (beaten && !state.options.rules.absorbingInvalidate) return 'done'
    state.bury(delta.key, delta.stamp)
    if (cause === 'remote') this.#removals.ended(delta.key, delta.stamp)
    state.remove(delta.key, 'invalidated', cause, delta.isLent === true ? copied(delta.writes) : delta.writes)
    return 'done'
  }

  #merge(delta: Delta, cause: 'local' | 'remote', message: readonly Uint8Array[] | undefined, now: number): Applied {
    const state = this.#state
    const { key, stamp, kind } = delta
    const known = state.records.get(key)
    if (known === undefined && (state.tombstones.has(key) || this.#isRemoved(delta))) {
      this.#finish(delta, message)
      // Nobody shows it again because of an expiry.
      if (kind !== 'expire' && !this.#removals.isTold(key)) this.#removals.add(key)
      return 'done'
    }
    if (known?.hasApplied(stamp.origin, stamp.seq) === true) return this.#finish(delta, message)
    if (!this.#mayMerge(delta, known)) return 'fetch'
    const record = known ?? state.insert(key, now)
    const created = known === undefined
    const wasShown = state.changing(record, created)
    const names = record.applyDelta(delta)
    if (kind !== 'expire') record.use(stamp, 0, now)
    this.#finish(delta, message)
    state.counters.applied++
    const shown = state.changed(record, cause, created, wasShown, names)
    if (kind === 'expire' && shown === 'still' && !isWrittenLater(record)) this.#object(key)
    return 'done'
  }

  #isRemoved({ key, kind }: Delta): boolean {
    return kind !== 'create' && this.#state.provesRemoval(this.#state.seen, key)
  }

  /** Whether what the writer had seen of the record is here. */
  #mayMerge(delta: Delta, record: ReplicaRecord | undefined): boolean {
    if (!this.#state.options.rules.checkDeps) return true
    return record === undefined ? delta.kind === 'create' : record.satisfies(delta.deps)
  }

  #finish(delta: Delta, message = encodeDelta(delta)): Applied {
    this.#state.ring.add(delta.stamp, message)
    this.#state.seen.add(delta.stamp.origin, delta.stamp.seq)
    return 'done'
  }

  /**
   * Joins a whole record. `false`: it was left out, stamped too far ahead or without room for what it contains; in a
   * comparison there is always room, since all that its donor has seen is about to be claimed.
   */
  mergeRecord(snapshot: RecordSnapshot, comparing: boolean, atOdds = false): boolean {
    const state = this.#state
    const { key, limit } = snapshot
    const stamps = [snapshot.access, ...snapshot.attributes.map(([, attribute]) => attribute.stamp)]
    if (stamps.some(stamp => state.isAhead(stamp))) {
      state.counters.rejectedAhead++
      return false
    }
    if (!comparing && !this.#hasRoomFor(snapshot)) return false
    const known = state.records.get(key)
    if (known === undefined && (state.tombstones.has(key) || state.provesRemoval(state.seen, key))) {
      if (compareAccess(snapshot.access, limit) > 0) this.#meet(key, snapshot.context, state.seen, atOdds)
      return true
    }
    for (const stamp of stamps) state.clock.observe(stamp)
    const isJudged = compareAccess(limit, known?.limit ?? NEVER) > 0 && compareAccess(snapshot.access, limit) <= 0
    const now = state.now()
    const record = known ?? state.insert(key, now - snapshot.ageMs)
    const created = known === undefined
    const wasShown = state.changing(record, created)
    const names = record.join(snapshot, now)
    state.markDots(key, creationDot(key), snapshot.context)
    const shown = state.changed(record, 'remote', created, wasShown, names)
    if ((shown === 'again' || (shown === 'still' && isJudged)) && !isWrittenLater(record)) this.#object(key)
    return true
  }

  /**
   * The same for a record as it came with a comparison; one that is new here is not even unpacked. `atOdds`: either side
   * has closed an origin of which the other knows something.
   */
  mergePacked(arrived: PackedRecord, atOdds = false): boolean {
    const state = this.#state
    const record = this.#verified(arrived)
    const { summary } = record
    if (summary === undefined || state.records.has(summary.key))
      return this.mergeRecord(record.snapshot(), true, atOdds)
    const { key, origin, seq } = summary
    if (state.isAhead(summary)) {
      state.counters.rejectedAhead++
      return false
    }
    if (state.tombstones.has(key) || (state.options.rules.ruleR && state.seen.has(origin, seq))) {
      this.#meet(key, summary.context, state.seen, atOdds)
      return true
    }
    state.clock.observe(summary)
    state.insertPacked(record, summary)
    return true
  }

  /** Who tells one hash wrongly tells others wrongly, so a few are looked at, and all as soon as one was wrong. */
  #verified(record: PackedRecord): PackedRecord {
    const { counters } = this.#state
    if (record.hash === undefined || (this.#arrived++ % HASHED_EVERY > 0 && counters.hashesWrong === 0)) return record
    const hashed = new PackedRecord(record.source, record.ageMs, undefined, record.start, record.end)
    if (hashed.summary !== undefined && !sameHash(hashed.summary.hash, record.hash)) counters.hashesWrong++
    return hashed
  }

  /** A record is gone for good where all this has been seen. `atOdds`: as with `mergePacked`. */
  drop(key: RecordKey, seen: SeenSet, atOdds: boolean): void {
    const state = this.#state
    const record = state.records.peek(key)
    if (record === undefined) return
    state.counters.removedByAbsence++
    state.closures++
    state.remove(key, 'invalidated', 'remote')
    if (!record.isExpired) this.#meet(key, record.context, seen, atOdds)
  }

  /**
   * A record that is shown somewhere, and gone for good where all this has been seen. Somebody may have gone on with it
   * who will never hear of that: what ended it was forgotten as soon as all who were known agreed. Removed by silence
   * alone, it would stay with others who have seen the same.
   */
  #meet(key: RecordKey, context: Context, seen: SeenSet, atOdds: boolean): void {
    // At odds, even what is told here may count as seen on the other side.
    const isNews = this.#state.tombstones.has(key)
      ? !this.#removals.isTold(key)
      : context.some(([origin, seq]) => !seen.has(origin, seq))
    if (atOdds || isNews) this.#removals.add(key)
  }

  /** A use without a delta. It shows no expired record again: whoever used it objects when the expiry gets there. */
  use(key: RecordKey, access: AccessStamp, ageMs: number): boolean {
    return this.#state.visible(key)?.use(access, ageMs, this.#state.now()) ?? false
  }

  #hasRoomFor({ key, context }: RecordSnapshot): boolean {
    const { origin, seq } = creationDot(key)
    if (!this.#state.hasRoom(origin, seq, 1)) return false
    return context.every(([member, last]) => this.#state.hasRoom(member, last, 1))
  }

  /**
   * Takes over that a record was invalidated, unless there is no room to mark that. It is remembered only while the
   * record's creation has not been seen: afterwards "seen and absent" says the same.
   */
  takeTombstone(key: RecordKey, dot: Dot, comparing: boolean): void {
    const state = this.#state
    if (!comparing && !state.hasRoom(dot.origin, dot.seq)) return
    const creation = creationDot(key)
    if (!state.seen.has(creation.origin, creation.seq)) state.bury(key, dot)
    state.remove(key, 'invalidated', 'remote')
    // Removing is all that its delta does; unmarked, equal seen-sets could stand over different records.
    state.seen.add(dot.origin, dot.seq)
  }
}

/** The same writes, to be kept. */
function copied(writes: DeltaWrites): AttributeWrites {
  if (writes.size === 0) return writes
  return new SmallMap([...writes].map(([name, value]) => [name, value === undefined ? value : copyOf(value)]))
}

/**
 * Whether a write after the judged use shows the record: that every member learns of. Where only a touch makes the
 * difference, a delta must say so, or others who have seen the same would not show it.
 */
function isWrittenLater({ attributes, limit }: ReplicaRecord): boolean {
  for (const { stamp } of attributes.cells) if (compareAccess(stamp, limit) > 0) return true
  return false
}
