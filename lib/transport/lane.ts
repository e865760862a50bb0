import { ProtocolError } from '../errors.js'
import type { Member } from '../membership/member.js'
import { recentOf, type StreamEnd, type Timer } from '../runtime/runtime.js'
import { type FrameChunk, frames, letGo } from '../wire/frame-space.js'
import type { Frame, Hello } from '../wire/messages.js'
import { memoryOf } from '../wire/view.js'
import { type DialContext, OutgoingConnection, streamEndOf } from './outgoing-connection.js'
import type { OutcomeListener } from './types.js'

/** Something on its way: the bytes, and who hears of its acknowledgement. The same for all members it goes to. */
export interface LaneItem {
  readonly frame: Uint8Array
  /** The rest of the frame, if it lies elsewhere, in pieces. */
  readonly body: readonly Uint8Array[] | undefined
  /** Of all of it. */
  readonly bytes: number
  readonly topic: string
  readonly ack: 0 | 1 | 2
  readonly told: OutcomeListener | undefined
  /** Whether it goes to one member only. */
  readonly alone: boolean
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
/**
 * Messages somebody waits for that go out together, to several members. With a single one half of what is under way is:
 * it works on that half while we make the other, and neither falls asleep, which takes longer than the rest. Several
 * overlap as it is, and to wake each of them more often costs more than it brings.
 */
const AWAITED_TOGETHER = 16
const NO_CHUNKS: readonly FrameChunk[] = []
const NONE_EXCEPTED: ReadonlyMap<number, 'rejected' | 'deferred'> = new Map()

/** Something that waits, since when, and what it lies in, which is held: its frame, and its body if it has one. */
interface Waiting {
  readonly item: LaneItem
  readonly at: number
  readonly chunk: FrameChunk | undefined
  readonly bodyChunks: readonly FrameChunk[]
}

/** Written and not acknowledged; without the frame, whose memory is free once it is written. */
interface Unacknowledged {
  readonly number: number
  readonly ack: LaneItem['ack']
  readonly told: LaneItem['told']
  /** What has been told. */
  heard: 'nothing' | 'received' | 'all'
  after: Unacknowledged | undefined
}

/**
 * One ordered queue to one member and the connection that empties it, opened on the first frame and again, with
 * back-off, whenever it broke while frames wait (`persistent`: always). Frames on a broken connection are not repeated:
 * those that wanted an acknowledgement settle as `disappeared`, the others are told by their topic.
 */
export class Lane {
  readonly #context: DialContext
  readonly #member: Member
  readonly #purpose: Hello['purpose']
  readonly #handlers: LaneHandlers
  #connection: OutgoingConnection | undefined
  #queue: Waiting[] = []
  #head = 0
  /** Links, as they come and go all the time; see Deadlines. */
  #first: Unacknowledged | undefined
  #last: Unacknowledged | undefined
  #unacknowledged = 0
  /** Of those the ones that have been written since the last flush of ours. */
  #gathered = 0
  #sent = 0
  #topics = new Set<string>()
  #lastTopic = ''
  #backOff: Timer | undefined
  #backOffMs = BACK_OFF_MIN_MS
  /** Messages were lost and the owner can only make up for them over a new connection. */
  #owing = false
  #closed = false

  constructor(context: DialContext, member: Member, purpose: Hello['purpose'], handlers: LaneHandlers) {
    this.#context = context
    this.#member = member
    this.#purpose = purpose
    this.#handlers = handlers
  }

  get queued(): number {
    return this.#queue.length - this.#head
  }

  get unacknowledged(): number {
    return this.#unacknowledged
  }

  get open(): boolean {
    return this.#connection?.welcome !== undefined && !this.#connection.closed
  }

  /** Age of the oldest waiting frame, to a fraction of a second. */
  get waitingMs(): number {
    const oldest = this.#queue[this.#head]
    return oldest === undefined ? 0 : recentOf(this.#context.clock) - oldest.at
  }

  /** Hands a frame over if it leaves at once; `false`: it has to wait. */
  pass(item: LaneItem): boolean {
    if (this.queued > 0 || !this.#takes()) return false
    this.#write(item)
    return true
  }

  put(item: LaneItem): void {
    if (!this.pass(item)) this.wait(item)
  }

  /** Keeps a frame until it can leave. */
  wait(item: LaneItem): void {
    const { frame, body } = item
    const bodyChunks = body === undefined ? NO_CHUNKS : body.flatMap(piece => frames.hold(memoryOf(piece)) ?? [])
    const { clock } = this.#context
    const at = this.queued === 0 ? clock.monotonic() : recentOf(clock)
    this.#queue.push({ item, at, chunk: frames.hold(memoryOf(frame)), bodyChunks })
    this.connect()
  }

  /** Opens the connection unless it is open, being opened or backing off. */
  connect(): void {
    if (this.#connection !== undefined || this.#backOff !== undefined || this.#closed) return
    const { dialTimeoutMs } = this.#context
    const connection = new OutgoingConnection(this.#context, this.#member, this.#purpose, dialTimeoutMs, result => {
      if (this.#connection !== connection) return
      if (result.kind === 'welcome' && result.welcome.member.id === this.#member.id) return this.adopt(connection)
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
    for (const one of waiting) release(one)
    this.#abandon()
    for (const { item } of waiting) item.told?.(this.#member, 'disappeared', true)
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
    const { ack, told } = item
    if (ack === 0) return
    const entry: Unacknowledged = { number: this.#sent, ack, told, heard: 'nothing', after: undefined }
    if (this.#last === undefined) this.#first = entry
    else this.#last.after = entry
    this.#last = entry
    this.#unacknowledged += 1
    // Not all of a turn's at the end: the member works on the first while we make the next.
    this.#gathered += 1
    if (item.alone ? 2 * this.#gathered < this.#unacknowledged : this.#gathered < AWAITED_TOGETHER) return
    this.#gathered = 0
    this.#connection?.flush()
  }

  #pump(): void {
    while (this.queued > 0 && this.#takes()) {
      const waiting = this.#queue[this.#head] as Waiting
      const { item } = waiting
      this.#head += 1
      if (this.#head >= 1_024 && this.#head * 2 >= this.#queue.length) {
        this.#queue = this.#queue.slice(this.#head)
        this.#head = 0
      }
      this.#write(item)
      release(waiting)
      this.#handlers.dequeued(item.bytes)
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
    const settled = this.#settled(received, applied)
    const ahead = this.#ahead(received)
    for (let entry = settled; entry !== undefined; ) {
      const { after } = entry
      // What is over and old must not keep what is young.
      entry.after = undefined
      if (entry.heard !== 'all') entry.told?.(this.#member, outcomeOf(entry, applied, excepted), true)
      entry = after
    }
    for (const entry of ahead) entry.told?.(this.#member, outcomeOf(entry, applied, excepted), entry.ack === 1)
    this.#pump()
  }

  /** Those that nothing more will be heard of, up to the first of which there will: they are no longer ours. */
  #settled(received: number, applied: number): Unacknowledged | undefined {
    const first = this.#first
    let last: Unacknowledged | undefined
    for (let entry = first; entry !== undefined && entry.number <= received; entry = entry.after) {
      if (entry.number > applied && entry.ack === 2) break
      last = entry
      this.#unacknowledged -= 1
    }
    if (last === undefined) return undefined
    this.#first = last.after
    if (this.#first === undefined) this.#last = undefined
    last.after = undefined
    return first
  }

  /** Those of the others that have been received, which has not been told. */
  #ahead(received: number): readonly Unacknowledged[] {
    if (this.#first === undefined || this.#first.number > received) return []
    const ahead: Unacknowledged[] = []
    for (let entry: Unacknowledged | undefined = this.#first; entry !== undefined; entry = entry.after) {
      if (entry.number > received) break
      if (entry.heard !== 'nothing') continue
      entry.heard = entry.ack === 1 ? 'all' : 'received'
      ahead.push(entry)
    }
    return ahead
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
    const abandoned = this.#first
    this.#first = undefined
    this.#last = undefined
    this.#unacknowledged = 0
    this.#gathered = 0
    this.#sent = 0
    this.#topics = new Set()
    this.#lastTopic = ''
    for (let entry = abandoned; entry !== undefined; entry = entry.after) {
      if (entry.heard !== 'all') entry.told?.(this.#member, 'disappeared', true)
    }
  }
}

/** What it lies in may be written again. */
function release({ chunk, bodyChunks }: Waiting): void {
  if (chunk !== undefined) chunk.holders--
  if (bodyChunks.length > 0) letGo(bodyChunks)
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
