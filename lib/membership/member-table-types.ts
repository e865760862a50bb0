import type { Endpoint } from '../runtime/runtime.js'
import type { Member } from './member.js'

/**
 * Why a member is to be verified. `silence`: nothing was heard for `dropTime`; `ended`: a connection ended without a
 * goodbye; `leaving`: a datagram, which anybody could have sent, says that it leaves.
 */
export type SuspicionWhy = 'silence' | 'ended' | 'leaving'

/**
 * What a verification found. `refused`: nobody listens there any more; `silent`: no answer at all; `hung`: the system
 * accepts connections but the process does not answer.
 */
export type SuspicionVerdict = 'alive' | 'refused' | 'silent' | 'hung'

/**
 * Why a member is no longer there. `left`: it said so, by a goodbye or, refusing us at the same moment, by datagram;
 * `superseded`: another life answers at its address.
 */
export type DisappearedReason = 'dead' | 'left' | 'superseded'

/** How a heartbeat travelled. */
export type HeardVia = 'datagram' | 'connection'

/** The outcome of a dial as the table needs it. */
export type DialOutcome =
  | { readonly kind: 'welcome'; readonly member: Member; readonly incarnation: number }
  /** Somebody answered, but will not have us, or is ourselves. */
  | { readonly kind: 'refused'; readonly self: boolean }
  | { readonly kind: 'failed' }

/** What the table asks its owner to do or to tell. */
export type MemberEffect =
  | { readonly kind: 'dial'; readonly endpoint: Endpoint }
  /** Answer with `verified(member.id, token, …)`. */
  | { readonly kind: 'verify'; readonly member: Member; readonly why: SuspicionWhy; readonly token: number }
  | { readonly kind: 'added'; readonly member: Member }
  | { readonly kind: 'disappeared'; readonly member: Member; readonly reason: DisappearedReason }

/** What bounds the table. All durations in milliseconds. */
export interface MemberTableOptions {
  /** Silence before a member is verified. */
  readonly dropTimeMs: number
  /** From a verification without any answer to death. */
  readonly suspicionMs: number
  /** From the last sign of life to death, for a process whose system still accepts connections. */
  readonly hungGraceMs: number
  /** How long a member that is gone is remembered. */
  readonly forgetMemberAfterMs: number
  readonly membersMax: number
  readonly rememberedMax: number
  readonly dialsMax: number
  readonly backOffMinMs: number
  readonly backOffMaxMs: number
  /** Absent members and seeds are dialled again after a time between these two. */
  readonly redialMinMs: number
  readonly redialMaxMs: number
}

/** The usual bounds (replication-design 3.6). */
export const memberTableDefaults: MemberTableOptions = {
  dropTimeMs: 3_000,
  suspicionMs: 1_500,
  hungGraceMs: 10_000,
  forgetMemberAfterMs: 3_600_000,
  membersMax: 1_024,
  rememberedMax: 4_096,
  dialsMax: 4,
  backOffMinMs: 1_000,
  backOffMaxMs: 30_000,
  redialMinMs: 5_000,
  redialMaxMs: 15_000,
}

/** What the table knows of one id. */
export type MemberStanding = 'alive' | 'suspect' | 'absent' | 'left' | 'superseded' | 'unknown'

/** Counters of the table. */
export interface MemberTableCounts {
  oldHeartbeats: number
  ghostHeartbeats: number
  verifications: number
  falseSuspicions: number
  membersRefused: number
}

/** A member that is gone and remembered. */
export interface RememberedMember {
  readonly member: Member
  readonly standing: 'absent' | 'left' | 'superseded'
  readonly incarnation: number
  readonly count: number
  readonly sinceMs: number
}
