import { Buffer } from 'node:buffer'
import { InvalidOptionError, InvalidStateError, MessageTooLargeError } from '../errors.js'
import type { Member } from '../membership/member.js'
import type { DisappearedReason } from '../membership/member-table-types.js'
import type { Clock } from '../runtime/runtime.js'
import type { MemberOutcome } from '../transport/types.js'
import type { Advertisement } from '../wire/messages.js'
import { AdvertisementBoard } from './advertisement-board.js'
import { Deadlines } from './deadlines.js'
import { type ChannelMessage, type IncomingMessage, payloadBytes } from './interceptor.js'
import { SendTracker } from './send-tracker.js'
import type { AckMode, DeliveryOutcome, SendReceipt, Topic, TopicListener, TopicSendOptions } from './topic.js'

/** Topics per channel. */
const TOPICS_MAX = 1_024
const NAME_BYTES_MAX = 128
/** What all advertisements of one heartbeat may take, so that the datagram stays below 1,400 bytes. */
const ADVERTISEMENT_BUDGET_BYTES = 900
const TIMEOUT_MS = 1_000
/** Receipts outstanding; beyond, a send is `short` at once. */
const TRACKERS_MAX = 65_536

const NOTHING_WANTED: SendReceipt = Object.freeze({
  outcome: 'met',
  wanted: 0,
  received: 0,
  applied: 0,
  faulty: Object.freeze([]),
})

/** What the hub needs of its channel. */
export interface TopicHubParts {
  readonly clock: Clock
  local(): Member
  members(): readonly Member[]
  clusterTime(): number
  running(): boolean
  send(message: ChannelMessage): void
  /** A listener threw. */
  failed(error: unknown): void
  readonly payloadBytesMax: number
  /** Somebody on the way out looks at messages, so each has to be one. */
  readonly whole: boolean
}

/** Counters of the hub. */
export interface TopicHubCounts {
  sent: number
  received: number
  unknownTopic: number
  listenerErrors: number
  receiptsMet: number
  receiptsShort: number
  receiptsUnknown: number
}

/** A class, as the engine keeps a literal with getters as a hash table, which every message would go through. */
class OpenTopic implements Topic {
  readonly name: string
  readonly listener: TopicListener
  readonly payloadBytesMax: number
  readonly #hub: TopicHub
  readonly #parts: TopicHubParts
  readonly #closed: (topic: OpenTopic) => void

  constructor(
    name: string,
    listener: TopicListener,
    hub: TopicHub,
    parts: TopicHubParts,
    closed: (topic: OpenTopic) => void,
  ) {
    this.name = name
    this.listener = listener
    this.payloadBytesMax = parts.payloadBytesMax
    this.#hub = hub
    this.#parts = parts
    this.#closed = closed
  }

  get local(): Member {
    return this.#parts.local()
  }

  get members(): readonly Member[] {
    return this.#parts.members()
  }

  clusterTime(): number {
    return this.#parts.clusterTime()
  }

  send(payload: Uint8Array, options?: TopicSendOptions, settled?: (receipt: SendReceipt) => void): void {
    this.#hub.send(this.name, payload, options, settled)
  }

  close(): void {
    this.#closed(this)
  }
}

/** The topics of a channel: hands out receipts on the way out, finds the listener on the way in. */
export class TopicHub {
  readonly counts: TopicHubCounts = {
    sent: 0,
    received: 0,
    unknownTopic: 0,
    listenerErrors: 0,
    receiptsMet: 0,
    receiptsShort: 0,
    receiptsUnknown: 0,
  }

  readonly #parts: TopicHubParts
  readonly #topics = new Map<string, OpenTopic>()
  /** What a message came on last, as most of one connection come on one topic. */
  #lastName = ''
  #lastTopic: OpenTopic | undefined
  readonly #board = new AdvertisementBoard(ADVERTISEMENT_BUDGET_BYTES)
  /** Of receipts not yet settled. */
  readonly #trackers: Deadlines<SendTracker>

  constructor(parts: TopicHubParts) {
    this.#parts = parts
    this.#trackers = new Deadlines(parts.clock)
  }

  /** Receipts not yet settled. */
  get pending(): number {
    return this.#trackers.size
  }

  /**
   * @throws {InvalidOptionError} for a name that is empty, too long or taken
   */
  open(name: string, listener: TopicListener): Topic {
    const bytes = Buffer.byteLength(name)
    if (bytes < 1 || bytes > NAME_BYTES_MAX) throw new InvalidOptionError('topic', `1 to ${NAME_BYTES_MAX} bytes`, name)
    if (this.#topics.has(name)) throw new InvalidOptionError('topic', 'a name not in use on this channel', name)
    if (this.#topics.size >= TOPICS_MAX) throw new InvalidStateError(`at most ${TOPICS_MAX} topics`, 'full')
    const topic = new OpenTopic(name, listener, this, this.#parts, closed => {
      if (this.#topics.get(name) === closed) this.#topics.delete(name)
      this.#forgetLast()
    })
    this.#topics.set(name, topic)
    this.#forgetLast()
    return topic
  }

  /**
   * @throws {MessageTooLargeError} when the payload does not fit into a frame
   * @throws {InvalidStateError} when the channel is not running
   */
  send(
    name: string,
    payload: Uint8Array,
    options: TopicSendOptions = {},
    settled?: (receipt: SendReceipt) => void,
  ): void {
    const { payloadBytesMax } = this.#parts
    if (!this.#parts.running()) throw new InvalidStateError('a running channel', 'not started or stopped')
    if (options.rest !== undefined && (this.#parts.whole || options.rest.length === 0)) {
      const whole = options.rest.length === 0 ? payload : Buffer.concat([payload, ...options.rest])
      return this.send(name, whole, { ...options, rest: undefined }, settled)
    }
    const bytes = options.rest === undefined ? payload.length : payloadBytes({ payload, rest: options.rest })
    if (bytes > payloadBytesMax) throw new MessageTooLargeError('The message', bytes, payloadBytesMax)
    this.counts.sent++
    const { ack = 'none', copies = 'all', timeoutMs = TIMEOUT_MS, key, bulk, rest } = options
    const to = this.#receivers(options)
    if (ack === 'none') {
      if (to.length > 0) this.#parts.send({ topic: name, payload, rest, to, ack, key, bulk })
      settled?.(NOTHING_WANTED)
      return
    }
    if (to.length === 0) {
      // Certain already: no timer for it, which would cost a lone member more than the rest of its write.
      const wanted = copies === 'all' ? 1 : copies
      const receipt: SendReceipt = { ...NOTHING_WANTED, outcome: wanted === 0 ? 'met' : 'short', wanted }
      this.#count(receipt)
      if (settled) this.#tell(settled, receipt)
      return
    }
    if (this.#trackers.size >= TRACKERS_MAX) {
      this.#parts.send({ topic: name, payload, rest, to, ack: 'none', key, bulk })
      const faulty = to.map(member => ({ member, reason: 'queue-full' as const }))
      settled?.({
        outcome: 'short',
        wanted: copies === 'all' ? to.length : copies,
        received: 0,
        applied: 0,
        faulty,
      })
      return
    }
    const tracker = this.#tracker(to, ack, copies, settled)
    if (!tracker.done) this.#trackers.add(tracker, timeoutMs)
    // Sent even when the receipt is short already: what can arrive, should.
    this.#parts.send({ topic: name, payload, rest, to, ack, key, bulk, settled: wordTo(tracker) })
  }

  /** By itself, as functions made in `send` would cost messages as well that nobody acknowledges. */
  #tracker(
    to: readonly Member[],
    ack: Exclude<AckMode, 'none'>,
    copies: number | 'all',
    settled: ((receipt: SendReceipt) => void) | undefined,
  ): SendTracker {
    let tracker: SendTracker | undefined
    tracker = new SendTracker(to, ack, copies, receipt => {
      if (tracker) this.#trackers.remove(tracker)
      this.#count(receipt)
      if (settled) this.#tell(settled, receipt)
    })
    return tracker
  }

  receive(message: IncomingMessage, from: Member): DeliveryOutcome {
    const topic = message.topic === this.#lastName ? this.#lastTopic : this.#find(message.topic)
    if (!topic) {
      this.counts.unknownTopic++
      return 'rejected'
    }
    this.counts.received++
    try {
      const { listener } = topic
      return listener.receive(listener.borrows === true ? message.payload : Buffer.from(message.payload), from)
    } catch (error) {
      this.#listenerFailed(error)
      return 'rejected'
    }
  }

  #forgetLast(): void {
    this.#lastName = ''
    this.#lastTopic = undefined
  }

  #find(name: string): OpenTopic | undefined {
    this.#lastName = name
    this.#lastTopic = this.#topics.get(name)
    return this.#lastTopic
  }

  memberAdded(member: Member): void {
    for (const { listener } of [...this.#topics.values()]) this.#guard(undefined, () => listener.memberAdded?.(member))
  }

  memberDisappeared(member: Member, reason: DisappearedReason): void {
    for (const tracker of this.#trackers) tracker.outcome(member, 'disappeared')
    for (const { listener } of [...this.#topics.values()])
      this.#guard(undefined, () => listener.memberDisappeared?.(member, reason))
  }

  advertisements(): Advertisement[] {
    const topics = [...this.#topics.values()].map(({ name, listener }) => ({
      name,
      advertise: () => this.#guard(undefined, () => listener.advertise?.()),
    }))
    return this.#board.collect(topics)
  }

  advertised(advertisements: readonly Advertisement[], from: Member): void {
    for (const { topic, bytes } of advertisements) {
      const listener = this.#topics.get(topic)?.listener
      if (listener) this.#guard(undefined, () => listener.advertised?.(bytes, from))
    }
  }

  refill(member: Member, name: string, keys: ReadonlySet<string>, lost: boolean): void {
    const listener = this.#topics.get(name)?.listener
    if (listener) this.#guard(undefined, () => listener.refill?.(member, keys, lost))
  }

  /** The channel is over: what is outstanding will not be heard of. */
  stop(): void {
    const outstanding = [...this.#trackers]
    this.#trackers.clear()
    for (const tracker of outstanding) tracker.timeout()
  }

  #receivers(options: TopicSendOptions): readonly Member[] {
    const members = this.#parts.members()
    if (!options.to) return members
    const wanted = new Set(options.to)
    return members.filter(({ id }) => wanted.has(id))
  }

  #count(receipt: SendReceipt): void {
    if (receipt.outcome === 'met') this.counts.receiptsMet++
    else if (receipt.outcome === 'short') this.counts.receiptsShort++
    else this.counts.receiptsUnknown++
  }

  #tell(settled: (receipt: SendReceipt) => void, receipt: SendReceipt): void {
    try {
      settled(receipt)
    } catch (error) {
      this.#listenerFailed(error)
    }
  }

  /** A listener's error must not stop the protocol; nor may it be hidden. */
  #guard<T>(otherwise: T, run: () => T): T {
    try {
      return run()
    } catch (error) {
      this.#listenerFailed(error)
      return otherwise
    }
  }

  #listenerFailed(error: unknown): void {
    this.counts.listenerErrors++
    this.#parts.failed(error)
  }
}

/** What became of a message at a member, told to who gathers that. */
function wordTo(tracker: SendTracker): (member: Member, outcome: MemberOutcome) => void {
  return (member, outcome) => tracker.outcome(member, outcome)
}
