import { ListenError, ProtocolError } from '../errors.js'
import type { Member, MemberId } from '../membership/member.js'
import type { Clock, Endpoint, Listener, Network, Stream, StreamHandlers, Timer } from '../runtime/runtime.js'
import { encodeFrame } from '../wire/codec.js'
import { DEFAULT_FRAME_LIMIT_BYTES } from '../wire/frame.js'
import type { ConnectionPurpose, Frame, Hello } from '../wire/messages.js'
import { Connection, type ConnectionEnd } from './connection.js'
import type { ReceiverHandlers } from './types.js'

/** Where and how much the receiver accepts. */
export interface ReceiverOptions {
  /** IP address to listen on; `auto`: the first IPv4 address that is not internal, else 127.0.0.1. Default `auto`. */
  readonly address?: string
  /** First port tried; 0: the system's choice. Default 4000, as Tribes. */
  readonly port?: number
  /** How many ports are tried, from `port` up. Default 100, as Tribes. */
  readonly autoBind?: number
  /** Largest frame accepted, in bytes. Default 1 MiB. */
  readonly frameLimitBytes?: number
  /** Connections open at a time. Default 1,024. */
  readonly connectionLimit?: number
  /** Milliseconds in which a connection must introduce itself. Default 2,000. */
  readonly helloTimeoutMs?: number
}

/** Counters since the start; `connections` and `strangers` are the present numbers. */
export interface ReceiverStats {
  connections: number
  /** Connections that have not introduced themselves. */
  strangers: number
  accepted: number
  refused: number
  messages: number
  messageBytes: number
  acks: number
  /** Connections closed because of bytes the protocol does not allow. */
  badFrames: number
  /** Connections closed because they did not introduce themselves in time, or one too many. */
  dropped: number
}

const STRANGER_LIMIT = 32
const REPLY_LIMIT_BYTES = 1_048_576
const LINGER_MS = 1_000
const EXCEPTION_LIMIT = 65_536

/** Accepts connections, answers handshakes and echoes, numbers and acknowledges messages (Tribes' ChannelReceiver). */
export class ChannelReceiver {
  readonly #clock: Clock
  readonly #network: Network
  readonly #options: Required<ReceiverOptions>
  readonly #handlers: ReceiverHandlers
  readonly #connections = new Set<AcceptedConnection>()
  #listener: Listener | undefined
  #strangers = 0
  readonly #stats = { accepted: 0, refused: 0, messages: 0, messageBytes: 0, acks: 0, badFrames: 0, dropped: 0 }

  constructor(
    { clock, network }: { readonly clock: Clock; readonly network: Network },
    options: ReceiverOptions,
    handlers: ReceiverHandlers,
  ) {
    this.#clock = clock
    this.#network = network
    this.#handlers = handlers
    this.#options = {
      address: 'auto',
      port: 4_000,
      autoBind: 100,
      frameLimitBytes: DEFAULT_FRAME_LIMIT_BYTES,
      connectionLimit: 1_024,
      helloTimeoutMs: 2_000,
      ...options,
    }
  }

  /** Where it listens, once started. */
  get endpoint(): Endpoint | undefined {
    return this.#listener?.endpoint
  }

  /**
   * Listens on the first free port of the range.
   *
   * @throws {ListenError} when no port of the range is free or the address is not this host's
   */
  async start(): Promise<Endpoint> {
    const { address, port, autoBind } = this.#options
    const host = address === 'auto' ? this.#ownAddress() : address
    const last = port === 0 ? 0 : Math.min(65_535, port + Math.max(1, autoBind) - 1)
    let cause: unknown
    for (let tried = port; tried <= last; tried += 1) {
      try {
        this.#listener = await this.#network.listen({ host, port: tried }, stream => this.#accept(stream))
        return this.#listener.endpoint
      } catch (error) {
        if ((error as { code?: string }).code !== 'EADDRINUSE') {
          throw new ListenError(`Cannot listen on ${host}:${tried}: ${(error as Error).message}`, error)
        }
        cause = error
      }
    }
    throw new ListenError(`No free port on ${host} from ${port} to ${last}`, cause)
  }

  /** Stops listening and closes every accepted connection. */
  stop(): void {
    this.#listener?.close()
    this.#listener = undefined
    for (const connection of this.#connections) connection.destroy()
  }

  /** Closes the connections a member has made to us. */
  disconnect(id: MemberId): void {
    for (const connection of this.#connections) if (connection.member?.id === id) connection.destroy()
  }

  stats(): ReceiverStats {
    return { connections: this.#connections.size, strangers: this.#strangers, ...this.#stats }
  }

  #ownAddress(): string {
    const outside = this.#network.addresses().find(({ family, internal }) => family === 'IPv4' && !internal)
    return outside?.address ?? '127.0.0.1'
  }

  #accept(stream: Stream): StreamHandlers {
    const stats = this.#stats
    stats.accepted += 1
    const full = this.#strangers >= STRANGER_LIMIT || this.#connections.size >= this.#options.connectionLimit
    this.#strangers += 1
    const connection = new AcceptedConnection(this.#clock, this.#options, this.#handlers, stats, stream, {
      introduced: () => {
        this.#strangers -= 1
      },
      closed: introduced => {
        if (!introduced) this.#strangers -= 1
        this.#connections.delete(connection)
      },
    })
    this.#connections.add(connection)
    if (full) connection.refuseForLimit()
    return connection.streamHandlers
  }
}

interface AcceptedHandlers {
  introduced(): void
  closed(introduced: boolean): void
}

class AcceptedConnection {
  readonly #clock: Clock
  readonly #handlers: ReceiverHandlers
  readonly #stats: Omit<ReceiverStats, 'connections' | 'strangers'>
  readonly #remote: Endpoint
  readonly #connection: Connection
  readonly #owner: AcceptedHandlers
  #timer: Timer | undefined
  #state: 'stranger' | 'welcomed' | 'refused' = 'stranger'
  #purpose: ConnectionPurpose = 'probe'
  #received = 0
  #exceptions: { number: number; reason: 'rejected' | 'deferred' }[] = []
  #ackWanted = false
  member: Member | undefined

  constructor(
    clock: Clock,
    options: Required<ReceiverOptions>,
    handlers: ReceiverHandlers,
    stats: Omit<ReceiverStats, 'connections' | 'strangers'>,
    stream: Stream,
    owner: AcceptedHandlers,
  ) {
    this.#clock = clock
    this.#handlers = handlers
    this.#stats = stats
    this.#remote = stream.remote
    this.#owner = owner
    this.#connection = new Connection(clock, options, {
      frame: frame => this.#frame(frame),
      read: () => this.#sendAck(),
      drained: () => this.#sendAck(),
      closed: end => this.#closed(end),
    })
    this.#connection.attach(stream)
    this.#timer = clock.setTimer(options.helloTimeoutMs, () => this.#drop())
  }

  get streamHandlers(): StreamHandlers {
    return this.#connection.streamHandlers
  }

  destroy(): void {
    this.#connection.destroy()
  }

  refuseForLimit(): void {
    this.#stats.dropped += 1
    this.#refuse({ kind: 'refused', reason: 'limit', detail: 'Too many connections' })
  }

  #drop(): void {
    if (this.#state === 'stranger') this.#stats.dropped += 1
    this.destroy()
  }

  #frame(frame: Frame): void {
    if (this.#state === 'refused') return
    if (this.#state === 'stranger') {
      if (frame.kind !== 'hello') throw new ProtocolError('The first frame is not a hello')
      return this.#hello(frame)
    }
    if (frame.kind === 'message') return this.#message(frame)
    if (frame.kind === 'echo') return this.#echo(frame.nonce)
    if (frame.kind !== 'heartbeat' && frame.kind !== 'goodbye') throw new ProtocolError(`Unexpected ${frame.kind}`)
    if (this.#purpose === 'probe') throw new ProtocolError(`${frame.kind} on a probe`)
    this.#handlers.control(frame, this.member as Member)
  }

  #hello(hello: Hello): void {
    const answer = this.#handlers.hello(hello, this.#remote)
    if (answer.kind === 'refused') return this.#refuse(answer)
    this.#state = 'welcomed'
    this.#timer?.cancel()
    this.#purpose = hello.purpose
    if (hello.purpose === 'bulk') this.#connection.carryBulk()
    this.member = hello.member
    this.#owner.introduced()
    this.#connection.write(encodeFrame(answer))
  }

  #refuse(answer: Extract<Frame, { kind: 'refused' }>): void {
    this.#stats.refused += 1
    this.#state = 'refused'
    this.#connection.write(encodeFrame(answer))
    this.#connection.end()
    this.#timer?.cancel()
    this.#timer = this.#clock.setTimer(LINGER_MS, () => this.#drop())
  }

  #echo(nonce: number): void {
    // A peer that asks and does not read the answers must not fill our memory.
    if (this.#connection.bufferedBytes > REPLY_LIMIT_BYTES) throw new ProtocolError('Answers are not read')
    this.#connection.send(encodeFrame({ kind: 'echoReply', nonce, clusterTime: this.#handlers.clusterTime() }))
  }

  #message({ topic, ack, payload }: Extract<Frame, { kind: 'message' }>): void {
    if (this.#purpose !== 'data' && this.#purpose !== 'bulk') throw new ProtocolError(`Message on ${this.#purpose}`)
    this.#received += 1
    this.#stats.messages += 1
    this.#stats.messageBytes += payload.length
    const number = this.#received
    const outcome = this.#handlers.message(topic, payload, this.member as Member)
    if (ack === 0) return
    if (outcome !== 'applied') this.#exceptions.push({ number, reason: outcome })
    if (this.#exceptions.length > EXCEPTION_LIMIT) throw new ProtocolError('Acknowledgements are not read')
    this.#ackWanted = true
  }

  /** An acknowledgement is cumulative, so a peer that does not read gets one later instead of many. */
  #sendAck(): void {
    if (!this.#ackWanted || this.#connection.congested) return
    this.#ackWanted = false
    this.#stats.acks += 1
    const exceptions = this.#exceptions
    this.#exceptions = []
    this.#connection.send(encodeFrame({ kind: 'ack', received: this.#received, applied: this.#received, exceptions }))
  }

  #closed(end: ConnectionEnd): void {
    this.#timer?.cancel()
    if (end === 'protocol') this.#stats.badFrames += 1
    this.#owner.closed(this.#state === 'welcomed')
    const unexpected = this.#state === 'welcomed' && this.#purpose !== 'probe' && end !== 'local'
    if (unexpected) this.#handlers.ended(this.member as Member, end === 'protocol' ? 'reset' : end)
  }
}
