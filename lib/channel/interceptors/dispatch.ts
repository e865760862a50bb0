import { InvalidOptionError } from '../../errors.js'
import { Prompt } from '../../transport/prompt.js'
import { type ChannelMessage, type Interceptor, payloadBytes } from '../interceptor.js'

/** Bounds of the background queue. */
export interface DispatchOptions {
  /** Messages waiting at most. Default 10,000. */
  readonly messagesMax?: number
  /** Payload bytes waiting at most; a single message always has room. Default 67,108,864 (64 MiB). */
  readonly bytesMax?: number
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
 * @throws {InvalidOptionError} when a bound is below 1
 */
export function dispatch(options: DispatchOptions = {}): DispatchInterceptor {
  const { messagesMax = 10_000, bytesMax = 64 * 1_048_576 } = options
  if (!(messagesMax >= 1)) throw new InvalidOptionError('messagesMax', 'at least 1', messagesMax)
  if (!(bytesMax >= 1)) throw new InvalidOptionError('bytesMax', 'at least 1', bytesMax)
  let prompt: Prompt | undefined
  let queue: ChannelMessage[] = []
  /** The rest of the chain, the same for all messages. */
  let pass: (message: ChannelMessage) => void = () => {}
  let bytes = 0
  let overflowed = 0
  let isPassing = false

  const drain = (): void => {
    const waiting = queue
    queue = []
    bytes = 0
    isPassing = true
    let passed = 0
    try {
      for (const message of waiting) {
        passed++
        pass(message)
      }
    } finally {
      isPassing = false
      // One that fails takes no others with it.
      if (passed < waiting.length) {
        queue = [...waiting.slice(passed), ...queue]
        bytes = queue.reduce((sum, message) => sum + payloadBytes(message), 0)
        prompt?.ask()
      }
    }
  }
  return {
    name: 'dispatch',
    takesRest: true,
    get queued() {
      return queue.length
    },
    get overflowed() {
      return overflowed
    },
    start(context) {
      prompt = new Prompt(context.clock, drain)
    },
    stop() {
      prompt = undefined
      drain()
    },
    send(message, next) {
      if (!prompt) return next(message)
      if (!isPassing && queue.length === 0) {
        isPassing = true
        try {
          return next(message)
        } finally {
          isPassing = false
        }
      }
      const size = payloadBytes(message)
      const full = queue.length >= messagesMax || (queue.length > 0 && bytes + size > bytesMax)
      if (full) {
        overflowed++
        for (const member of message.to) message.settled?.(member, 'queue-full')
        return
      }
      // Its bytes are only there for the call.
      const { payload, rest } = message
      queue.push({ ...message, payload: Uint8Array.from(payload), rest: rest?.map(piece => Uint8Array.from(piece)) })
      pass = next
      bytes += size
      prompt.ask()
    },
  }
}
