import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { type Cluster, createCluster } from '../lib/index.js'
import { createNodeRuntime } from '../lib/runtime/node-runtime.js'
import { type LoopbackGroup, loopbackOptions } from './loopback.js'
import { createSessions, type SessionShape, SteadyWriter } from './sessions.js'
import { tappedNetwork } from './tapped-network.js'
import { serve, sharedNow } from './worker.js'

/** Orders to a member. Times are shared milliseconds. */
export interface TransferOrders {
  join(config: { readonly name: string; readonly group: LoopbackGroup }): Promise<Joined>
  create(config: { readonly shape: SessionShape; readonly keep: number }): Promise<string[]>
  write(config: { readonly ids: readonly string[]; readonly perSecond: number }): void
  waits(window: { readonly from: number; readonly to: number }): { waits: number[]; short: number; written: number }
  /** Stops writing. */
  rest(): void
  sessions(): number
  /** A bare socket: where it listens; the answer of `received` is there when all bytes are. */
  listen(config: { readonly bytes: number }): Promise<number>
  received(): Promise<{ endedAt: number }>
  send(config: { readonly port: number; readonly bytes: number }): Promise<{ startedAt: number }>
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
}

const WRITE_BYTES = 65_536
/** Smaller reads are handshakes and heartbeats. */
const POURING_BYTES = 8_192

let cluster: Cluster | undefined
let writer: SteadyWriter | undefined
let received: Promise<{ endedAt: number }> | undefined

serve<TransferOrders>({
  async join({ name, group }) {
    const runtime = createNodeRuntime()
    const count = { bytes: 0, pouringAt: 0 }
    const network = tappedNetwork(runtime.network, {
      read: bytes => {
        count.bytes += bytes
        if (count.pouringAt === 0 && bytes >= POURING_BYTES) count.pouringAt = sharedNow()
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
    }
  },
  create: ({ shape, keep }) => createSessions(joined(), shape, keep),
  write({ ids, perSecond }) {
    writer = new SteadyWriter(joined(), ids, perSecond, sharedNow)
  },
  waits: ({ from, to }) => writer?.waits(from, to) ?? { waits: [], short: 0, written: 0 },
  rest: () => writer?.stop(),
  sessions: () => joined().sessions.size,
  async listen({ bytes }) {
    const server = createServer()
    received = new Promise(resolve => {
      server.once('connection', socket => {
        let left = bytes
        socket.on('data', chunk => {
          left -= chunk.length
          if (left > 0) return
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
  async send({ port, bytes }) {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    socket.on('error', () => {})
    const piece = Buffer.alloc(WRITE_BYTES, 'x')
    const startedAt = sharedNow()
    for (let left = bytes; left > 0; left -= piece.length) {
      if (!socket.write(left < piece.length ? piece.subarray(0, left) : piece)) await once(socket, 'drain')
    }
    socket.end()
    return { startedAt }
  },
})

function joined(): Cluster {
  if (cluster === undefined) throw new Error('Not joined')
  return cluster
}
