import { EventEmitter } from 'node:events'
import { InvalidStateError, ProtocolError } from '../errors.js'
import { MEMBER_ID_RANDOM_BYTES, type Member, type MemberId, memberId } from '../membership/member.js'
import type { DisappearedReason } from '../membership/member-table-types.js'
import { MulticastService } from '../membership/multicast-service.js'
import { parseEndpoint, StaticService } from '../membership/static-service.js'
import type { Runtime } from '../runtime/runtime.js'
import { decodeValue, encodeValue } from '../wire/value-codec.js'
import type { ChannelOptions } from './channel-options.js'
import { ChannelCoordinator } from './coordinator.js'
import { type ChainEnds, interceptorChain, takesWhole } from './interceptor.js'
import { RpcChannel, type RpcHandler } from './rpc-channel.js'
import type { DeliveryOutcome, SendReceipt, Topic, TopicListener, TopicSendOptions } from './topic.js'
import { TopicHub } from './topic-hub.js'
import { transportOf } from './transport-of.js'

/** Bytes of a frame that are not payload, with room to spare. */
const FRAME_OVERHEAD_BYTES = 1_024
const APPLICATION = '~application'

/** What a channel tells. */
export interface ChannelEvents {
  /** A member is there, after a handshake of our own with it. */
  memberAdded: [member: Member]
  /** A member is gone, and why. */
  memberDisappeared: [member: Member, reason: DisappearedReason]
  /** A value another member gave to `send`. */
  message: [value: unknown, from: Member]
  /** A member was turned away because its clock is `aheadMs` from the group's; no side may win by its clock. */
  clockDivergence: [member: Member, aheadMs: number]
}

/** How an application's message is sent. */
export interface ChannelSendOptions extends TopicSendOptions {
  /** Gives up waiting for the receipt; the message may still arrive. */
  readonly signal?: AbortSignal
}

/**
 * A group of processes that send each other messages: Tribes' GroupChannel. Order is kept from one sender to one
 * receiver among messages of one topic and key that are not bulk; nothing is delivered twice by the channel itself;
 * what is lost with a broken connection is not sent again (the receipt says so).
 */
export class Channel extends EventEmitter<ChannelEvents> {
  readonly #runtime: Runtime
  readonly #options: ChannelOptions
  readonly #coordinator: ChannelCoordinator
  readonly #hub: TopicHub
  readonly #application: Topic
  readonly #chain: ChainEnds
  #started: Promise<void> | undefined
  #left: Promise<void> | undefined
  #state: 'new' | 'starting' | 'running' | 'stopping' | 'stopped' = 'new'

  constructor(parts: { readonly runtime: Runtime }, options: ChannelOptions) {
    super()
    const { runtime } = parts
    const { clock, random } = runtime
    const { membership, group, receiver } = options
    this.#runtime = runtime
    this.#options = options
    this.#hub = new TopicHub({
      clock,
      local: () => this.local,
      members: () => this.members,
      clusterTime: () => this.clusterTime(),
      running: () => this.#state === 'running' || this.#state === 'starting',
      send: message => this.#chain.send(message),
      failed: error => this.#report(error),
      payloadBytesMax: receiver.maxFrameBytes - FRAME_OVERHEAD_BYTES,
      whole: options.interceptors.some(takesWhole),
    })
    this.#coordinator = new ChannelCoordinator(
      {
        clock,
        random,
        group,
        options: membership,
        service:
          membership.service === 'static'
            ? new StaticService(membership.members)
            : new MulticastService(runtime, { group, ...membership, seeds: membership.members.map(parseEndpoint) }),
        events: {
          advertisements: () => this.#hub.advertisements(),
          advertised: (advertisements, from) => this.#hub.advertised(advertisements, from),
          refill: (member, topic, keys, lost) => this.#hub.refill(member, topic, keys, lost),
          clockDivergence: (member, aheadMs) => this.#tell(() => this.emit('clockDivergence', member, aheadMs)),
        },
        transport: (receiverHandlers, senderHandlers) =>
          transportOf(runtime, options, receiverHandlers, senderHandlers),
      },
      {
        id: memberId(clock.wall(), random.bytes(MEMBER_ID_RANDOM_BYTES)),
        name: options.name,
        host: receiver.address,
        port: receiver.port,
      },
    )
    this.#chain = interceptorChain(options.interceptors, {
      send: message => this.#coordinator.send(message),
      receive: (message, from) => this.#hub.receive(message, from),
      memberAdded: member => {
        this.#hub.memberAdded(member)
        this.#tell(() => this.emit('memberAdded', member))
      },
      memberDisappeared: (member, reason) => {
        this.#hub.memberDisappeared(member, reason)
        this.#tell(() => this.emit('memberDisappeared', member, reason))
      },
      memberSuspected: (_suspicion, verdict) => verdict('silent'),
    })
    this.#application = this.#hub.open(APPLICATION, { receive: (payload, from) => this.#received(payload, from) })
  }

  /** This member. Host and port are final once started. */
  get local(): Member {
    return this.#coordinator.local
  }

  /** The others, ordered by name. */
  get members(): readonly Member[] {
    return this.#coordinator.members
  }

  /** Members held for dead and still remembered. */
  get absent(): readonly Member[] {
    return this.#coordinator.absent
  }

  /** Whether the clock is the group's. */
  get clockSettled(): boolean {
    return this.#coordinator.clockSettled
  }

  /** Milliseconds since the epoch on the group's clock. */
  clusterTime(): number {
    return this.#coordinator.clusterTime()
  }

  /** 64 bits over the ids of all members, ourselves included: equal on members with equal views. */
  viewHash(): string {
    return this.#coordinator.viewHash()
  }

  /**
   * Listens and joins: resolves when the first heartbeat is sent. A channel starts once.
   *
   * @throws {ListenError} when all ports are taken, the address is not ours, or the interface does not exist; everything
   *   that was opened is closed again
   * @throws {InvalidStateError} when it was started before, or is stopped meanwhile
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new InvalidStateError('a new channel', this.#state)
    this.#state = 'starting'
    this.#started = this.#join()
    await this.#started
  }

  /** Leaves: the others see `left` at once. May be called at any time and more than once; a pending `start` rejects. */
  stop(): Promise<void> {
    this.#left ??= this.#leave()
    return this.#left
  }

  /** Ends at once and without a word, as a crash would. */
  destroy(): void {
    if (this.#state === 'stopped') return
    this.#coordinator.destroy()
    this.#stopInterceptors()
    this.#finish()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /**
   * Opens a named stream of messages. The name must be the same on all members.
   *
   * @throws {InvalidOptionError} when the name is taken, empty, or longer than 128 bytes
   * @throws {InvalidStateError} when 1,024 topics are open
   */
  topic(name: string, listener: TopicListener): Topic {
    return this.#hub.open(name, listener)
  }

  /**
   * Sends a value, which arrives as a `message` event. Rejects with the signal's reason when aborted.
   *
   * @throws {MessageTooLargeError} when the encoded value does not fit into a frame
   * @throws {InvalidStateError} when the channel is not running
   * @throws {Error} for a value that cannot be encoded, such as a symbol (a function arrives as undefined)
   */
  async send(value: unknown, options: ChannelSendOptions = {}): Promise<SendReceipt> {
    const { signal, ...rest } = options
    signal?.throwIfAborted()
    return await new Promise<SendReceipt>((resolve, reject) => {
      const abort = (): void => reject(signal?.reason)
      signal?.addEventListener('abort', abort, { once: true })
      this.#application.send(encodeValue(value), rest, receipt => {
        signal?.removeEventListener('abort', abort)
        resolve(receipt)
      })
    })
  }

  /**
   * Requests and responses under a name, the same on all members; `handler` answers those of the others, and without
   * one they are refused.
   *
   * @throws {InvalidOptionError} when the name is taken, or longer than 123 bytes
   * @throws {InvalidStateError} when 1,024 topics are open
   */
  rpc(name: string, handler?: RpcHandler): RpcChannel {
    return new RpcChannel(this.#runtime.clock, listener => this.#hub.open(`~rpc:${name}`, listener), handler)
  }

  /** Sends the next heartbeat now, for an advertisement that cannot wait; rate-limited. */
  kick(): void {
    this.#coordinator.kick()
  }

  /** Plain figures of one moment, for people and dashboards: their names may change with any version. */
  stats(): Readonly<Record<string, unknown>> {
    return {
      members: this.members.length,
      viewHash: this.viewHash(),
      receiptsPending: this.#hub.pending,
      ...this.#hub.counts,
      ...this.#coordinator.stats(),
    }
  }

  /** The live member with this id. */
  member(id: MemberId): Member | undefined {
    return this.members.find(member => member.id === id)
  }

  #received(payload: Uint8Array, from: Member): DeliveryOutcome {
    let value: unknown
    try {
      value = decodeValue(payload)
    } catch (error) {
      if (error instanceof ProtocolError) return 'rejected'
      throw error
    }
    return this.emit('message', value, from) ? 'applied' : 'rejected'
  }

  async #join(): Promise<void> {
    try {
      await this.#coordinator.listen()
      if (this.#hasEnded()) throw new InvalidStateError('a channel that starts', 'stopped meanwhile')
      const context = this.#coordinator.interceptorContext()
      for (const interceptor of this.#options.interceptors) interceptor.start?.(context)
      await this.#coordinator.start(this.#chain)
    } catch (error) {
      this.#coordinator.destroy()
      this.destroy()
      throw error
    }
    if (this.#hasEnded()) throw new InvalidStateError('a channel that starts', 'stopped meanwhile')
    this.#state = 'running'
  }

  async #leave(): Promise<void> {
    if (this.#hasEnded()) return
    this.#state = 'stopping'
    this.#stopInterceptors()
    await this.#coordinator.stop()
    // What a start had under way is closed as it comes; its caller is told by `start`.
    await this.#started?.catch(() => {})
    this.#finish()
  }

  #stopInterceptors(): void {
    for (const interceptor of this.#options.interceptors) this.#tell(() => interceptor.stop?.())
  }

  #hasEnded(): boolean {
    return this.#state === 'stopping' || this.#state === 'stopped'
  }

  #finish(): void {
    this.#state = 'stopped'
    this.#hub.stop()
  }

  #tell(emit: () => void): void {
    try {
      emit()
    } catch (error) {
      this.#report(error)
    }
  }

  /** An application's error surfaces as an uncaught one, outside the protocol's own steps. */
  #report(error: unknown): void {
    this.#runtime.clock.soon(() => {
      throw error
    })
  }
}
