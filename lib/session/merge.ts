import { InvalidStateError, SessionOvertakenError } from '../errors.js'
import type { DeltaWrites } from '../replication/delta.js'
import { SmallMap } from '../replication/small-map.js'
import { isAttribute } from './attribute-scope.js'
import type { Session } from './session.js'
import type { SessionCodec } from './session-codec.js'
import { sameBytes } from './session-delta.js'

/** One attribute's values when a commit meets another's. Undefined: not there. */
export interface MergeValues {
  /** As the view was loaded, or last committed. */
  readonly base: unknown
  /** As the view would write it. */
  readonly mine: unknown
  /** As it is now, by somebody else's commit. */
  readonly theirs: unknown
}

/**
 * Says what an attribute becomes that this view and somebody else have changed; undefined removes it. Called within
 * `commit`, synchronously, with values of its own; the commit fails with what it throws, and writes nothing.
 *
 * It knows what has arrived here. Two members that write within the time a delta takes each merge, or not, with what
 * they know, and the later stamp's value stands on all members: a merge narrows that race and does not close it.
 */
export type MergeFunction = (name: string, values: MergeValues) => unknown

/**
 * What becomes of attributes that others wrote since the view was loaded.
 * `attribute`: each attribute by itself; only what the view changed is written, and the later write of one stays.
 * `last-write`: a commit that changes anything writes all attributes of its view and removes those it does not have:
 * the session is then that request's, as far as the others' writes have arrived here. A function: `attribute`, but what
 * both changed is given to it.
 */
export type MergeStrategy = 'attribute' | 'last-write' | MergeFunction

/** What a {@link MergeStrategy} may be, in words. */
export const MERGE_EXPECTED = "'attribute', 'last-write' or a function"

/** Whether a value is a {@link MergeStrategy}. */
export function isMergeStrategy(value: unknown): boolean {
  return value === 'attribute' || value === 'last-write' || typeof value === 'function'
}

/** What a commit writes after the merge. */
export interface Merged {
  readonly writes: DeltaWrites
  /** Values that the merge function gave, by stored name. */
  readonly values?: ReadonlyMap<string, unknown>
}

/** Everything of the view, if it changed any attribute, and the removal of what it does not have. */
export function wholeView(session: Session, writes: DeltaWrites, current: Iterable<string>): Merged {
  const { pendingDelta: delta } = session
  const { scope } = delta
  if (![...writes.keys()].some(name => scope.name(name) !== undefined)) return { writes }
  const all = new SmallMap(writes)
  for (const stored of delta.stored()) {
    const bytes = delta.base(stored)
    if (scope.name(stored) !== undefined && bytes !== undefined && !all.has(stored)) all.set(stored, bytes)
  }
  for (const stored of current) if (scope.name(stored) !== undefined && !all.has(stored)) all.set(stored, undefined)
  return { writes: all }
}

/** Asks the merge function about each attribute that has become another since the view was loaded. */
export function mergedBy(
  merge: MergeFunction,
  session: Session,
  writes: DeltaWrites,
  current: (stored: string) => Uint8Array | undefined,
  codec: SessionCodec,
): Merged {
  const { pendingDelta: delta } = session
  const values = new Map<string, unknown>()
  const all = new SmallMap(writes)
  const decode = (bytes: Uint8Array | undefined): unknown => (bytes === undefined ? undefined : codec.decode(bytes))
  for (const [stored, mine] of writes) {
    const name = delta.scope.name(stored)
    const [base, theirs] = [delta.base(stored), current(stored)]
    if (name === undefined || sameBytes(base, theirs) || delta.kept?.has(stored) === true) continue
    if (sameBytes(mine, base)) {
      // Written only because the detection writes everything.
      all.delete(stored)
      continue
    }
    const value = merge(name, { base: decode(base), mine: decode(mine), theirs: decode(theirs) })
    if (value instanceof Promise) throw new InvalidStateError('a merged value', 'a promise')
    values.set(stored, value)
    all.set(stored, value === undefined ? undefined : delta.encoded(stored, value))
  }
  return { writes: all, values }
}

/**
 * A write begun before a stall of this process would bear a newer stamp than what others wrote during it. Without a
 * stall, of two writes to one attribute the later wins. Gives what may still be written.
 *
 * @throws {SessionOvertakenError}
 */
export function unlessOvertaken(
  session: Session,
  writes: DeltaWrites,
  current: (stored: string) => Uint8Array | undefined,
): DeltaWrites {
  const { pendingDelta: delta } = session
  // Also when both wrote the same: two requests that counted from 5 to 6 are one too few.
  const newer = [...writes.keys()].filter(name => isAttribute(name) && !sameBytes(current(name), delta.base(name)))
  if (newer.length === 0) return writes
  const names = newer.filter(name => !sameBytes(writes.get(name), delta.base(name)))
  if (names.length > 0) throw new SessionOvertakenError(session.id, delta.scope.names(names))
  // Written only because the detection writes everything: nobody changed them here.
  return new SmallMap([...writes].filter(([name]) => !newer.includes(name)))
}
