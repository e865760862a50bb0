import { custom, type RulesOf, resolve } from '../../options.js'
import { Prompt } from '../../transport/prompt.js'
import { type ChannelMessage, type Interceptor, type InterceptorContext, payloadBytes } from '../interceptor.js'

/** Bounds of the background queue. */
export interface DispatchOptions {
  /** Messages waiting at most. Default 10,000. */
  readonly messagesMax?: number
  /** Payload bytes waiting at most; a single message always has room. Default 67,108,864 (64 MiB). */
  readonly bytesMax?: number
}

const BOUND_EXPECTED = 'a number of at least 1'

const RULES: RulesOf<Required<DispatchOptions>> = {
  messagesMax: custom(10_000, BOUND_EXPECTED, isBound),
  bytesMax: custom(64 * 1_048_576, BOUND_EXPECTED, isBound),
}

function isBound(value: unknown): boolean {
  return typeof value === 'number' && value >= 1
}

/** The dispatch interceptor, with its counters. */
export interface DispatchInterceptor extends Interceptor {
  /** Messages waiting now. */
  readonly queued: number
  /** Messages turned away since the start because the queue was full. */
  readonly overflowed: number
}

/**
 * Lets nobody wait within `send`: a message is passed on at once, which only hands it to queues and sockets that take
 * it without waiting. What is sent while another is being passed on, as by one who is told within the call what became
 * of his message and sends again, is passed on later: when the code that sends is done, but a second time in one turn
 * of the event loop only at its end, so that sending again and again starves nobody. Always in the order of the calls,
 * unlike Tribes' MessageDispatchInterceptor whose threads overtake each other. A message that finds the queue full is
 * settled as `queue-full` for each of its members; stopping passes on what waits. Make one for each channel.
 *
 * @throws {InvalidOptionError} which option, what is allowed, what came
 */
export function dispatch(options: DispatchOptions = {}): DispatchInterceptor {
  const { messagesMax, bytesMax } = resolve(RULES, options)
  return new Dispatch(messagesMax, bytesMax)
}

class Dispatch implements DispatchInterceptor {
  readonly name = 'dispatch'
  readonly takesRest = true
  overflowed = 0
  readonly #messagesMax: number
  readonly #bytesMax: number
  #prompt: Prompt | undefined
  #queue: ChannelMessage[] = []
  #bytes = 0
  /** The rest of the chain, the same for all messages. */
  #pass: (message: ChannelMessage) => void = () => {}
  #isPassing = false

  constructor(messagesMax: number, bytesMax: number) {
    this.#messagesMax = messagesMax
    this.#bytesMax = bytesMax
  }

  get queued(): number {
    return this.#queue.length
  }

  start({ clock }: InterceptorContext): void {
    this.#prompt = new Prompt(clock, () => this.#drain())
  }

  stop(): void {
    this.#prompt = undefined
    this.#drain()
  }

  send(message: ChannelMessage, next: (message: ChannelMessage) => void): void {
    if (this.#prompt === undefined) return next(message)
    if (this.#isPassing || this.#queue.length > 0) return this.#wait(this.#prompt, message, next)
    this.#isPassing = true
    try {
      next(message)
    } finally {
      this.#isPassing = false
    }
  }

  #wait(prompt: Prompt, message: ChannelMessage, next: (message: ChannelMessage) => void): void {
    const size = payloadBytes(message)
    const queue = this.#queue
    const isFull = queue.length >= this.#messagesMax || (queue.length > 0 && this.#bytes + size > this.#bytesMax)
    if (isFull) {
      this.overflowed++
      for (const member of message.to) message.settled?.(member, 'queue-full')
      return
    }
    // Its bytes are only there for the call.
    const { payload, rest } = message
    queue.push({ ...message, payload: Uint8Array.from(payload), rest: rest?.map(piece => Uint8Array.from(piece)) })
    this.#pass = next
    this.#bytes += size
    prompt.ask()
  }

  #drain(): void {
    const waiting = this.#queue
    this.#queue = []
    this.#bytes = 0
    this.#isPassing = true
    let passed = 0
    try {
      for (const message of waiting) {
        passed++
        this.#pass(message)
      }
    } finally {
      this.#isPassing = false
      // One that fails takes no others with it.
      if (passed < waiting.length) {
        this.#queue = [...waiting.slice(passed), ...this.#queue]
        this.#bytes = this.#queue.reduce((sum, message) => sum + payloadBytes(message), 0)
        this.#prompt?.ask()
      }
    }
  }
}
