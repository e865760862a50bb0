import type { Member } from './member.js'
import type { SuspicionWhy } from './member-table-types.js'

/** What the member table notes of a live member. */
export interface MemberEntry {
  readonly member: Member
  incarnation: number
  count: number
  /** Last sign of life, of any kind. */
  heardMs: number
  /** Last datagram; connections do not count. */
  datagramMs: number
  /** The verification under way, 0 for none. */
  token: number
  verifiedMs: number
  /** Why it is verified, while `token` is not 0. */
  why: SuspicionWhy
  /** We were asleep meanwhile: no answer means nothing, a refusal still does. */
  excused: boolean
  /** When a datagram last said that it leaves. */
  leavingMs: number
  /** Set while suspect: when suspicion becomes death. */
  deadlineMs: number | undefined
}

/** A member that has just been welcomed. */
export function memberEntry(member: Member, incarnation: number, count: number, nowMs: number): MemberEntry {
  return {
    member,
    incarnation,
    count,
    heardMs: nowMs,
    datagramMs: nowMs,
    token: 0,
    verifiedMs: nowMs,
    why: 'silence',
    excused: false,
    leavingMs: Number.NEGATIVE_INFINITY,
    deadlineMs: undefined,
  }
}
