import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { type Cluster, createCluster } from '../lib/index.js'
import { createNodeRuntime } from '../lib/runtime/node-runtime.js'
import { FloorStore } from './floor-store.js'
import { LoopWatch, type LoopWatched } from './loop-watch.js'
import { type LoopbackGroup, loopbackOptions } from './loopback.js'
import { createSessions, type SessionShape, SteadyWriter } from './sessions.js'
import { tappedNetwork } from './tapped-network.js'
import { serve, sharedNow } from './worker.js'

/** Orders to a member. Times are shared milliseconds. */
export interface TransferOrders {
  join(config: { readonly name: string; readonly group: LoopbackGroup }): Promise<Joined>
  create(config: { readonly shape: SessionShape; readonly keep: number }): Promise<string[]>
  write(config: { readonly ids: readonly string[]; readonly perSecond: number }): void
  waits(window: { readonly from: number; readonly to: number }): ReturnType<SteadyWriter['waits']>
  /** What this process was busy with since it was asked last. */
  watched(): LoopWatched & { readonly writtenBytes: number }
  /** Stops writing. */
  rest(): void
  sessions(): number
  /** A bare socket: where it listens; the answer of `received` is there when all bytes, or all sessions, are. */
  listen(config: Pouring): Promise<number>
  received(): Promise<{ endedAt: number }>
  send(config: Pouring & { readonly port: number }): Promise<{ startedAt: number }>
}

/** What goes over a bare socket: bytes that nobody looks at, or sessions of so many bytes for a {@link FloorStore}. */
export interface Pouring {
  readonly bytes: number
  readonly sessions?: number
}

/** How a join went. */
export interface Joined {
  readonly calledAt: number
  /** The first bulk bytes came in: the state transfer has begun. */
  readonly pouringAt: number
  readonly readyAt: number
  readonly sessions: number
  /** Read from the other members meanwhile. */
  readonly bytes: number
  /** From the first bulk bytes until it was ready. */
  readonly watched: LoopWatched
}

/** As large as a piece of state. */
const WRITE_BYTES = 49_152
/** Smaller reads are handshakes and heartbeats. */
const POURING_BYTES = 8_192

let cluster: Cluster | undefined
let writer: SteadyWriter | undefined
let writtenBytes = 0
const watch = new LoopWatch()
let received: Promise<{ endedAt: number }> | undefined

serve<TransferOrders>({
  async join({ name, group }) {
    const runtime = createNodeRuntime()
    const count = { bytes: 0, pouringAt: 0 }
    const network = tappedNetwork(runtime.network, {
      written: bytes => {
        writtenBytes += bytes
      },
      read: bytes => {
        count.bytes += bytes
        if (count.pouringAt !== 0 || bytes < POURING_BYTES) return
        count.pouringAt = sharedNow()
        watch.look()
      },
    })
    const calledAt = sharedNow()
    cluster = await createCluster({ ...loopbackOptions(name, group), runtime: { ...runtime, network } })
    const readyAt = sharedNow()
    return {
      calledAt,
      pouringAt: count.pouringAt || readyAt,
      readyAt,
      sessions: cluster.sessions.size,
      bytes: count.bytes,
      watched: watch.look(),
    }
  },
  create: ({ shape, keep }) => createSessions(joined(), shape, keep),
  write({ ids, perSecond }) {
    writer = new SteadyWriter(joined(), ids, perSecond, sharedNow)
  },
  waits: ({ from, to }) => writer?.waits(from, to) ?? { waits: [], waitsForAll: [], short: 0, written: 0 },
  watched() {
    const written = writtenBytes
    writtenBytes = 0
    return { ...watch.look(), writtenBytes: written }
  },
  rest: () => writer?.stop(),
  sessions: () => joined().sessions.size,
  async listen({ bytes, sessions }) {
    const server = createServer()
    received = new Promise(resolve => {
      server.once('connection', socket => {
        const store = new FloorStore()
        let left = bytes
        socket.on('data', (chunk: Buffer) => {
          if (sessions === undefined) left -= chunk.length
          else store.receive(chunk)
          if (sessions === undefined ? left > 0 : store.size < sessions) return
          resolve({ endedAt: sharedNow() })
          socket.destroy()
          server.close()
        })
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  },
  received() {
    if (received === undefined) throw new Error('Not listening')
    return received
  },
  async send({ port, bytes, sessions }) {
    const pieces = sessions === undefined ? repeated(bytes) : FloorStore.filled(sessions, bytes).pieces(WRITE_BYTES)
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    socket.on('error', () => {})
    const startedAt = sharedNow()
    for (const piece of pieces) if (!socket.write(piece)) await once(socket, 'drain')
    socket.end()
    return { startedAt }
  },
})

function* repeated(bytes: number): IterableIterator<Buffer> {
  const piece = Buffer.alloc(WRITE_BYTES, 'x')
  for (let left = bytes; left > 0; left -= piece.length) yield left < piece.length ? piece.subarray(0, left) : piece
}

function joined(): Cluster {
  if (cluster === undefined) throw new Error('Not joined')
  return cluster
}
