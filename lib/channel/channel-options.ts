import type { Interceptor } from './interceptor.js'

/**
 * How members find each other and notice each other's end. Durations in milliseconds. Names are those of Tribes'
 * McastService, where it has one.
 */
export interface MembershipOptions {
  /** `multicast`: heartbeats by datagram; `static`: none, `members` are dialled instead. Default `multicast`. */
  readonly service: 'multicast' | 'static'
  /** Multicast group. Default 228.0.0.4, as in Tomcat. */
  readonly address: string
  /** Multicast port. Default 45564, as in Tomcat. */
  readonly port: number
  /** IPv4 address of the interface for multicast; `auto`, the default: the system's choice. */
  readonly bind: string
  /** Hops of a multicast datagram, 0 to 255: 0 stays on this host, 1 on the local network. Default 1. */
  readonly ttl: number
  /** Between two heartbeats, ±10 %. Default 500. */
  readonly frequency: number
  /** Silence before a member is verified; at least twice `frequency`. Default 3,000. */
  readonly dropTime: number
  /** Seeds as `host:port`, at most 1,024; with either service. Default none. */
  readonly members: readonly string[]
  /** From a verification without answer to the end. Default 1,500. */
  readonly suspicionMs: number
  /** Silence before a process that accepts connections but does not answer is given up. Default 10,000. */
  readonly hungGraceMs: number
  /** How long a dead member is remembered and dialled again. Default 3,600,000. */
  readonly forgetMemberAfterMs: number
}

/** Where this member listens; names and defaults are Tribes' NioReceiver's, but for `maxFrameBytes`. */
export interface ReceiverOptions {
  /**
   * Address to listen on and to tell the others; `auto`, the default: the first IPv4 address that is not loopback, else
   * loopback.
   */
  readonly address: string
  /** First port to try; 0: any. Default 4000. */
  readonly port: number
  /** How many ports to try, from `port` on. Default 100. */
  readonly autoBind: number
  /** Bytes; larger frames are refused on both sides: give all members the same. Default 1,048,576 (1 MiB). */
  readonly maxFrameBytes: number
}

/** How messages leave; `poolSize` and `timeout` are named as in Tribes' PooledParallelSender. */
export interface SenderOptions {
  /** Data connections to each member, 1 to 25; messages of one key share one. Default 1. */
  readonly poolSize: number
  /** Milliseconds until a connection attempt, its handshake included, is given up. Default 3,000. */
  readonly timeout: number
  /**
   * Bytes waiting for one member, and as many of bulk, before its queue overflows: later messages are not sent then,
   * and their keys are told to `TopicListener.refill` when there is room again. Default 8,388,608 (8 MiB).
   */
  readonly queueBytes: number
  /** Milliseconds the oldest message may wait before the queue overflows. Default 2,000. */
  readonly queueAgeMs: number
}

/** Everything a Channel is told; resolved, so nothing is missing. */
export interface ChannelOptions {
  /** Stable over restarts: letters, digits, `-`, `_`. */
  readonly name: string
  /** Only members of one group see each other. */
  readonly group: string
  /** How members find each other and notice each other's end. */
  readonly membership: MembershipOptions
  /** Where this member listens. */
  readonly receiver: ReceiverOptions
  /** Connections and queues to the others. */
  readonly sender: SenderOptions
  /** Top first: `send` passes them in this order, what is received in the opposite one. */
  readonly interceptors: readonly Interceptor[]
}
