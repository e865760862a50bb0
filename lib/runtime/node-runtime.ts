import { Buffer } from 'node:buffer'
import { randomFillSync } from 'node:crypto'
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { createConnection, createServer, type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net'
import { networkInterfaces } from 'node:os'
import { performance } from 'node:perf_hooks'
import { ListenError } from '../errors.js'
import type {
  Clock,
  DatagramHandlers,
  DatagramOptions,
  DatagramSocket,
  Endpoint,
  Listener,
  Network,
  Random,
  Runtime,
  Stream,
  StreamEnd,
  StreamHandlers,
} from './runtime.js'

const RANDOM_POOL_BYTES = 4_096
const DEFAULT_TTL = 1
/** What the system hands over in one read at most. */
const READ_BYTES = 131_072
/**
 * What sockets are read into, one after the other. Left alone, the engine makes 64 KiB of memory for each read and counts
 * them towards the next collection: taking in a gigabyte is then mostly page faults and walks of the whole heap.
 */
const READ: Buffer = Buffer.allocUnsafeSlow(READ_BYTES)

const ENDS: { readonly [code: string]: StreamEnd } = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  EACCES: 'unreachable',
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
}

/**
 * The host's clock, randomness and network. The only part of the library that touches them. A listening socket keeps
 * the process alive until it is closed, as any server does; timers, datagrams and connections do not.
 */
export function createNodeRuntime(): Runtime {
  return { clock: new NodeClock(), random: new NodeRandom(), network: new NodeNetwork() }
}

class NodeClock implements Clock {
  #recent = performance.now()

  wall(): number {
    return Date.now()
  }

  monotonic(): number {
    this.#recent = performance.now()
    return this.#recent
  }

  recent(): number {
    return this.#recent
  }

  setTimer(delayMs: number, run: () => void): { cancel(): void } {
    const looking = (): void => {
      this.monotonic()
      run()
    }
    const timer = setTimeout(looking, delayMs).unref()
    return { cancel: () => clearTimeout(timer) }
  }

  soon(run: () => void): void {
    setImmediate(run)
  }

  /** After the promises that are settled, so that all who waited for one acknowledgement go on in one batch. */
  next(run: () => void): void {
    process.nextTick(run)
  }
}

/** Draws from a pool: one system call per few hundred identifiers instead of one each. */
class NodeRandom implements Random {
  readonly #pool = new Uint8Array(RANDOM_POOL_BYTES)
  #at = RANDOM_POOL_BYTES

  bytes(length: number): Uint8Array {
    if (length > RANDOM_POOL_BYTES) return randomFillSync(new Uint8Array(length))
    const start = this.#take(length)
    const bytes = this.#pool.slice(start, start + length)
    // What was handed out must not stay readable in the pool.
    this.#pool.fill(0, start, start + length)
    return bytes
  }

  uint32(): number {
    const start = this.#take(4)
    return new DataView(this.#pool.buffer).getUint32(start)
  }

  #take(length: number): number {
    if (this.#at + length > RANDOM_POOL_BYTES) {
      randomFillSync(this.#pool)
      this.#at = 0
    }
    const start = this.#at
    this.#at += length
    return start
  }
}

class NodeNetwork implements Network {
  addresses(): readonly { readonly address: string; readonly family: 'IPv4' | 'IPv6'; readonly internal: boolean }[] {
    return Object.values(networkInterfaces()).flatMap(list =>
      (list ?? []).map(({ address, family, internal }) => ({ address, family, internal })),
    )
  }

  async listen(endpoint: Endpoint, accept: (stream: Stream) => StreamHandlers): Promise<Listener> {
    const server = createServer({ noDelay: true, pauseOnConnect: true }, socket => {
      const remote = endpointOf(socket.remoteAddress, socket.remotePort)
      const stream = new NodeStream(onread => readInto(onread, socket), remote, true)
      stream.attach(accept(stream))
    })
    // Exclusive: workers of a node:cluster must each have a port of their own.
    server.listen({ host: endpoint.host, port: endpoint.port, exclusive: true })
    await once(server, 'listening')
    server.on('error', () => {})
    const bound = server.address() as { address: string; port: number }
    return { endpoint: { host: bound.address, port: bound.port }, close: () => void server.close() }
  }

  connect(endpoint: Endpoint, timeoutMs: number, handlers: StreamHandlers): Stream {
    const { host, port } = endpoint
    const stream = new NodeStream(onread => createConnection({ host, port, noDelay: true, onread }), endpoint, false)
    stream.attach(handlers, timeoutMs)
    return stream
  }

  async bindDatagram(options: DatagramOptions, handlers: DatagramHandlers): Promise<DatagramSocket> {
    const bind = options.multicast?.bind
    if (bind !== undefined && !this.addresses().some(({ address }) => address === bind)) {
      throw new ListenError(`No interface has the address ${bind}`)
    }
    const socket = createSocket({ type: 'udp4', reuseAddr: true })
    try {
      socket.bind({ port: options.port, exclusive: true })
      await once(socket, 'listening')
      if (options.multicast !== undefined) joinGroup(socket, options.multicast)
    } catch (cause) {
      socket.close()
      throw options.multicast === undefined ? cause : new ListenError(`Cannot join ${options.multicast.address}`, cause)
    }
    socket.unref()
    return datagramSocket(socket, handlers)
  }
}

function joinGroup(socket: UdpSocket, multicast: NonNullable<DatagramOptions['multicast']>): void {
  socket.addMembership(multicast.address, multicast.bind)
  if (multicast.bind !== undefined) socket.setMulticastInterface(multicast.bind)
  socket.setMulticastTTL(multicast.ttl ?? DEFAULT_TTL)
  // Members on one host hear each other.
  socket.setMulticastLoopback(true)
}

function datagramSocket(socket: UdpSocket, handlers: DatagramHandlers): DatagramSocket {
  let open = true
  socket.on('message', (bytes, from) => {
    if (open) handlers.message(bytes, { host: from.address, port: from.port })
  })
  socket.on('error', error => {
    if (!open) return
    open = false
    socket.close()
    handlers.failed(error)
  })
  return {
    send(bytes, to) {
      // With a callback a failed send is not an 'error' event: datagrams are best effort.
      if (open) socket.send(bytes, to.port, to.host, () => {})
    },
    close() {
      if (!open) return
      open = false
      socket.close()
    },
  }
}

class NodeStream implements Stream {
  readonly remote: Endpoint
  readonly #socket: Socket
  #handlers: StreamHandlers | undefined
  #opened: boolean
  #end: StreamEnd | undefined

  /** `open` makes the socket, with what it is to be read into. */
  constructor(open: (onread: OnReadOpts) => Socket, remote: Endpoint, opened: boolean) {
    this.#socket = open({ buffer: READ, callback: length => this.#read(length) })
    this.remote = remote
    this.#opened = opened
    this.#socket.unref()
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength
  }

  attach(handlers: StreamHandlers, timeoutMs?: number): void {
    const socket = this.#socket
    this.#handlers = handlers
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => this.#close('timeout'), timeoutMs).unref()
    socket.on('connect', () => {
      clearTimeout(timer)
      if (this.#end !== undefined) return
      this.#opened = true
      handlers.opened?.()
    })
    // Never called where reads go into memory of ours, and still what makes the socket flow.
    socket.on('data', bytes => {
      if (this.#end === undefined) handlers.data(bytes as Buffer)
    })
    socket.on('drain', () => {
      if (this.#end === undefined) handlers.drain?.()
    })
    socket.on('end', () => this.#close('end'))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.#end ??= ENDS[error.code ?? ''] ?? (this.#opened ? 'reset' : 'unreachable')
    })
    socket.on('close', () => {
      clearTimeout(timer)
      handlers.closed((this.#end ??= 'reset'))
    })
  }

  write(bytes: Uint8Array): boolean {
    if (this.#end !== undefined || this.#socket.writableEnded) return false
    this.#socket.write(bytes)
    return this.#takesMore()
  }

  writeAll(pieces: readonly Uint8Array[]): boolean {
    const socket = this.#socket
    if (this.#end !== undefined || socket.writableEnded) return false
    socket.cork()
    for (const piece of pieces) socket.write(piece)
    socket.uncork()
    return this.#takesMore()
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#close('local')
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  #read(length: number): boolean {
    const handlers = this.#handlers
    const bytes = READ.subarray(0, length)
    if (this.#end === undefined) handlers?.data(handlers.borrows === true ? bytes : Buffer.from(bytes))
    return true
  }

  /** `Socket.write` says `false` of every large piece, also of one that the system took at once. */
  #takesMore(): boolean {
    return this.#socket.writableLength < this.#socket.writableHighWaterMark
  }

  #close(end: StreamEnd): void {
    this.#end ??= end
    this.#socket.destroy()
  }
}

/**
 * The connection of an accepted socket as another one that is read into memory of ours, which `createServer` has no
 * option for. Where the engine keeps its handle elsewhere some day, the accepted one is used as it is.
 */
function readInto(onread: OnReadOpts, accepted: Socket): Socket {
  const owner = accepted as unknown as { _handle?: object | null }
  const handle = owner._handle
  if (handle === undefined || handle === null) return accepted.resume()
  owner._handle = null
  accepted.destroy()
  return new Socket({ handle, onread } as unknown as SocketConstructorOpts)
}

function endpointOf(address: string | undefined, port: number | undefined): Endpoint {
  return { host: (address ?? '').replace(/^::ffff:/, ''), port: port ?? 0 }
}
