import type { MemberId } from '../membership/member.js'
import type { Glance } from './record-table.js'

/** The identity of one delta: the member's life that made it, and its running number there, from 1. */
export interface Dot {
  readonly origin: MemberId
  readonly seq: number
}

/** Hybrid logical time plus the dot: a total order over all writes of a scope. */
export interface Stamp extends Dot {
  readonly wallMs: number
  readonly counter: number
}

/** A record's key: `<origin>#<seq>` of the delta that created it. Unique without randomness and never reused. */
export type RecordKey = string

/** One request's writes to one record. `undefined` removes the attribute. Values are opaque bytes. */
export type AttributeWrites = ReadonlyMap<string, Uint8Array | undefined>

/** Why a record is gone. */
export type RemovalReason = 'invalidated' | 'expired'

/** What happened to a record, told after the whole delta is merged. */
export interface RecordChange {
  readonly kind: 'created' | 'changed' | 'removed'
  readonly key: RecordKey
  readonly cause: 'local' | 'remote'
  /** Names whose value is now another (live attributes only, for `created`). */
  readonly names: readonly string[]
  /** With some that are `created`: the record, so that the store need not be asked. Only to be looked at, at once. */
  readonly record?: Glance
  /** With `removed`. */
  readonly reason?: RemovalReason
  /** With `removed`: the attributes as they last were. */
  readonly before?: ReadonlyMap<string, Uint8Array>
}

/** The writes of one delta as they were issued; what a receipt speaks of. */
export interface IssuedDelta {
  readonly key: RecordKey
  readonly dot: Dot
  readonly stamp: Stamp
  /** Bytes of the delta, as every other member gets it. */
  readonly bytes: number
}

/** The reserved attribute (varint seconds as text) that says after how much idleness a record expires; absent: never. */
export const MAX_INACTIVE = '\u0000maxInactive'

/** What managers use of a replica scope: synchronous, on the local copy. */
export interface RecordStore {
  /** Whether the state transfer is over; before that, records may be missing. */
  readonly ready: boolean
  readonly size: number
  has(key: RecordKey): boolean
  /** Live attributes; undefined for a record that is not here. Do not change the bytes. */
  attribute(key: RecordKey, name: string): Uint8Array | undefined
  /** As they are now: what was given out stays as it is when the record changes. Not to be changed. */
  attributes(key: RecordKey): ReadonlyMap<string, Uint8Array> | undefined
  /** The stamp of an attribute, removed ones included. */
  stamp(key: RecordKey, name: string): Stamp | undefined
  keys(): IterableIterator<RecordKey>
  /** Milliseconds since the last use anywhere that this member knows of, to the precision of a tick. */
  idleMs(key: RecordKey): number | undefined
  create(writes: AttributeWrites, send?: WriteOptions): IssuedDelta
  /** Undefined when the record is not here. Counts as a use. */
  write(key: RecordKey, writes: AttributeWrites, send?: WriteOptions): IssuedDelta | undefined
  /**
   * Removes for good: no concurrent or later write brings it back. `last`: attributes that `RecordChange.before` shows
   * too, wherever this very delta arrives (elsewhere the removal comes without them).
   */
  invalidate(key: RecordKey, send?: WriteOptions, last?: AttributeWrites): IssuedDelta | undefined
  /** A use without a write; announced in batches. */
  touch(key: RecordKey): void
  /** Whether a delta is part of this copy. */
  seen(origin: MemberId, seq: number): boolean
  /** Whether a life is another member now, so that what it wrote will come. */
  present(origin: MemberId): boolean
  /**
   * Asks for a delta that is not here, and calls `done` once: `true` as soon as it is part of this copy, `false` when it
   * is not after `timeoutMs` (milliseconds, to the precision of a tick).
   */
  catchUp(dot: Dot, timeoutMs: number, done: (here: boolean) => void): void
}

/** How a delta is acknowledged; `settled` is called exactly once. */
export interface WriteOptions {
  readonly ack?: 'none' | 'received' | 'applied'
  readonly copies?: number | 'all'
  readonly timeoutMs?: number
  /**
   * Given, the values are only there for the call, and copied: over those they replace, if these are in this, as
   * `attributes` gave it, and nobody else has it. Whoever gives it looks no more at what it has of these names.
   */
  readonly over?: ReadonlyMap<string, Uint8Array> | undefined
  readonly settled?: (receipt: import('../channel/topic.js').SendReceipt) => void
}
