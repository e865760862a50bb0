import type { MemberId } from '../membership/member.js'
import type { RecordKey, Stamp } from './replica-contract.js'
import { type ReadonlySmallMap, SmallMap } from './small-map.js'
import type { AccessStamp } from './stamp.js'

/** What a delta does. `renew`: no write, but an objection to an expiry. */
export type DeltaKind = 'create' | 'write' | 'renew' | 'invalidate' | 'expire'

/** A record's highest applied delta per member. */
export type Context = readonly (readonly [origin: MemberId, seq: number])[]

/** The last of an origin's dots that a context contains; 0: none. */
export function lastOf(context: Context, origin: MemberId): number {
  for (const dot of context) if (dot[0] === origin) return dot[1]
  return 0
}

/** What one delta writes: all attributes of one request. Hot code goes through it by place. */
export type DeltaWrites = ReadonlySmallMap<Uint8Array | undefined>

/** One step in the life of one record, merged whole or not at all. All its attributes share its stamp. */
export interface Delta {
  readonly kind: DeltaKind
  readonly key: RecordKey
  /** Its dot and its time. */
  readonly stamp: Stamp
  /** The record's context before the write: what must be there before this may be merged. */
  readonly deps: Context
  readonly writes: DeltaWrites
  /** With `expire`: the access it judged; a later use beats it. */
  readonly limit?: AccessStamp
  /** Whether the values lie in memory that is lent for the call: who keeps one copies it. */
  readonly isLent?: boolean
}

/** An attribute as replicas keep it; removed ones stay as stamps without a value. */
export interface AttributeState {
  readonly stamp: Stamp
  readonly value?: Uint8Array | undefined
}

/** A whole record as it travels, an expired one as well. */
export interface RecordSnapshot {
  readonly key: RecordKey
  readonly attributes: readonly (readonly [name: string, state: AttributeState])[]
  readonly context: Context
  readonly access: AccessStamp
  /** Since its last use, in milliseconds on the sender's monotonic clock. */
  readonly ageMs: number
  /** The latest use an expiry has judged too old; NEVER without any. */
  readonly limit: AccessStamp
}

/** The context of a record that has applied nothing. */
export const NO_CONTEXT: Context = []

/** The writes of a delta that has none. */
export const NO_WRITES: DeltaWrites = new SmallMap()
