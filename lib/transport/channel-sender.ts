import type { Member, MemberId } from '../membership/member.js'
import type { Clock, Endpoint, Network, Random, StreamEnd, Timer } from '../runtime/runtime.js'
import { encodeFrame } from '../wire/codec.js'
import { DEFAULT_FRAME_LIMIT_BYTES } from '../wire/frame.js'
import { frames } from '../wire/frame-space.js'
import { APART_BYTES, encodeHead, encodeMessage, NO_BYTES } from '../wire/hot-frames.js'
import type { ConnectionPurpose, Frame } from '../wire/messages.js'
import type { LaneItem } from './lane.js'
import { MemberQueue, type MemberQueueOptions } from './member-queue.js'
import { type DialContext, OutgoingConnection } from './outgoing-connection.js'
import { ackNumber, type DialResult, type OutcomeListener, type OutgoingMessage, type SenderHandlers } from './types.js'

/** How the sender connects and how much it keeps waiting. */
export interface SenderOptions {
  /** Data connections to each member, 1 to 25; messages of one key share one. Default 1. */
  readonly poolSize?: number
  /** Milliseconds for connecting and the handshake. Default 3,000, as Tribes' `timeout`. */
  readonly dialTimeoutMs?: number
  /** Bytes waiting for one member, and again as many of bulk. Default 8 MiB. */
  readonly queueLimitBytes?: number
  /** Milliseconds the oldest message may wait before later ones are not queued any more. Default 2,000. */
  readonly queueAgeMs?: number
  /** Keys remembered per topic and member once its queue has overflowed. Default 65,536. */
  readonly dirtyKeyLimit?: number
  /** Largest frame accepted from a member. Default 1 MiB. */
  readonly frameLimitBytes?: number
}

/** Counters since the start; `members`, `queuedBytes`, `dirtyKeys` and `unacknowledged` are the present numbers. */
export interface SenderStats {
  members: number
  queuedBytes: number
  dirtyKeys: number
  unacknowledged: number
  /** Messages, once for each receiver. */
  messages: number
  messageBytes: number
  queueFull: number
  refills: number
  dials: number
  /** Connections of ours that broke, and failed dials to members. */
  broken: number
}

/**
 * What a probe found. `refused`: nothing (of ours) serves that address any more. `accepted-silent`: the connection was
 * accepted and the answer did not come, as from a stopped process. `unreachable`: not even connected in time.
 */
export type ProbeResult = 'answered' | 'refused' | 'accepted-silent' | 'unreachable'

/** The answer to an echo. */
export interface EchoAnswer {
  readonly clusterTime: number
  readonly roundTripMs: number
}

const UNCLAIMED_LIMIT = 64
const UNCLAIMED_MS = 10_000
const ECHO_LIMIT = 1_024

interface PendingEcho {
  readonly memberId: MemberId
  readonly sentAt: number
  readonly timer: Timer
  readonly done: (answer: EchoAnswer | undefined) => void
}

/**
 * Sends to many members in parallel: a message is encoded once, and each member has its own connections and bounded
 * queue, so a frozen, slow or dead one never delays the others (Tribes' PooledParallelSender, with a queue).
 */
export class ChannelSender {
  readonly #clock: Clock
  readonly #random: Random
  readonly #handlers: SenderHandlers
  readonly #options: MemberQueueOptions
  readonly #context: DialContext
  readonly #members = new Map<MemberId, MemberQueue>()
  /** The members a message went to last, and their queues. */
  #lastTo: readonly Member[] | undefined
  #lastQueues: readonly (MemberQueue | undefined)[] = []
  readonly #unclaimed = new Map<MemberId, { connection: OutgoingConnection; timer: Timer }>()
  readonly #echoes = new Map<number, PendingEcho>()
  readonly #stats = { messages: 0, messageBytes: 0, queueFull: 0, refills: 0, dials: 0, broken: 0 }

  constructor(
    { clock, random, network }: { readonly clock: Clock; readonly random: Random; readonly network: Network },
    options: SenderOptions,
    handlers: SenderHandlers,
  ) {
    this.#clock = clock
    this.#random = random
    this.#handlers = handlers
    this.#options = {
      poolSize: Math.min(25, Math.max(1, options.poolSize ?? 1)),
      queueLimitBytes: options.queueLimitBytes ?? 8_388_608,
      queueAgeMs: options.queueAgeMs ?? 2_000,
      dirtyKeyLimit: options.dirtyKeyLimit ?? 65_536,
    }
    this.#context = {
      clock,
      network,
      frameLimitBytes: options.frameLimitBytes ?? DEFAULT_FRAME_LIMIT_BYTES,
      dialTimeoutMs: options.dialTimeoutMs ?? 3_000,
      hello: purpose => {
        this.#stats.dials += 1
        return handlers.hello(purpose)
      },
    }
  }

  /** Starts to serve a member: takes over a control connection {@link dial} has made to it, or makes one. */
  addMember(member: Member): void {
    if (this.#members.has(member.id)) return
    const queue = new MemberQueue(member, this.#context, this.#options, {
      ended: (ended, end) => this.#ended(ended, end),
      control: (frame, from) => this.#control(frame, from),
      refill: (drained, topic, keys, lost) => {
        this.#stats.refills += 1
        this.#handlers.refill(drained, topic, keys, lost)
      },
    })
    this.#members.set(member.id, queue)
    this.#lastTo = undefined
    const unclaimed = this.#unclaimed.get(member.id)
    if (unclaimed === undefined) return queue.connectControl()
    this.#unclaimed.delete(member.id)
    unclaimed.timer.cancel()
    queue.adoptControl(unclaimed.connection)
  }

  /**
   * Stops serving a member; what waits for it settles as `disappeared`. After `left` what has been handed to its
   * connections is still sent.
   */
  removeMember(id: MemberId, reason: 'left' | 'disappeared'): void {
    const queue = this.#members.get(id)
    if (queue === undefined) return
    this.#members.delete(id)
    this.#lastTo = undefined
    queue.close(reason === 'left')
    for (const [nonce, echo] of this.#echoes) if (echo.memberId === id) this.#settleEcho(nonce, undefined)
  }

  /**
   * Sends one message to each of the members. `told` is called for each member that wants an acknowledgement until
   * `final`; with ack `none` only for those it was not queued for. It may be called before `send` returns. In the order
   * of sends for one key (for all without one); never twice; lost with the connection it was written to.
   *
   * @throws {ProtocolError} when the topic's name is over its limit
   */
  send(members: readonly Member[], message: OutgoingMessage, told: OutcomeListener): void {
    const ack = ackNumber(message.ack)
    const { topic, payload, rest } = message
    const isApart = payload.length >= APART_BYTES
    const begin = isApart ? NO_BYTES : payload
    const body = isApart ? [payload, ...(rest ?? [])] : rest
    const bodyBytes = body?.reduce((sum, { length }) => sum + length, 0) ?? 0
    const frame =
      body === undefined ? encodeMessage(topic, ack, payload) : encodeHead(topic, ack, begin.length + bodyBytes, begin)
    const bytes = frame.length + bodyBytes
    const alone = members.length === 1
    const item: LaneItem = { frame, body, bytes, topic, ack, told: ack === 0 ? undefined : told, alone }
    const queues = members === this.#lastTo ? this.#lastQueues : this.#queuesOf(members)
    const isBulk = message.bulk === true
    frames.inHand++
    try {
      for (let place = 0; place < members.length; place++) {
        this.#put(item, queues[place], members[place] as Member, message.key, isBulk, told)
      }
    } finally {
      frames.inHand--
    }
  }

  /** Those of a list of members, undefined for who is not served; kept, as mostly the next message goes to the same. */
  #queuesOf(members: readonly Member[]): readonly (MemberQueue | undefined)[] {
    this.#lastTo = members
    this.#lastQueues = members.map(({ id }) => this.#members.get(id))
    return this.#lastQueues
  }

  #put(
    item: LaneItem,
    queue: MemberQueue | undefined,
    member: Member,
    key: string | undefined,
    isBulk: boolean,
    told: OutcomeListener,
  ): void {
    if (queue === undefined || queue.closed) return told(member, 'disappeared', true)
    this.#stats.messages += 1
    this.#stats.messageBytes += item.bytes
    if (queue.put(item, key, isBulk)) return
    this.#stats.queueFull += 1
    told(member, 'queue-full', true)
  }

  /** Sends a frame over the member's control connection. `false`: no such member, or too much waits already. */
  sendControl(memberId: MemberId, frame: Frame): boolean {
    return this.#members.get(memberId)?.putControl(encodeFrame(frame)) ?? false
  }

  /**
   * Dials an address and shakes hands. A welcomed `control` connection is kept for {@link addMember} for 10 s; others
   * are closed.
   */
  dial(endpoint: Endpoint, purpose: ConnectionPurpose, done: (result: DialResult) => void): void {
    const { dialTimeoutMs } = this.#context
    const connection = new OutgoingConnection(this.#context, endpoint, purpose, dialTimeoutMs, result => {
      if (result.kind === 'welcome') {
        if (purpose === 'control') this.#keep(result.welcome.member.id, connection)
        else connection.end()
      }
      done(result)
    })
  }

  /** Asks, over a new connection, whether a process of the group serves this address. */
  probe(endpoint: Endpoint, timeoutMs: number, done: (result: ProbeResult, memberId?: MemberId) => void): void {
    let finished = false
    const timer = this.#clock.setTimer(timeoutMs, () => finish(connection.opened ? 'accepted-silent' : 'unreachable'))
    const finish = (result: ProbeResult, memberId?: MemberId): void => {
      if (finished) return
      finished = true
      timer.cancel()
      connection.destroy()
      done(result, memberId)
    }
    const connection = new OutgoingConnection(this.#context, endpoint, 'probe', timeoutMs, result => {
      if (result.kind !== 'welcome') return finish(probeResult(result, connection.opened))
      const nonce = this.#random.uint32()
      connection.own({
        frame: frame => {
          if (frame.kind === 'echoReply' && frame.nonce === nonce) finish('answered', result.welcome.member.id)
        },
        drained() {},
        closed: () => finish('accepted-silent'),
      })
      connection.write(encodeFrame({ kind: 'echo', nonce }))
    })
  }

  /** Asks a member for its time over the control connection; undefined: no answer in time, or no such connection. */
  echo(memberId: MemberId, timeoutMs: number, done: (answer: EchoAnswer | undefined) => void): void {
    const queue = this.#members.get(memberId)
    const nonce = this.#random.uint32()
    const asked = this.#echoes.size < ECHO_LIMIT && !this.#echoes.has(nonce) && queue?.controlOpen === true
    if (!asked || queue?.putControl(encodeFrame({ kind: 'echo', nonce })) !== true) {
      return this.#clock.soon(() => done(undefined))
    }
    const timer = this.#clock.setTimer(timeoutMs, () => this.#settleEcho(nonce, undefined))
    this.#echoes.set(nonce, { memberId, sentAt: this.#clock.monotonic(), timer, done })
  }

  /** Closes everything; what waits settles as `disappeared`. */
  stop(): void {
    for (const id of [...this.#members.keys()]) this.removeMember(id, 'left')
    for (const { connection, timer } of this.#unclaimed.values()) {
      timer.cancel()
      connection.end()
    }
    this.#unclaimed.clear()
  }

  stats(): SenderStats {
    const present = { members: this.#members.size, queuedBytes: 0, dirtyKeys: 0, unacknowledged: 0 }
    for (const queue of this.#members.values()) {
      present.queuedBytes += queue.queuedBytes
      present.dirtyKeys += queue.dirtyKeys
      present.unacknowledged += queue.unacknowledged
    }
    return { ...present, ...this.#stats }
  }

  #keep(id: MemberId, connection: OutgoingConnection): void {
    const member = this.#members.get(id)
    if (member !== undefined) return member.adoptControl(connection)
    this.#drop(id)
    const oldest = this.#unclaimed.keys().next()
    if (this.#unclaimed.size >= UNCLAIMED_LIMIT && !oldest.done) this.#drop(oldest.value)
    const timer = this.#clock.setTimer(UNCLAIMED_MS, () => this.#drop(id))
    this.#unclaimed.set(id, { connection, timer })
    connection.own({ frame() {}, drained() {}, closed: () => this.#drop(id) })
  }

  #drop(id: MemberId): void {
    const unclaimed = this.#unclaimed.get(id)
    if (unclaimed === undefined) return
    this.#unclaimed.delete(id)
    unclaimed.timer.cancel()
    unclaimed.connection.end()
  }

  #ended(member: Member, end: StreamEnd): void {
    this.#stats.broken += 1
    this.#handlers.ended(member, end)
  }

  #control(frame: Frame, from: Member): void {
    if (frame.kind === 'echoReply') {
      const echo = this.#echoes.get(frame.nonce)
      if (echo?.memberId === from.id) {
        const roundTripMs = this.#clock.monotonic() - echo.sentAt
        this.#settleEcho(frame.nonce, { clusterTime: frame.clusterTime, roundTripMs })
      }
    }
    this.#handlers.control(frame, from)
  }

  #settleEcho(nonce: number, answer: EchoAnswer | undefined): void {
    const echo = this.#echoes.get(nonce)
    if (echo === undefined) return
    this.#echoes.delete(nonce)
    echo.timer.cancel()
    echo.done(answer)
  }
}

function probeResult(result: Exclude<DialResult, { kind: 'welcome' }>, opened: boolean): ProbeResult {
  // A full receiver is alive.
  if (result.kind === 'refused') return result.reason === 'limit' ? 'accepted-silent' : 'refused'
  if (opened) return 'accepted-silent'
  return result.end === 'refused' || result.end === 'reset' ? 'refused' : 'unreachable'
}
