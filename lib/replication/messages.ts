import type { MemberId } from '../membership/member.js'
import type { Delta, RecordSnapshot } from './delta.js'
import type { Hash64 } from './mix.js'
import type { PackedRecord } from './packed-record.js'
import type { Dot, RecordKey } from './replica-contract.js'
import type { Digest, MissingDots } from './seen-set.js'
import type { AccessStamp } from './stamp.js'

/** A use of a record: who and when, and how long ago on the sender's clock. */
export interface TouchEntry {
  readonly key: RecordKey
  readonly access: AccessStamp
  readonly ageMs: number
}

/** A record suspected to be idle, and the last use the asking member knows of. */
export interface CheckEntry {
  readonly key: RecordKey
  readonly access: AccessStamp
}

/** A member that the sender knows, present or not. */
export interface KnownMember {
  readonly id: MemberId
  readonly name: string
  /** For how long it has been away; 0: it is present. */
  readonly awayMs: number
  /** It left or was replaced by its successor: nobody need wait for it. */
  readonly gone: boolean
}

/** The origin of writes of a life that is over, and for how long it has been. */
export interface EndedLife {
  readonly origin: MemberId
  readonly ageMs: number
}

/** A record's hash, so that equal ones need not travel. */
export interface KeyHash {
  readonly key: RecordKey
  readonly hash: Hash64
}

/** Part of one bucket: all the donor has with keys after `after`, up to and including `upTo` (unset: the end). */
export interface BucketPart {
  readonly bucket: number
  readonly after: RecordKey | undefined
  readonly upTo: RecordKey | undefined
  /** Keys held whose records do not travel because the hashes agree. */
  readonly keys: readonly RecordKey[]
  readonly tombstones: readonly (readonly [RecordKey, Dot])[]
  readonly records: readonly PackedRecord[]
}

/** What replicas of one scope tell each other. */
export type ReplicationMessage =
  /** `encoded`: the message as bytes, where they are at hand already. */
  | { readonly kind: 'delta'; readonly delta: Delta; readonly encoded?: readonly Uint8Array[] }
  | { readonly kind: 'fetch'; readonly key: RecordKey }
  | { readonly kind: 'record'; readonly record: RecordSnapshot }
  | { readonly kind: 'tombstone'; readonly key: RecordKey; readonly dot: Dot }
  | { readonly kind: 'touches'; readonly entries: readonly TouchEntry[] }
  | { readonly kind: 'check'; readonly round: number; readonly entries: readonly CheckEntry[] }
  | { readonly kind: 'checked'; readonly round: number; readonly later: readonly TouchEntry[] }
  | {
      readonly kind: 'askDigest'
      /** The answer carries it, so that it is known to be one. From 1. */
      readonly round?: number
    }
  | {
      readonly kind: 'digest'
      readonly digest: Digest
      readonly members: readonly KnownMember[]
      readonly ready: boolean
      /** The origin of the sender's writes. Absent: it does not know of closed origins. */
      readonly origin?: MemberId
      /** The round of the question this answers. */
      readonly round?: number
      /** With a round: the sender stood still itself and has not caught up. */
      readonly fenced?: boolean
    }
  /** `hint`: what is not kept needs no answer. */
  | { readonly kind: 'pull'; readonly missing: readonly MissingDots[]; readonly hint?: boolean }
  | { readonly kind: 'notKept' }
  | { readonly kind: 'reconcileStart'; readonly id: number }
  | { readonly kind: 'reconcileBusy'; readonly id: number }
  | {
      readonly kind: 'reconcileHeader'
      readonly id: number
      readonly digest: Digest
      readonly members: readonly KnownMember[]
      /** One per bucket. */
      readonly hashes: readonly Hash64[]
      /** Buckets with tombstones or expired records, ascending. */
      readonly buried: readonly number[]
      /** Lives the sender knows to be over and has not closed. */
      readonly ended?: readonly EndedLife[]
      /** Lives the sender knows of that have written nothing and are not closed. */
      readonly open?: readonly MemberId[]
    }
  | {
      readonly kind: 'reconcileRequest'
      readonly id: number
      readonly buckets: readonly number[]
      /** Where to go on within the first bucket. */
      readonly after: RecordKey | undefined
      /** The asking side's records of these buckets, or as many as fit. */
      readonly have: readonly KeyHash[]
      /** Which request of the transfer it is, from 1; the answer bears it. */
      readonly number: number
      /** Largest message the asking side takes in one frame; unset by members that do not tell. */
      readonly wholeBytes?: number | undefined
    }
  | {
      readonly kind: 'reconcileChunk'
      readonly id: number
      readonly parts: readonly BucketPart[]
      /** Nothing follows without another request. */
      readonly last: boolean
      /** The request it answers. */
      readonly number: number
    }

/** The record whose newest state a message brings: what has the same stays in order. */
export function keyOf(message: ReplicationMessage): RecordKey | undefined {
  if (message.kind === 'delta') return message.delta.key
  if (message.kind === 'record') return message.record.key
  return message.kind === 'tombstone' ? message.key : undefined
}

/** What a member knows beside its records. */
export type Known = Pick<
  Extract<ReplicationMessage, { kind: 'reconcileHeader' }>,
  'digest' | 'members' | 'ended' | 'open'
>

/** Names of the messages members of a scope exchange. */
export type MessageKind = ReplicationMessage['kind']
