import { ProtocolError } from '../errors.js'
import type { Clock, Endpoint, Network, StreamEnd, Timer } from '../runtime/runtime.js'
import { encodeFrame } from '../wire/codec.js'
import type { Frame, Hello, Welcome } from '../wire/messages.js'
import { Connection, type ConnectionEnd } from './connection.js'
import type { DialResult } from './types.js'

/** An open, welcomed connection of ours; its owner is told through the handlers last given. */
export interface OutgoingHandlers {
  frame(frame: Frame): void
  drained(): void
  closed(end: ConnectionEnd): void
}

/** What every connection of ours is made with. */
export interface DialContext {
  readonly clock: Clock
  readonly network: Network
  readonly frameLimitBytes: number
  readonly dialTimeoutMs: number
  hello(purpose: Hello['purpose']): Hello
}

const NOBODY: OutgoingHandlers = { frame() {}, drained() {}, closed() {} }

/** The dialling side of a connection: hello out, welcome or refusal back, then frames. */
export class OutgoingConnection {
  readonly #context: DialContext
  readonly #connection: Connection
  #answered: ((result: DialResult) => void) | undefined
  #handlers: OutgoingHandlers = NOBODY
  #timer: Timer | undefined
  /** Whether the stream was connected: something accepts at that address. */
  opened = false
  welcome: Welcome | undefined
  closed = false

  /** `answered` is called exactly once, never within the constructor. */
  constructor(
    context: DialContext,
    endpoint: Endpoint,
    purpose: Hello['purpose'],
    timeoutMs: number,
    answered: (result: DialResult) => void,
  ) {
    this.#context = context
    this.#answered = answered
    this.#connection = new Connection(context.clock, context, {
      opened: () => {
        this.opened = true
      },
      frame: frame => this.#frame(frame),
      drained: () => this.#handlers.drained(),
      closed: end => this.#closed(end),
    })
    this.#connection.attach(context.network.connect(endpoint, timeoutMs, this.#connection.streamHandlers))
    this.#connection.write(encodeFrame(context.hello(purpose)))
    this.#timer = context.clock.setTimer(timeoutMs, () => this.#timedOut())
  }

  get congested(): boolean {
    return this.#connection.congested
  }

  own(handlers: OutgoingHandlers): void {
    this.#handlers = handlers
  }

  write(frame: Uint8Array): void {
    this.#connection.write(frame)
  }

  /** See {@link Connection.flush}. */
  flush(): void {
    this.#connection.flush()
  }

  /** Sends what is written, then closes; cut off if the peer does not close within a second. */
  end(): void {
    if (this.closed) return
    this.#handlers = NOBODY
    this.#connection.end()
    this.#timer?.cancel()
    this.#timer = this.#context.clock.setTimer(1_000, () => this.destroy())
  }

  destroy(): void {
    this.#connection.destroy()
  }

  #timedOut(): void {
    this.#answer({ kind: 'failed', end: 'timeout' })
    this.destroy()
  }

  #frame(frame: Frame): void {
    if (this.welcome !== undefined) return this.#handlers.frame(frame)
    if (frame.kind === 'welcome') {
      this.welcome = frame
      this.#timer?.cancel()
      this.#answer({ kind: 'welcome', welcome: frame })
    } else if (frame.kind === 'refused') {
      this.#answer({ kind: 'refused', reason: frame.reason, detail: frame.detail })
      this.destroy()
    } else {
      throw new ProtocolError(`${frame.kind} instead of a welcome`)
    }
  }

  #answer(result: DialResult): void {
    const answered = this.#answered
    this.#answered = undefined
    answered?.(result)
  }

  #closed(end: ConnectionEnd): void {
    this.closed = true
    this.#timer?.cancel()
    this.#answer({ kind: 'failed', end })
    this.#handlers.closed(end)
  }
}

/** How a connection's end is told to those who only know streams. */
export function streamEndOf(end: ConnectionEnd): StreamEnd {
  return end === 'protocol' ? 'reset' : end
}
