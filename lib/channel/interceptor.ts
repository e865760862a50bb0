import { Buffer } from 'node:buffer'
import type { Member } from '../membership/member.js'
import type { DisappearedReason, SuspicionVerdict, SuspicionWhy } from '../membership/member-table-types.js'
import type { Clock, Random } from '../runtime/runtime.js'
import type { MemberOutcome } from '../transport/types.js'
import type { AckMode, DeliveryOutcome } from './topic.js'

/** A message on its way out. Treat it as unchangeable: pass a changed copy to `next` instead. */
export interface ChannelMessage {
  /** The name of its topic; the library's own begin with `~`. */
  readonly topic: string
  /** The encoded message; nobody may change the bytes. */
  readonly payload: Uint8Array
  /** More of it, behind the payload; only where every interceptor with a `send` takes it. */
  readonly rest?: readonly Uint8Array[] | undefined
  /** The members it goes to. */
  readonly to: readonly Member[]
  /** As in `TopicSendOptions`, like the next two. */
  readonly ack: AckMode
  /** What keeps its order. */
  readonly key?: string | undefined
  /** Whether it travels apart from the rest. */
  readonly bulk?: boolean | undefined
  /** Told what became of the message at each member; later words for one member are ignored. */
  readonly settled?: ((member: Member, outcome: MemberOutcome) => void) | undefined
}

/** Payload bytes of a message, all of them. */
export function payloadBytes({ payload, rest }: Pick<ChannelMessage, 'payload' | 'rest'>): number {
  return rest?.reduce((sum, { length }) => sum + length, payload.length) ?? payload.length
}

/** A message that came in. */
export interface IncomingMessage {
  /** The name of its topic. */
  readonly topic: string
  /** The bytes its sender handed over; nobody may change them. */
  readonly payload: Uint8Array
}

/** A member whose end is feared. */
export interface Suspicion {
  /** Who is to be verified. */
  readonly member: Member
  /** What raised it. */
  readonly why: SuspicionWhy
}

/** What an interceptor may use while the channel runs. */
export interface InterceptorContext {
  /** The only clock and timers to use, so that simulations stay exact. */
  readonly clock: Clock
  /** The only randomness to use. */
  readonly random: Random
  /** This member, with its final host and port. */
  readonly local: Member
  /** Asks over the open control connection. `settled` is called once: answered or not, within `timeoutMs`. */
  echo(member: Member, timeoutMs: number, settled: (answered: boolean) => void): void
  /** Asks over a connection made for the purpose: `hung` when it opened but nobody spoke, `refused` when it did not. */
  probe(member: Member, timeoutMs: number, settled: (verdict: SuspicionVerdict) => void): void
}

/**
 * Something between the channel and the network: Tribes' ChannelInterceptor with every hook optional. A hook passes on
 * by calling `next`; not calling it stops the message or the news there. Hooks are synchronous, so the order of calls
 * is the order of messages.
 */
export interface Interceptor {
  /** For people who look at the chain; need not be unique. */
  readonly name: string
  /**
   * Its `send` leaves messages as they are and keeps nothing of their bytes beyond the call, so that they need not be
   * put together and copied for it. Default: they are.
   */
  readonly takesRest?: boolean
  /** A message of this member goes out. One that is not passed on must be settled for each of its members. */
  send?(message: ChannelMessage, next: (message: ChannelMessage) => void): void
  /** A message of another member came in. The result is what the sender's acknowledgement says. */
  receive?(
    message: IncomingMessage,
    from: Member,
    next: (message: IncomingMessage, from: Member) => DeliveryOutcome,
  ): DeliveryOutcome
  /** A member is new. */
  memberAdded?(member: Member, next: (member: Member) => void): void
  /** A member is gone. */
  memberDisappeared?(
    member: Member,
    reason: DisappearedReason,
    next: (member: Member, reason: DisappearedReason) => void,
  ): void
  /** Call `verdict` once, now or later, or pass on. Without any answer in the chain a suspicion counts as `silent`. */
  memberSuspected?(
    suspicion: Suspicion,
    verdict: (verdict: SuspicionVerdict) => void,
    next: (suspicion: Suspicion, verdict: (verdict: SuspicionVerdict) => void) => void,
  ): void
  /** The channel listens and is about to join; `context.local` is final. */
  start?(context: InterceptorContext): void
  /** Nothing is called after this. What is queued must be passed on or settled within the call. */
  stop?(): void
}

/** The chain's two ends: the coordinator below, the channel above. */
export interface ChainEnds {
  send(message: ChannelMessage): void
  receive(message: IncomingMessage, from: Member): DeliveryOutcome
  memberAdded(member: Member): void
  memberDisappeared(member: Member, reason: DisappearedReason): void
  memberSuspected(suspicion: Suspicion, verdict: (verdict: SuspicionVerdict) => void): void
}

/** Whether messages are to be put together for it, and are its own. */
export function takesWhole({ send, takesRest }: Interceptor): boolean {
  return send !== undefined && takesRest !== true
}

/** Interceptors folded between the two ends; hooks an interceptor does not have cost nothing. */
export function interceptorChain(interceptors: readonly Interceptor[], ends: ChainEnds): ChainEnds {
  let send = (message: ChannelMessage): void => ends.send(message)
  for (const it of [...interceptors].reverse()) {
    if (!it.send) continue
    const next = send
    send = message => it.send?.(message, next)
  }
  let receive = (message: IncomingMessage, from: Member): DeliveryOutcome => ends.receive(message, from)
  let memberAdded = (member: Member): void => ends.memberAdded(member)
  let memberDisappeared = (member: Member, reason: DisappearedReason): void => ends.memberDisappeared(member, reason)
  let memberSuspected: ChainEnds['memberSuspected'] = (suspicion, verdict) => ends.memberSuspected(suspicion, verdict)
  for (const it of interceptors) {
    if (it.receive) {
      const next = receive
      receive = (message, from) => it.receive?.(message, from, next) ?? 'rejected'
    }
    if (it.memberAdded) {
      const next = memberAdded
      memberAdded = member => it.memberAdded?.(member, next)
    }
    if (it.memberDisappeared) {
      const next = memberDisappeared
      memberDisappeared = (member, reason) => it.memberDisappeared?.(member, reason, next)
    }
    if (it.memberSuspected) {
      const next = memberSuspected
      memberSuspected = (suspicion, verdict) => it.memberSuspected?.(suspicion, verdict, next)
    }
  }
  if (interceptors.some(takesWhole)) {
    const first = send
    // Bytes of ours are written over after the call, and interceptors may hold them back.
    send = message => first({ ...message, payload: Buffer.from(message.payload) })
  }
  if (interceptors.some(it => it.receive !== undefined)) {
    const first = receive
    // Bytes come lent, and interceptors may hold them back.
    receive = (message, from) => first({ ...message, payload: Buffer.from(message.payload) }, from)
  }
  return { send, receive, memberAdded, memberDisappeared, memberSuspected }
}
