import type { Member, MemberId } from '../membership/member.js'
import type { DisappearedReason } from '../membership/member-table-types.js'

/**
 * What a send waits for at each receiver. `none`: nothing, the receipt says `met` at once. `received`: its process has
 * the message, whatever its listener made of it. `applied`: its listener has merged it.
 */
export type AckMode = 'none' | 'received' | 'applied'

/** What became of a message on a member: merged into its state, refused, or waiting for something it lacks. */
export type DeliveryOutcome = 'applied' | 'deferred' | 'rejected'

/** A receiver that is not known to have done what was asked. */
export interface FaultyMember {
  /** As it was when the message was sent. */
  readonly member: Member
  /**
   * `disappeared`: it left, died, or its connection broke before it answered. `queue-full`: a queue on the way to it
   * had no room, or 65,536 receipts were outstanding (then the message is sent all the same). `rejected`: it has no
   * such topic, cannot read the bytes, or its listener refused or threw. `deferred`: the message builds on something it
   * has not got yet. `timeout`: no answer in time.
   */
  readonly reason: 'disappeared' | 'queue-full' | 'rejected' | 'deferred' | 'timeout'
}

/** What became of one send, as of the moment it was known; a receipt does not change any more. */
export interface SendReceipt {
  /**
   * `met`: at least `wanted` members acknowledged. `short`: it is certain that fewer will. `unknown`: the time was up.
   * The last two do not undo the message, which may still arrive.
   */
  readonly outcome: 'met' | 'short' | 'unknown'
  /** How many were to acknowledge. With `all`: the receivers at the time of sending, at least 1. With ack `none`: 0. */
  readonly wanted: number
  /** Receivers known to have the message when the receipt was settled, those that rejected or deferred it included. */
  readonly received: number
  /** Receivers known to have merged it by then; counted with ack `applied` only. */
  readonly applied: number
  /** Receivers known to have failed by then, and with `unknown` those that were silent. `met` may name some, too. */
  readonly faulty: readonly FaultyMember[]
}

/** How one message is to be sent. */
export interface TopicSendOptions {
  /** Receivers; unset: every member. */
  readonly to?: readonly MemberId[] | undefined
  /** What the receipt waits for. Default `none`. */
  readonly ack?: AckMode | undefined
  /** How many members must acknowledge; `all`: every receiver, and at least one. Default `all`. */
  readonly copies?: number | 'all' | undefined
  /** Milliseconds until an unanswered receipt says `unknown`. Default 1,000. */
  readonly timeoutMs?: number | undefined
  /** Messages with one key keep their order, and an overflowing queue remembers the key instead of the message. */
  readonly key?: string | undefined
  /** Large and patient: travels on its own connection, behind nothing urgent. */
  readonly bulk?: boolean | undefined
  /**
   * More of the message, behind the payload. Sent as it lies: nobody changes it any more, unless it lies in memory of
   * frames, which is held until then.
   */
  readonly rest?: readonly Uint8Array[] | undefined
}

/** The user of a topic: what the channel calls, always synchronously. */
export interface TopicListener {
  /** `applied` is the promise the sender's receipt is built on: answer it only when the message is merged. */
  receive(payload: Uint8Array, from: Member): DeliveryOutcome
  /** Whether `receive` keeps nothing of the payload; it may not change it either. Default: it is handed a copy. */
  readonly borrows?: boolean
  /** A member is new here; of those present when the topic is opened tells `Topic.members`. */
  memberAdded?(member: Member): void
  /** A member is gone. Receipts that waited for it have been told. */
  memberDisappeared?(member: Member, reason: DisappearedReason): void
  /** A few bytes to put into every heartbeat (at most 64), or undefined. */
  advertise?(): Uint8Array | undefined
  /** Another member's bytes, with every heartbeat heard from it. */
  advertised?(bytes: Uint8Array, from: Member): void
  /** The queue to `member` had overflowed and has room again: these keys lost messages (`lost`: more than remembered). */
  refill?(member: Member, keys: ReadonlySet<string>, lost: boolean): void
}

/**
 * One named stream of messages within a channel; replication and applications talk through these. Order and loss are
 * as `Channel` says.
 */
export interface Topic {
  /** The same on all members. */
  readonly name: string
  /** This member; host and port are final once the channel has started. */
  readonly local: Member
  /** The others, ordered by name. */
  readonly members: readonly Member[]
  /** Largest message that is sent, and taken here: `receiver.maxFrameBytes` less 1,024. Unset where nobody tells. */
  readonly payloadBytesMax?: number
  /** Milliseconds since the epoch on the clock the group agrees on; never steps back by more than its slew. */
  clusterTime(): number
  /**
   * Encoded once and sent to all in parallel. `settled` is called exactly once, possibly within the call.
   *
   * @throws {MessageTooLargeError} when the payload is larger than `receiver.maxFrameBytes` less 1,024
   * @throws {InvalidStateError} when the channel is not running
   */
  send(payload: Uint8Array, options?: TopicSendOptions, settled?: (receipt: SendReceipt) => void): void
  /** Stops listening and frees the name; later messages of others are `rejected`. Receipts under way are still told. */
  close(): void
}
