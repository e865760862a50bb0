import type { Member } from '../membership/member.js'
import type { StreamEnd } from '../runtime/runtime.js'
import type { Frame } from '../wire/messages.js'
import { Lane, type LaneItem } from './lane.js'
import type { DialContext, OutgoingConnection } from './outgoing-connection.js'

/** The bounds of one member's queue. */
export interface MemberQueueOptions {
  readonly poolSize: number
  readonly queueLimitBytes: number
  readonly queueAgeMs: number
  readonly dirtyKeyLimit: number
}

/** What a member queue tells the sender. */
export interface MemberQueueHandlers {
  ended(member: Member, end: StreamEnd): void
  control(frame: Frame, member: Member): void
  refill(member: Member, topic: string, keys: ReadonlySet<string>, lost: boolean): void
}

interface DirtyTopic {
  keys: Set<string>
  /** More keys than are remembered: every later message with a key stays behind as well. */
  full: boolean
  /** Messages were lost whose keys nobody noted. */
  lost: boolean
}

const CONTROL_QUEUE_LIMIT = 256
const TOPIC_LIMIT = 1_024

/**
 * All connections to one member: control, `poolSize` data lanes chosen by key, and bulk.
 *
 * Invariant: what waits is at most `queueLimitBytes` (or one message) per class of traffic. Beyond that a message is
 * not queued: its key is remembered, and while a key is remembered its later messages stay behind too, so that what
 * `refill` sends last is the newest.
 */
export class MemberQueue {
  readonly member: Member
  readonly #context: DialContext
  readonly #options: MemberQueueOptions
  readonly #handlers: MemberQueueHandlers
  readonly #control: Lane
  readonly #data: Lane[]
  readonly #bulk: Lane
  readonly #dirty = new Map<string, DirtyTopic>()
  #dataBytes = 0
  #bulkBytes = 0
  #closed = false

  constructor(member: Member, context: DialContext, options: MemberQueueOptions, handlers: MemberQueueHandlers) {
    this.member = member
    this.#context = context
    this.#options = options
    this.#handlers = handlers
    this.#control = this.#lane('control', () => {})
    this.#bulk = this.#lane('bulk', bytes => {
      this.#bulkBytes -= bytes
    })
    this.#data = Array.from({ length: options.poolSize }, () =>
      this.#lane('data', bytes => {
        this.#dataBytes -= bytes
      }),
    )
  }

  /** Whether nothing is taken any more. */
  get closed(): boolean {
    return this.#closed
  }

  get queuedBytes(): number {
    return this.#dataBytes + this.#bulkBytes
  }

  get dirtyKeys(): number {
    let count = 0
    for (const { keys } of this.#dirty.values()) count += keys.size
    return count
  }

  get unacknowledged(): number {
    return this.#data.reduce((sum, lane) => sum + lane.unacknowledged, this.#bulk.unacknowledged)
  }

  get controlOpen(): boolean {
    return this.#control.open
  }

  adoptControl(connection: OutgoingConnection): void {
    this.#control.adopt(connection)
  }

  connectControl(): void {
    this.#control.connect()
  }

  /** `false`: too much is waiting, or the member is gone. */
  putControl(frame: Uint8Array): boolean {
    if (this.#closed || this.#control.queued >= CONTROL_QUEUE_LIMIT) return false
    this.#control.put({ frame, body: undefined, bytes: frame.length, topic: '', ack: 0, told: undefined, alone: true })
    return true
  }

  /** `false`: not queued; the key, if there is one, is remembered for `refill`. */
  put(item: LaneItem, key: string | undefined, bulk: boolean): boolean {
    const lane = bulk ? this.#bulk : this.#laneOf(key)
    if (key !== undefined && this.#isDirty(item.topic, key)) return this.#overflow(item.topic, key)
    if (lane.pass(item)) return true
    const bytes = bulk ? this.#bulkBytes : this.#dataBytes
    const tooMuch = bytes > 0 && bytes + item.bytes > this.#options.queueLimitBytes
    if (tooMuch || lane.waitingMs > this.#options.queueAgeMs) {
      return this.#overflow(item.topic, key)
    }
    if (bulk) this.#bulkBytes += item.bytes
    else this.#dataBytes += item.bytes
    lane.wait(item)
    return true
  }

  close(graceful: boolean): void {
    this.#closed = true
    for (const lane of [...this.#data, this.#bulk, this.#control]) lane.close(graceful)
    this.#dirty.clear()
    this.#dataBytes = 0
    this.#bulkBytes = 0
  }

  #lane(purpose: 'control' | 'data' | 'bulk', dequeued: (bytes: number) => void): Lane {
    return new Lane(this.#context, this.member, purpose, {
      dequeued,
      empty: () => this.#refill(),
      broken: (end, topics) => {
        for (const topic of topics) this.#dirtyTopic(topic).lost = true
        this.#handlers.ended(this.member, end)
      },
      control: frame => this.#handlers.control(frame, this.member),
    })
  }

  #laneOf(key: string | undefined): Lane {
    const index = key === undefined || this.#data.length === 1 ? 0 : hash(key) % this.#data.length
    return this.#data[index] as Lane
  }

  #isDirty(topic: string, key: string): boolean {
    if (this.#dirty.size === 0) return false
    const dirty = this.#dirty.get(topic)
    return dirty !== undefined && (dirty.full || dirty.keys.has(key))
  }

  #overflow(topic: string, key: string | undefined): false {
    if (key === undefined) return false
    const dirty = this.#dirtyTopic(topic)
    if (dirty.keys.size < this.#options.dirtyKeyLimit) dirty.keys.add(key)
    else if (!dirty.keys.has(key)) dirty.full = true
    return false
  }

  #dirtyTopic(topic: string): DirtyTopic {
    const known = this.#dirty.get(topic)
    if (known !== undefined) return known
    const dirty: DirtyTopic = { keys: new Set(), full: false, lost: false }
    // Topics are named by the application; past any sane number of them their keys are not remembered.
    if (this.#dirty.size < TOPIC_LIMIT) this.#dirty.set(topic, dirty)
    return dirty
  }

  #refill(): void {
    if (this.#dirty.size === 0 || this.#closed || this.#bulk.queued > 0) return
    if (this.#data.some(lane => lane.queued > 0)) return
    const topics = [...this.#dirty]
    this.#dirty.clear()
    for (const [topic, { keys, full, lost }] of topics) this.#handlers.refill(this.member, topic, keys, full || lost)
  }
}

/** FNV-1a over UTF-16 units: keys need spreading, not secrecy. */
function hash(key: string): number {
  let value = 0x811c9dc5
  for (let index = 0; index < key.length; index += 1) value = Math.imul(value ^ key.charCodeAt(index), 0x01000193)
  return value >>> 0
}
