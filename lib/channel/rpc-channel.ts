import { ProtocolError } from '../errors.js'
import type { Member, MemberId } from '../membership/member.js'
import type { Clock } from '../runtime/runtime.js'
import { decodeValue, encodeValue } from '../wire/value-codec.js'
import type { DeliveryOutcome, Topic, TopicListener } from './topic.js'

/** How a request is sent. */
export interface RpcRequestOptions {
  /** Who is asked; unset: every member. */
  readonly to?: readonly MemberId[]
  /** How many answers without error are waited for: one, more than half of those asked, or each. Default `all`. */
  readonly mode?: 'first' | 'majority' | 'all'
  /** Milliseconds until the result is what has come by then. Default 3,000. */
  readonly timeoutMs?: number
  /** Stops the wait; the members asked are not told. */
  readonly signal?: AbortSignal
}

/** One member's answer: a value, or the message of the error its handler threw. */
export interface RpcReply {
  /** Who answered. */
  readonly member: Member
  /** What its handler returned or its promise gave; unset with an `error`. */
  readonly value?: unknown
  /** The message of what was thrown; unset after success. */
  readonly error?: string
}

/** What came of a request. */
export interface RpcResult {
  /** Whether as many answered without error as the mode asks for, and at least one. */
  readonly complete: boolean
  /** In the order they came, errors included; what came after the end of the wait is missing. */
  readonly replies: readonly RpcReply[]
}

/**
 * Answers requests, at most 4,096 at once. Throwing, a rejected promise, or a value that is too large or cannot be
 * encoded becomes the reply's `error`.
 */
export type RpcHandler = (request: unknown, from: Member) => unknown

interface Pending {
  readonly asked: Set<MemberId>
  readonly needed: number
  readonly replies: RpcReply[]
  readonly finish: () => void
}

const TIMEOUT_MS = 3_000
/** Requests waiting for answers, and answers being made, at once. */
const OUTSTANDING_MAX = 4_096

/** Request and response over a topic, after Tribes' RpcChannel. Values are encoded as `Channel.send` does. */
export class RpcChannel {
  readonly #clock: Clock
  readonly #topic: Topic
  readonly #pending = new Map<number, Pending>()
  #handler: RpcHandler | undefined
  #next = 0
  #answering = 0

  constructor(clock: Clock, open: (listener: TopicListener) => Topic, handler: RpcHandler | undefined) {
    this.#clock = clock
    this.#handler = handler
    this.#topic = open({
      receive: (payload, from) => this.#receive(payload, from),
      memberDisappeared: member => {
        for (const pending of [...this.#pending.values()]) this.#without(pending, member.id)
      },
    })
  }

  /** Answers requests from now on, instead of the handler before. */
  handle(handler: RpcHandler): void {
    this.#handler = handler
  }

  /**
   * Asks, and resolves when enough have answered, nobody is left to answer, or the time is up; at once and incomplete
   * when nobody is there or 4,096 requests are under way. Rejects with the signal's reason when aborted.
   *
   * @throws {MessageTooLargeError} when the encoded request does not fit into a frame
   * @throws {InvalidStateError} when the channel is not running
   */
  async request(request: unknown, options: RpcRequestOptions = {}): Promise<RpcResult> {
    const { mode = 'all', timeoutMs = TIMEOUT_MS, signal, to } = options
    signal?.throwIfAborted()
    const asked = this.#topic.members.filter(({ id }) => !to || to.includes(id)).map(({ id }) => id)
    const total = asked.length
    const needed = mode === 'first' ? Math.min(1, total) : mode === 'majority' ? Math.floor(total / 2) + 1 : total
    if (total === 0 || this.#pending.size >= OUTSTANDING_MAX) return { complete: false, replies: [] }
    const id = this.#next
    this.#next = (this.#next + 1) % 0x1_0000_0000
    return await new Promise<RpcResult>((resolve, reject) => {
      const replies: RpcReply[] = []
      const end = (): void => {
        timer.cancel()
        signal?.removeEventListener('abort', abort)
        this.#pending.delete(id)
      }
      const finish = (): void => {
        end()
        resolve({ complete: replies.filter(reply => reply.error === undefined).length >= needed, replies })
      }
      const abort = (): void => {
        end()
        reject(signal?.reason)
      }
      const timer = this.#clock.setTimer(timeoutMs, finish)
      signal?.addEventListener('abort', abort, { once: true })
      const pending = { asked: new Set(asked), needed, replies, finish }
      this.#pending.set(id, pending)
      try {
        this.#topic.send(encodeValue(['request', id, request]), { to: asked, ack: 'received' }, receipt => {
          for (const { member, reason } of receipt.faulty) if (reason !== 'timeout') this.#without(pending, member.id)
        })
      } catch (error) {
        end()
        reject(error)
      }
    })
  }

  /** Answers no more and frees the name; requests under way resolve with what has come. */
  close(): void {
    this.#topic.close()
    for (const pending of [...this.#pending.values()]) pending.finish()
  }

  #receive(payload: Uint8Array, from: Member): DeliveryOutcome {
    let message: unknown
    try {
      message = decodeValue(payload)
    } catch (error) {
      if (error instanceof ProtocolError) return 'rejected'
      throw error
    }
    if (!Array.isArray(message) || message.length !== 3) return 'rejected'
    const [kind, id, value] = message as [unknown, unknown, unknown]
    if (typeof id !== 'number') return 'rejected'
    if (kind === 'request') return this.#answer(id, value, from)
    if (kind !== 'reply' && kind !== 'error') return 'rejected'
    const pending = this.#pending.get(id)
    if (!pending?.asked.has(from.id)) return 'applied'
    const error = typeof value === 'string' ? value : 'unreadable'
    pending.replies.push(kind === 'reply' ? { member: from, value } : { member: from, error })
    this.#without(pending, from.id)
    return 'applied'
  }

  #answer(id: number, request: unknown, from: Member): DeliveryOutcome {
    const handler = this.#handler
    if (!handler || this.#answering >= OUTSTANDING_MAX) return 'rejected'
    this.#answering++
    const reply = (kind: 'reply' | 'error', value: unknown): void => {
      this.#topic.send(encodeValue([kind, id, value]), { to: [from.id] })
    }
    const fail = (error: unknown): void => {
      try {
        reply('error', error instanceof Error ? error.message : String(error))
      } catch {
        // The channel is over, and so is the asker's wait.
      }
    }
    // The handler may take its time; the chain may not.
    Promise.resolve()
      .then(() => handler(request, from))
      .then(value => reply('reply', value))
      .catch(fail)
      .finally(() => this.#answering--)
    return 'applied'
  }

  #without(pending: Pending, id: MemberId): void {
    if (!pending.asked.delete(id)) return
    const good = pending.replies.filter(reply => reply.error === undefined).length
    if (good >= pending.needed || pending.asked.size === 0) pending.finish()
  }
}
