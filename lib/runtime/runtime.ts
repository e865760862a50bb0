/**
 * The outside world as the library sees it: time, randomness, network. Everything else in `lib/` is handed one of
 * these, so the same code runs on a real host and in the simulator.
 */

/** A pending timer. Cancelling one that has run, or twice, does nothing. */
export interface Timer {
  /** Keeps it from running, unless it has run. */
  cancel(): void
}

/** What a clock said last, or a look at it. */
export function recentOf(clock: Clock): number {
  return clock.recent?.() ?? clock.monotonic()
}

/** Time. All values are milliseconds. */
export interface Clock {
  /** The host's wall clock since the epoch. It may jump; read it once, at start. */
  wall(): number
  /** A clock that never steps back; its origin means nothing. */
  monotonic(): number
  /**
   * What `monotonic` said last, to whoever asked: free, where a look at the clock costs as much as a small message. Before
   * a timer runs there is a look, and every connection has one before it hands on what has come in, and again every few
   * milliseconds. Unset: `monotonic` is asked.
   */
  recent?(): number
  /** Runs once after `delayMs`; never keeps the process alive. */
  setTimer(delayMs: number, run: () => void): Timer
  /** Runs once at the end of this turn of the event loop, after the input at hand has been read. */
  soon(run: () => void): void
  /**
   * Runs once when the code that runs now is done, before more input is read: what gathers until then leaves without
   * waiting for the rest of the turn. Unset: `soon` is used.
   */
  next?(run: () => void): void
}

/** Randomness. */
export interface Random {
  /** So many random bytes, which are the caller's. */
  bytes(length: number): Uint8Array
  /** A whole number from 0 to 2^32 - 1. */
  uint32(): number
}

/** Where something listens. */
export interface Endpoint {
  /** An IP address or a name. */
  readonly host: string
  /** 0 to 65,535; 0, where something is to listen: any that is free. */
  readonly port: number
}

/** Why a stream is over. `local`: we destroyed it. */
export type StreamEnd = 'end' | 'reset' | 'refused' | 'timeout' | 'unreachable' | 'local'

/** One reliable, ordered stream of bytes. */
export interface Stream {
  /** The other end: for an accepted stream, where it came from. */
  readonly remote: Endpoint
  /** Bytes handed over and not yet taken by the system. */
  readonly bufferedBytes: number
  /**
   * Hands bytes over in order. They must not change until the system has taken them: `bufferedBytes` is 0 within this
   * call or later. `false`: full, wait for `drain`.
   */
  write(bytes: Uint8Array): boolean
  /** As `write`, of all pieces one behind the other, in one call of the system. Unset: they are put together first. */
  writeAll?(pieces: readonly Uint8Array[]): boolean
  /** Sends what is buffered, then closes. */
  end(): void
  /** Closes at once, dropping what is buffered. `closed('local')` follows. */
  destroy(): void
  /** Holds `data` back, so that the sender's bytes pile up and it feels that. */
  pause(): void
  /** Lets `data` go on. */
  resume(): void
}

/** What a stream tells its owner. Nothing is called after `closed`, which is called exactly once. */
export interface StreamHandlers {
  /** The stream is connected (once, for streams made by `connect`; never for accepted ones). */
  opened?(): void
  /** Bytes came in; they stay valid after the call, unless the owner `borrows` them. */
  data(bytes: Uint8Array): void
  /** Whether `data` keeps nothing of the bytes: the stream may read into the same memory again. Default: it keeps them. */
  readonly borrows?: boolean
  /** There is room again after `write` said `false`. */
  drain?(): void
  /** It is over, and why. */
  closed(end: StreamEnd): void
}

/** A listening socket. It keeps the process alive until closed. */
export interface Listener {
  /** Where it listens, with the port it got. */
  readonly endpoint: Endpoint
  /** Stops listening; accepted streams live on. */
  close(): void
}

/** A bound datagram socket. */
export interface DatagramSocket {
  /** Best effort: may be lost, repeated or overtaken. */
  send(bytes: Uint8Array, to: Endpoint): void
  /** Nothing is told after this. */
  close(): void
}

/** What to bind for datagrams. */
export interface DatagramOptions {
  /** The port to receive on; 0: any. */
  readonly port: number
  /** Join this multicast group. */
  readonly multicast?: {
    readonly address: string
    /** Address of the interface to send from and join on; unset: the system's choice. */
    readonly bind?: string
    readonly ttl?: number
  }
}

/** What a datagram socket tells its owner. */
export interface DatagramHandlers {
  /** A datagram came in, whole. */
  message(bytes: Uint8Array, from: Endpoint): void
  /** The socket broke after it was bound; it is closed. */
  failed(error: Error): void
}

/** The network. */
export interface Network {
  /** The host's own addresses; `internal` marks the loopback interface. */
  addresses(): readonly { readonly address: string; readonly family: 'IPv4' | 'IPv6'; readonly internal: boolean }[]
  /** Rejects with the system's error (`code` EADDRINUSE …). `accept` returns the handlers of each new stream. */
  listen(endpoint: Endpoint, accept: (stream: Stream) => StreamHandlers): Promise<Listener>
  /** Starts to connect. Not opened within `timeoutMs`: `closed('timeout')`. Bytes may be written before it is open. */
  connect(endpoint: Endpoint, timeoutMs: number, handlers: StreamHandlers): Stream
  /** Rejects with the system's error, for instance when the multicast interface does not exist. */
  bindDatagram(options: DatagramOptions, handlers: DatagramHandlers): Promise<DatagramSocket>
}

/** What a member runs on. */
export interface Runtime {
  /** Time and timers. */
  readonly clock: Clock
  /** For ids, secrets and lots: a real host's must be unpredictable. */
  readonly random: Random
  /** Streams and datagrams. */
  readonly network: Network
}
