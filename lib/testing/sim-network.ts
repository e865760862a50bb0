import type {
  DatagramHandlers,
  DatagramOptions,
  DatagramSocket,
  Endpoint,
  Listener,
  Network,
  Stream,
  StreamHandlers,
} from '../runtime/runtime.js'
import { CALM_LINK, type LinkQuality, SimLink } from './sim-link.js'
import type { SimHost, SimProcess } from './sim-process.js'
import type { SimRandom } from './sim-random.js'
import { SimStream } from './sim-stream.js'
import type { StreamContext, StreamLimits } from './sim-stream-context.js'
import type { Simulator } from './simulator.js'

/** How a simulated network is set up; everything has a default. */
export interface SimNetworkOptions {
  /** Every link's, but a host's to itself, which is calm. Default {@link CALM_LINK}. */
  readonly quality?: Partial<LinkQuality>
  /** Default: 64 KiB until `write` says `false`, 256 KiB of window, 20,000 ms until a stall breaks, 0.05 split. */
  readonly limits?: Partial<StreamLimits>
}

const STREAM_LIMITS: StreamLimits = {
  highWaterBytes: 65_536,
  windowBytes: 262_144,
  stallTimeoutMs: 20_000,
  splitting: 0.05,
}
const DATAGRAM_LIMIT_BYTES = 65_507
/** Datagrams a system keeps for a process that does not read. */
const DATAGRAM_BACKLOG = 256
const BACKLOG = 128
const SYN_RETRIES_MS: readonly number[] = [0, 1_000, 3_000, 7_000, 15_000]
const LOOPBACK = '127.0.0.1'

interface BoundListener {
  readonly process: SimProcess
  readonly accept: (stream: Stream) => StreamHandlers
  waiting: number
}

interface BoundDatagram {
  readonly process: SimProcess
  readonly port: number
  readonly group: string | undefined
  readonly loopback: boolean
  readonly handlers: DatagramHandlers
  waiting: number
}

/** Counts of what the network did since it was made. */
export interface SimNetworkStats {
  /** Datagrams sent; one to a multicast group counts once here, and once per receiver below. */
  datagrams: number
  /** Lost by lot, to a cut link, or because a paused process had 256 waiting. */
  datagramsLost: number
  /** Doubled by lot. */
  datagramsDuplicated: number
  /** Held back by lot. */
  datagramsReordered: number
  /** Attempts to open a stream. */
  connects: number
}

/**
 * The hosts and the links between them: datagrams with loss, duplication and reordering, reliable streams with
 * back-pressure, and cuts in either direction. The system of a paused process still accepts and buffers.
 */
export class SimNetwork {
  /** Counted on and on; not a copy. */
  readonly stats: SimNetworkStats = {
    datagrams: 0,
    datagramsLost: 0,
    datagramsDuplicated: 0,
    datagramsReordered: 0,
    connects: 0,
  }
  readonly #sim: Simulator
  readonly #random: SimRandom
  readonly #hosts = new Map<string, SimHost>()
  readonly #links = new Map<string, SimLink>()
  readonly #listeners = new Map<string, BoundListener>()
  readonly #datagrams = new Map<string, BoundDatagram[]>()
  readonly #streams = new Set<SimStream>()
  readonly #context: StreamContext
  #quality: LinkQuality
  #ephemeralPort = 32_768

  constructor(sim: Simulator, options: SimNetworkOptions = {}) {
    this.#sim = sim
    this.#random = sim.random.fork('network')
    this.#quality = { ...CALM_LINK, ...options.quality }
    this.#context = {
      sim,
      random: this.#random,
      limits: { ...STREAM_LIMITS, ...options.limits },
      link: (from, to) => this.link(from, to),
      isDark: address => this.#hosts.get(address)?.dark ?? false,
      forget: stream => this.#streams.delete(stream),
    }
  }

  /** A new machine with the next address, 10.0.0.1 onwards. */
  addHost(name: string): SimHost {
    const number = this.#hosts.size + 1
    const host: SimHost = { name, address: `10.0.${number >> 8}.${number & 255}`, wallOffsetMs: 0, dark: false }
    this.#hosts.set(host.address, host)
    return host
  }

  /** The link in one direction. */
  link(from: string, to: string): SimLink {
    const name = `${from}>${to}`
    let link = this.#links.get(name)
    if (link === undefined) this.#links.set(name, (link = new SimLink(from === to ? CALM_LINK : this.#quality)))
    return link
  }

  /** Sets the quality of all links, those between the two lists excepted that were set one by one. */
  setQuality(quality: Partial<LinkQuality>): void {
    this.#quality = { ...this.#quality, ...quality }
    for (const [name, link] of this.#links) {
      const [from, to] = name.split('>')
      if (from !== to) link.quality = this.#quality
    }
  }

  /** Cuts the way from each of `from` to each of `to`, and not back. */
  cut(from: readonly SimHost[], to: readonly SimHost[]): void {
    for (const a of from) for (const b of to) if (a !== b) this.link(a.address, b.address).cut = true
  }

  /** Restores the way from each of `from` to each of `to`; stalled bytes go on. */
  restore(from: readonly SimHost[], to: readonly SimHost[]): void {
    for (const a of from) for (const b of to) this.link(a.address, b.address).cut = false
    this.#retransmit()
  }

  /** Restores every link to full speed. */
  heal(): void {
    for (const link of this.#links.values()) {
      link.cut = false
      link.clogMs = 0
    }
    this.#retransmit()
  }

  /** Switches a machine off without a word, or on again. Kill its processes after switching it off. */
  setDark(host: SimHost, dark: boolean): void {
    host.dark = dark
    if (!dark) this.#retransmit()
  }

  /** The network as one process sees it. */
  forProcess(process: SimProcess): Network {
    const own = process.host.address
    return {
      addresses: () => [
        { address: LOOPBACK, family: 'IPv4', internal: true },
        { address: own, family: 'IPv4', internal: false },
      ],
      listen: (endpoint, accept) => this.#listen(process, endpoint, accept),
      connect: (endpoint, timeoutMs, handlers) => this.#connect(process, endpoint, timeoutMs, handlers),
      bindDatagram: (options, handlers) => this.#bindDatagram(process, options, handlers),
    }
  }

  async #listen(process: SimProcess, endpoint: Endpoint, accept: BoundListener['accept']): Promise<Listener> {
    const own = process.host.address
    if (!isLocal(endpoint.host, own)) throw systemError('EADDRNOTAVAIL', 'listen', endpoint)
    const port = endpoint.port === 0 ? this.#nextPort(own) : endpoint.port
    const name = `${own}:${port}`
    if (this.#listeners.has(name)) throw systemError('EADDRINUSE', 'listen', endpoint)
    const listener: BoundListener = { process, accept, waiting: 0 }
    this.#listeners.set(name, listener)
    const close = (): void => {
      if (this.#listeners.get(name) === listener) this.#listeners.delete(name)
    }
    process.atDeath(close)
    return { endpoint: { host: endpoint.host, port }, close }
  }

  #nextPort(address: string): number {
    do this.#ephemeralPort = this.#ephemeralPort >= 60_999 ? 32_768 : this.#ephemeralPort + 1
    while (this.#listeners.has(`${address}:${this.#ephemeralPort}`))
    return this.#ephemeralPort
  }

  #connect(process: SimProcess, endpoint: Endpoint, timeoutMs: number, handlers: StreamHandlers): Stream {
    this.stats.connects++
    const own = process.host.address
    const address = resolveHost(endpoint.host, own)
    const stream = new SimStream(this.#context, process, own, { host: address, port: endpoint.port })
    stream.attach(handlers)
    const finish = (end: 'refused' | 'timeout' | 'unreachable'): void => {
      if (!connected) stream.break(end)
    }
    let connected = false
    const attempt = (): void => {
      if (connected || stream.closed || process.state === 'dead') return
      this.#dial(
        stream,
        process,
        address,
        endpoint.port,
        () => (connected = true),
        () => finish('refused'),
      )
    }
    if (!this.#hosts.has(address)) this.#sim.schedule(1, 'unreachable', process.host.name, () => finish('unreachable'))
    else
      for (const delayMs of SYN_RETRIES_MS)
        if (delayMs < timeoutMs) this.#sim.schedule(delayMs, 'syn', process.host.name, attempt)
    this.#sim.schedule(timeoutMs, 'connect timeout', process.host.name, () => finish('timeout'))
    return stream
  }

  #dial(client: SimStream, process: SimProcess, to: string, port: number, won: () => void, refused: () => void): void {
    const from = process.host.address
    const onWay = (a: string, b: string, kind: string, run: () => void): void => {
      const link = this.link(a, b)
      if (link.cut) return
      this.#sim.schedule(link.delayMs(this.#random), kind, b, () => {
        if (!link.cut && this.#hosts.get(b)?.dark === false) run()
      })
    }
    onWay(from, to, 'syn', () => {
      const listener = this.#listeners.get(`${to}:${port}`)
      if (listener === undefined) return onWay(to, from, 'refused', refused)
      if (client.closed || client.peer !== undefined || listener.waiting >= BACKLOG) return
      const server = new SimStream(this.#context, listener.process, to, { host: from, port: this.#nextPort(from) })
      onWay(to, from, 'syn-ack', () => {
        if (client.closed || client.peer !== undefined) return
        client.peer = server
        server.peer = client
        won()
        this.#streams.add(client).add(server)
        client.opened()
        this.#accept(listener, server)
      })
    })
  }

  #accept(listener: BoundListener, server: SimStream): void {
    server.opened()
    if (listener.process.state === 'dead') return server.die()
    listener.waiting++
    listener.process.enter(() => {
      listener.waiting--
      server.attach(listener.accept(server))
    })
  }

  async #bindDatagram(
    process: SimProcess,
    options: DatagramOptions,
    handlers: DatagramHandlers,
  ): Promise<DatagramSocket> {
    const own = process.host.address
    const { multicast } = options
    const bind = multicast?.bind
    if (bind !== undefined && !isLocal(bind, own))
      throw systemError('EADDRNOTAVAIL', 'addMembership', { host: bind, port: options.port })
    const port = options.port === 0 ? this.#nextPort(own) : options.port
    const name = `${own}:${port}`
    const bound = this.#datagrams.get(name) ?? []
    if (bound.length > 0 && (multicast === undefined || bound.some(other => other.group === undefined))) {
      throw systemError('EADDRINUSE', 'bind', { host: own, port })
    }
    const loopback = bind?.startsWith('127.') ?? false
    const socket: BoundDatagram = { process, port, group: multicast?.address, loopback, handlers, waiting: 0 }
    this.#datagrams.set(name, [...bound, socket])
    let open = true
    const close = (): void => {
      open = false
      this.#datagrams.set(
        name,
        (this.#datagrams.get(name) ?? []).filter(other => other !== socket),
      )
    }
    process.atDeath(close)
    return {
      close,
      send: (bytes, to) => {
        if (open && bytes.length <= DATAGRAM_LIMIT_BYTES) this.#sendDatagram(socket, bytes.slice(), to)
      },
    }
  }

  #sendDatagram(socket: BoundDatagram, bytes: Uint8Array, to: Endpoint): void {
    this.stats.datagrams++
    const own = socket.process.host.address
    if (!isMulticast(to.host)) {
      const address = resolveHost(to.host, own)
      return this.#carry(socket, own, address, to, bytes, isLoopback(to.host))
    }
    for (const host of this.#hosts.values()) {
      if (!socket.loopback || host.address === own) this.#carry(socket, own, host.address, to, bytes, socket.loopback)
    }
  }

  #carry(
    socket: BoundDatagram,
    own: string,
    address: string,
    to: Endpoint,
    bytes: Uint8Array,
    loopback: boolean,
  ): void {
    const link = this.link(own, address)
    const { quality } = link
    const random = this.#random
    if (link.cut || random.chance(quality.loss)) {
      this.stats.datagramsLost++
      return
    }
    const from: Endpoint = { host: loopback ? LOOPBACK : own, port: socket.port }
    let copies = 1
    if (random.chance(quality.duplication)) {
      copies = 2
      this.stats.datagramsDuplicated++
    }
    for (; copies > 0; copies--) {
      let delayMs = link.delayMs(random)
      if (random.chance(quality.reordering)) {
        delayMs += random.between(0, 10 * quality.maxDelayMs)
        this.stats.datagramsReordered++
      }
      this.#sim.schedule(delayMs, 'datagram', address, () => {
        if (!link.cut) this.#deliver(address, to, bytes, from)
      })
    }
  }

  #deliver(address: string, to: Endpoint, bytes: Uint8Array, from: Endpoint): void {
    for (const socket of this.#datagrams.get(`${address}:${to.port}`) ?? []) {
      if (isMulticast(to.host) && socket.group !== to.host) continue
      if (socket.waiting >= DATAGRAM_BACKLOG) {
        this.stats.datagramsLost++
        continue
      }
      socket.waiting++
      socket.process.enter(() => {
        socket.waiting--
        if (this.#datagrams.get(`${address}:${to.port}`)?.includes(socket) === true)
          socket.handlers.message(bytes, from)
      })
    }
  }

  #retransmit(): void {
    for (const stream of [...this.#streams]) stream.retransmit()
  }
}

function isLoopback(host: string): boolean {
  return host.startsWith('127.') || host === 'localhost'
}

function isLocal(host: string, own: string): boolean {
  return host === own || isLoopback(host) || host === '0.0.0.0' || host === '::'
}

function resolveHost(host: string, own: string): string {
  return isLocal(host, own) ? own : host
}

function isMulticast(host: string): boolean {
  const first = Number.parseInt(host, 10)
  return first >= 224 && first <= 239
}

function systemError(code: string, call: string, endpoint: Endpoint): Error {
  return Object.assign(new Error(`${call} ${code} ${endpoint.host}:${endpoint.port}`), { code, syscall: call })
}
