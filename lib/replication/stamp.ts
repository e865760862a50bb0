import type { MemberId } from '../membership/member.js'
import type { Dot, RecordKey, Stamp } from './replica-contract.js'

/** When a record was last used, and by whom: hybrid time, ties broken by the member. */
export interface AccessStamp {
  readonly wallMs: number
  readonly counter: number
  /** The member that used it last. */
  readonly origin: MemberId
}

/** The access stamp below all others. */
export const NEVER: AccessStamp = { wallMs: 0, counter: 0, origin: '' }

/** Orders by hybrid time, then member: negative when `a` is earlier. */
export function compareAccess(a: AccessStamp, b: AccessStamp): number {
  if (a.wallMs !== b.wallMs) return a.wallMs - b.wallMs
  if (a.counter !== b.counter) return a.counter - b.counter
  return a.origin < b.origin ? -1 : a.origin > b.origin ? 1 : 0
}

/** Orders all writes of a scope: hybrid time, member, number. Zero only for the same write. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return compareAccess(a, b) || a.seq - b.seq
}

/** The key of the record a delta creates. */
export function recordKey(dot: Dot): RecordKey {
  return `${dot.origin}#${dot.seq}`
}

/** The dot of the delta that created the record. */
export function creationDot(key: RecordKey): Dot {
  const cut = key.lastIndexOf('#')
  return { origin: key.slice(0, cut), seq: Number(key.slice(cut + 1)) }
}

/** Whether a hybrid time can be one: 48 bits of milliseconds, 16 of a counter. */
export function isTime(wallMs: number, counter: number): boolean {
  return counter <= 65_535 && wallMs < 2 ** 48
}
