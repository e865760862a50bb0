import type { Member, MemberId } from '../membership/member.js'
import type { DisappearedReason } from '../membership/member-table-types.js'

/** How many members must have done what before a send counts as acknowledged. */
export type AckMode = 'none' | 'received' | 'applied'

/** What became of a message on a member: merged into its state, refused, or waiting for something it lacks. */
export type DeliveryOutcome = 'applied' | 'deferred' | 'rejected'

/** A member a message did not reach, and why. */
export interface FaultyMember {
  readonly member: Member
  readonly reason: 'disappeared' | 'queue-full' | 'rejected' | 'deferred' | 'timeout'
}

/**
 * What became of one send. `met`: at least `wanted` members acknowledged. `short`: it is known that they did not.
 * `unknown`: the time was up. The last two do not undo the message, which may still arrive.
 */
export interface SendReceipt {
  readonly outcome: 'met' | 'short' | 'unknown'
  readonly wanted: number
  readonly received: number
  readonly applied: number
  readonly faulty: readonly FaultyMember[]
}

/** How one message is to be sent. */
export interface TopicSendOptions {
  /** Receivers; unset: every member. */
  readonly to?: readonly MemberId[]
  /** Default `none`. */
  readonly ack?: AckMode
  /** How many members must acknowledge; `all`: every receiver, and at least one. Default `all`. */
  readonly copies?: number | 'all'
  /** Milliseconds until an unanswered receipt says `unknown`. Default 1,000. */
  readonly timeoutMs?: number
  /** Messages with one key keep their order, and an overflowing queue remembers the key instead of the message. */
  readonly key?: string
  /** Large and patient: travels on its own connection, behind nothing urgent. */
  readonly bulk?: boolean
}

/** The user of a topic: what the channel calls, always synchronously. */
export interface TopicListener {
  /** `applied` is the promise the sender's receipt is built on: answer it only when the message is merged. */
  receive(payload: Uint8Array, from: Member): DeliveryOutcome
  memberAdded?(member: Member): void
  memberDisappeared?(member: Member, reason: DisappearedReason): void
  /** A few bytes to put into every heartbeat (at most 64), or undefined. */
  advertise?(): Uint8Array | undefined
  /** Another member's bytes, with every heartbeat heard from it. */
  advertised?(bytes: Uint8Array, from: Member): void
  /** The queue to `member` had overflowed and has room again: these keys lost messages (`lost`: more than remembered). */
  refill?(member: Member, keys: ReadonlySet<string>, lost: boolean): void
}

/** One named stream of messages within a channel; replication and applications talk through these. */
export interface Topic {
  readonly name: string
  readonly local: Member
  /** The others, ordered by name. */
  readonly members: readonly Member[]
  /** Milliseconds since the epoch on the clock the group agrees on; never steps back by more than its slew. */
  clusterTime(): number
  /** Encoded once and sent to all in parallel. `settled` is called exactly once, possibly within the call. */
  send(payload: Uint8Array, options?: TopicSendOptions, settled?: (receipt: SendReceipt) => void): void
  close(): void
}
