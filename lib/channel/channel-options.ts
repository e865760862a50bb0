import type { Interceptor } from './interceptor.js'

/** How members find each other and notice each other's end. Durations in milliseconds. */
export interface MembershipOptions {
  readonly service: 'multicast' | 'static'
  /** Multicast group. Default 228.0.0.4, as in Tomcat. */
  readonly address: string
  /** Multicast port. Default 45564, as in Tomcat. */
  readonly port: number
  /** Address of the interface for multicast; `auto`: the system's choice. */
  readonly bind: string
  readonly ttl: number
  /** Between two heartbeats, ±10 %. Default 500. */
  readonly frequency: number
  /** Silence before a member is verified. Default 3,000. */
  readonly dropTime: number
  /** Seeds as `host:port`; with either service. */
  readonly members: readonly string[]
  /** From a verification without answer to the end. Default 1,500. */
  readonly suspicionMs: number
  /** Silence before a process that accepts connections but does not answer is given up. Default 10,000. */
  readonly hungGraceMs: number
  /** How long a dead member is remembered and dialled again. Default 3,600,000. */
  readonly forgetMemberAfterMs: number
}

/** Where this member listens. */
export interface ReceiverOptions {
  /** Address to listen on and to tell the others; `auto`: the first IPv4 address that is not loopback, else loopback. */
  readonly address: string
  /** First port to try; 0: any. Default 4000. */
  readonly port: number
  /** How many ports to try, from `port` on. Default 100. */
  readonly autoBind: number
  /** Larger frames are refused on both sides. */
  readonly maxFrameBytes: number
}

/** How messages leave. */
export interface SenderOptions {
  /** Connections per member. */
  readonly poolSize: number
  /** Milliseconds until a connection attempt is given up. */
  readonly timeout: number
  /** Unsent bytes per member before its queue overflows. */
  readonly queueBytes: number
  /** Age in milliseconds of the oldest unsent message before the queue overflows. */
  readonly queueAgeMs: number
}

/** Everything a Channel is told; resolved, so nothing is missing. */
export interface ChannelOptions {
  /** Stable over restarts: letters, digits, `-`, `_`. */
  readonly name: string
  readonly group: string
  readonly membership: MembershipOptions
  readonly receiver: ReceiverOptions
  readonly sender: SenderOptions
  /** Top first: `send` passes them in this order, what is received in the opposite one. */
  readonly interceptors: readonly Interceptor[]
}
