import type { AckMode, DeliveryOutcome } from '../channel/topic.js'
import type { Member } from '../membership/member.js'
import type { Endpoint, StreamEnd } from '../runtime/runtime.js'
import type { Frame, Hello, RefusalReason, Welcome } from '../wire/messages.js'

/** What the ChannelReceiver asks of and tells to the coordinator. */
export interface ReceiverHandlers {
  /** Judges a dialler; the answer is written and, after a refusal, the connection closed. */
  hello(
    hello: Hello,
    from: Endpoint,
  ): Welcome | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly detail: string }
  /**
   * A message of a member that has been welcomed; its payload is lent for the call. Its outcome is what the
   * acknowledgement says.
   */
  message(topic: string, payload: Uint8Array, from: Member): DeliveryOutcome
  /** heartbeat, goodbye. Echoes are answered by the receiver itself. */
  control(frame: Frame, from: Member): void
  /** An accepted connection of a welcomed member ended without our doing. */
  ended(member: Member, end: StreamEnd): void
  /** For echo replies. */
  clusterTime(): number
}

/** The outcome of a dial with handshake. */
export type DialResult =
  | { readonly kind: 'welcome'; readonly welcome: Welcome }
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly detail: string }
  | { readonly kind: 'failed'; readonly end: StreamEnd | 'protocol' }

/** What became of a message at one member. */
export type MemberOutcome = 'received' | 'applied' | 'rejected' | 'deferred' | 'disappeared' | 'queue-full'

/** Told of each receiver of a message; see `ChannelSender.send`. */
export type OutcomeListener = (member: Member, outcome: MemberOutcome, final: boolean) => void

/** The number that stands for an acknowledgement on the wire. Not a table: a look-up by text costs more than the rest. */
export function ackNumber(ack: AckMode): 0 | 1 | 2 {
  return ack === 'none' ? 0 : ack === 'received' ? 1 : 2
}

/** One message on its way to several members in parallel. */
export interface OutgoingMessage {
  readonly topic: string
  readonly payload: Uint8Array
  /** More of it, behind the payload. */
  readonly rest?: readonly Uint8Array[] | undefined
  readonly ack: AckMode
  readonly key?: string | undefined
  readonly bulk?: boolean | undefined
}

/** What the ChannelSender tells the coordinator. */
export interface SenderHandlers {
  /** A connection of ours to a member ended without our doing: a reason to verify the member. */
  ended(member: Member, end: StreamEnd): void
  /** heartbeat, goodbye, echoReply that came back over our control connection. */
  control(frame: Frame, from: Member): void
  /** A queue that had overflowed has drained. */
  refill(member: Member, topic: string, keys: ReadonlySet<string>, lost: boolean): void
  /** The hello of each new connection. */
  hello(purpose: 'control' | 'data' | 'bulk' | 'probe'): Hello
}
