import { ProtocolError } from '../errors.js'
import type { Endpoint, StreamEnd, Timer } from '../runtime/runtime.js'
import type { Frame, Hello } from '../wire/messages.js'
import { type DialContext, OutgoingConnection, streamEndOf } from './outgoing-connection.js'

/** Something on its way: the bytes, and what to do about an acknowledgement. */
export interface LaneItem {
  readonly frame: Uint8Array
  /** The rest of the frame, if it lies elsewhere, in pieces. */
  readonly body: readonly Uint8Array[] | undefined
  /** Of all of it. */
  readonly bytes: number
  readonly topic: string
  readonly ack: 0 | 1 | 2
  readonly settle:
    | ((outcome: 'received' | 'applied' | 'rejected' | 'deferred' | 'disappeared', final: boolean) => void)
    | undefined
}

/** What a lane tells its member queue. */
export interface LaneHandlers {
  /** Bytes left the queue for the connection. */
  dequeued(bytes: number): void
  /** The queue is empty and the connection takes more. */
  empty(): void
  /** An open connection broke, or a dial failed. `topics`: messages of these may be lost. */
  broken(end: StreamEnd, topics: ReadonlySet<string>): void
  control(frame: Frame): void
}

const BACK_OFF_MIN_MS = 100
const BACK_OFF_MAX_MS = 2_000
const UNACKNOWLEDGED_LIMIT = 65_536
const TOPIC_LIMIT = 1_024
/** Messages somebody waits for that go out together. */
const AWAITED_TOGETHER = 8
const NONE_EXCEPTED: ReadonlyMap<number, 'rejected' | 'deferred'> = new Map()

/** Written and not acknowledged; without the frame, whose memory is free once it is written. */
interface Unacknowledged {
  readonly number: number
  readonly ack: LaneItem['ack']
  readonly settle: LaneItem['settle']
  told: 'nothing' | 'received' | 'all'
}

/**
 * One ordered queue to one member and the connection that empties it, opened on the first frame and again, with
 * back-off, whenever it broke while frames wait (`persistent`: always). Frames on a broken connection are not repeated:
 * those that wanted an acknowledgement settle as `disappeared`, the others are told by their topic.
 */
export class Lane {
  readonly #context: DialContext
  readonly #endpoint: Endpoint
  readonly #memberId: string
  readonly #purpose: Hello['purpose']
  readonly #handlers: LaneHandlers
  #connection: OutgoingConnection | undefined
  #queue: { item: LaneItem; at: number }[] = []
  #head = 0
  #unacknowledged: Unacknowledged[] = []
  #settled = 0
  #sent = 0
  #topics = new Set<string>()
  #lastTopic = ''
  #backOff: Timer | undefined
  #backOffMs = BACK_OFF_MIN_MS
  /** Messages were lost and the owner can only make up for them over a new connection. */
  #owing = false
  #closed = false

  constructor(
    context: DialContext,
    endpoint: Endpoint,
    memberId: string,
    purpose: Hello['purpose'],
    handlers: LaneHandlers,
  ) {
    this.#context = context
    this.#endpoint = endpoint
    this.#memberId = memberId
    this.#purpose = purpose
    this.#handlers = handlers
  }

  get queued(): number {
    return this.#queue.length - this.#head
  }

  get unacknowledged(): number {
    return this.#unacknowledged.length - this.#settled
  }

  get open(): boolean {
    return this.#connection?.welcome !== undefined && !this.#connection.closed
  }

  /** Age of the oldest waiting frame. */
  waitingMs(now: number): number {
    const oldest = this.#queue[this.#head]
    return oldest === undefined ? 0 : now - oldest.at
  }

  /** Whether a frame put now leaves at once. */
  get clear(): boolean {
    return this.queued === 0 && this.#takes()
  }

  put(item: LaneItem): void {
    if (this.clear) return this.#write(item)
    this.#queue.push({ item, at: this.#context.clock.monotonic() })
    this.connect()
  }

  /** Opens the connection unless it is open, being opened or backing off. */
  connect(): void {
    if (this.#connection !== undefined || this.#backOff !== undefined || this.#closed) return
    const { dialTimeoutMs } = this.#context
    const connection = new OutgoingConnection(this.#context, this.#endpoint, this.#purpose, dialTimeoutMs, result => {
      if (this.#connection !== connection) return
      if (result.kind === 'welcome' && result.welcome.member.id === this.#memberId) return this.adopt(connection)
      connection.destroy()
      // Another life of the process answers there: the member we mean is gone.
      this.#break(result.kind === 'failed' ? streamEndOf(result.end) : 'refused')
    })
    this.#connection = connection
  }

  /** Goes on over this welcomed connection, whoever dialled it. */
  adopt(connection: OutgoingConnection): void {
    if (this.#connection !== connection) this.#connection?.end()
    this.#backOff?.cancel()
    this.#backOff = undefined
    this.#backOffMs = BACK_OFF_MIN_MS
    this.#owing = false
    this.#connection = connection
    connection.own({
      frame: frame => this.#frame(frame),
      drained: () => this.#pump(),
      closed: end => this.#break(streamEndOf(end)),
    })
    this.#pump()
  }

  /** The member is gone: everything settles as `disappeared`. */
  close(graceful: boolean): void {
    this.#closed = true
    this.#backOff?.cancel()
    const connection = this.#connection
    this.#connection = undefined
    if (graceful) connection?.end()
    else connection?.destroy()
    const waiting = this.#queue.slice(this.#head)
    this.#queue = []
    this.#head = 0
    this.#abandon()
    for (const { item } of waiting) item.settle?.('disappeared', true)
  }

  #takes(): boolean {
    return this.open && !this.#connection?.congested && this.unacknowledged < UNACKNOWLEDGED_LIMIT
  }

  #write(item: LaneItem): void {
    this.#connection?.write(item.frame)
    if (item.body !== undefined) for (const piece of item.body) this.#connection?.write(piece)
    if (item.topic === '') return
    this.#sent += 1
    if (item.topic !== this.#lastTopic) {
      this.#lastTopic = item.topic
      if (this.#topics.size < TOPIC_LIMIT) this.#topics.add(item.topic)
    }
    const { ack, settle } = item
    if (ack === 0) return
    this.#unacknowledged.push({ number: this.#sent, ack, settle, told: 'nothing' })
    // Not all of a turn's at the end: the member works on the first while we make the next.
    if (this.#sent % AWAITED_TOGETHER === 0) this.#connection?.flush()
  }

  #pump(): void {
    while (this.queued > 0 && this.#takes()) {
      const entry = this.#queue[this.#head] as { item: LaneItem }
      this.#head += 1
      if (this.#head >= 1_024 && this.#head * 2 >= this.#queue.length) {
        this.#queue = this.#queue.slice(this.#head)
        this.#head = 0
      }
      this.#write(entry.item)
      this.#handlers.dequeued(entry.item.bytes)
    }
    if (this.queued > 0) return
    this.#queue = []
    this.#head = 0
    if (this.open) this.#handlers.empty()
  }

  #frame(frame: Frame): void {
    if (frame.kind === 'ack') this.#acknowledged(frame)
    else if (frame.kind === 'heartbeat' || frame.kind === 'goodbye' || frame.kind === 'echoReply') {
      this.#handlers.control(frame)
    } else throw new ProtocolError(`Unexpected ${frame.kind}`)
  }

  #acknowledged({ received, applied, exceptions }: Extract<Frame, { kind: 'ack' }>): void {
    if (received > this.#sent || applied > received) throw new ProtocolError('Acknowledges what was not sent')
    const excepted =
      exceptions.length === 0 ? NONE_EXCEPTED : new Map(exceptions.map(({ number, reason }) => [number, reason]))
    const list = this.#unacknowledged
    const done: [Unacknowledged, 'received' | 'applied' | 'rejected' | 'deferred', boolean][] = []
    for (let index = this.#settled; index < list.length; index += 1) {
      const entry = list[index] as Unacknowledged
      if (entry.number > received) break
      const final = entry.number <= applied || entry.ack === 1
      if (final && index === this.#settled) this.#settled += 1
      if (entry.told === 'all' || (entry.told === 'received' && !final)) continue
      done.push([entry, outcomeOf(entry, applied, excepted), final])
      entry.told = final ? 'all' : 'received'
    }
    if (this.#settled * 2 >= list.length) {
      this.#unacknowledged = list.slice(this.#settled)
      this.#settled = 0
    }
    for (const [{ settle }, outcome, final] of done) settle?.(outcome, final)
    this.#pump()
  }

  #break(end: StreamEnd): void {
    this.#connection = undefined
    const topics = this.#topics
    this.#abandon()
    if (this.#closed) return
    if (topics.size > 0) this.#owing = true
    if (this.queued > 0 || this.#owing || this.#purpose === 'control') {
      this.#backOff = this.#context.clock.setTimer(this.#backOffMs, () => {
        this.#backOff = undefined
        this.connect()
      })
      this.#backOffMs = Math.min(BACK_OFF_MAX_MS, this.#backOffMs * 2)
    }
    this.#handlers.broken(end, topics)
  }

  #abandon(): void {
    const abandoned = this.#unacknowledged.slice(this.#settled)
    this.#unacknowledged = []
    this.#settled = 0
    this.#sent = 0
    this.#topics = new Set()
    this.#lastTopic = ''
    for (const { settle, told } of abandoned) if (told !== 'all') settle?.('disappeared', true)
  }
}

function outcomeOf(
  { number, ack }: Unacknowledged,
  applied: number,
  excepted: ReadonlyMap<number, 'rejected' | 'deferred'>,
): 'received' | 'applied' | 'rejected' | 'deferred' {
  const exception = excepted.get(number)
  if (exception === 'rejected') return 'rejected'
  if (ack === 1 || number > applied) return 'received'
  return exception ?? 'applied'
}
