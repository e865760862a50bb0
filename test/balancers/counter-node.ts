import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAjpServer } from '../../lib/ajp/index.js'
import { type CookieRouting, clusterSession, SessionHttpStats, type SessionRequest } from '../../lib/http/index.js'
import { createCluster, type Interceptor } from '../../lib/index.js'
import type { Timer } from '../../lib/runtime/runtime.js'

/** What a node is started with. */
export interface CounterNodeConfig {
  readonly name: string
  readonly group: string
  readonly multicastPort: number
  readonly secret: string
  readonly ack: 'none' | 'received' | 'applied'
  readonly catchUpMs: number
  /** Whether clients are told their last write. */
  readonly hasToken: boolean
  /** Milliseconds that every message to another node takes longer. */
  readonly delayMs: number
  /** How clients are bound to a node; undefined: they are not. */
  readonly routing?: CookieRouting
  /** Whether it serves AJP, and not HTTP. */
  readonly speaksAjp?: boolean | undefined
  /** So many others there are. */
  readonly others: number
}

/** From a node: where it serves once it has found the others, and what it has counted when asked by any message. */
export type CounterNodeMessage =
  | { readonly type: 'ready'; readonly port: number }
  | { readonly type: 'stats'; readonly stats: SessionHttpStats }

/** What every reply says. `n`: the counter as read, or as written. */
export interface CounterReply {
  readonly node: string
  readonly n: number
  readonly stale: boolean
}

/** A server whose sessions hold a counter: `POST` reads n and writes n + 1, unless the request is stale. */
async function main(config: CounterNodeConfig): Promise<void> {
  const cluster = await createCluster({
    name: config.name,
    group: config.group,
    membership: { bind: '127.0.0.1', port: config.multicastPort },
    receiver: { address: '127.0.0.1', port: 0 },
    sessions: { ack: config.ack, copies: 1 },
    ...(config.delayMs > 0 ? { interceptors: [delaying(config.delayMs)] } : {}),
  })
  const { secret, catchUpMs, routing, hasToken } = config
  const stats = new SessionHttpStats()
  const handle = clusterSession({
    cluster,
    secret,
    catchUpMs,
    stats,
    ...(routing === undefined ? { routeCookie: false } : { routing }),
    ...(hasToken ? {} : { seenCookie: false }),
  })
  const server = createServer((req, res) => handle(req, res, () => count(config.name, req as SessionRequest, res)))
  // Longer than any balancer keeps a connection, so that none is closed under a request.
  server.keepAliveTimeout = 65_000
  const port = config.speaksAjp ? (await createAjpServer(server, { port: 0 })).port : await listen(server)
  process.on('message', () => tell({ type: 'stats', stats }))
  const tellIfComplete = (): void => {
    if (cluster.members.length === config.others) {
      tell({ type: 'ready', port })
    }
  }
  cluster.on('memberAdded', tellIfComplete)
  tellIfComplete()
}

function listen(server: Server): Promise<number> {
  return new Promise(resolve => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}

function count(node: string, req: SessionRequest & IncomingMessage, res: ServerResponse): void {
  const { session } = req
  const { stale } = session
  let n: number = session.n ?? 0
  if (req.method === 'POST' && !stale) session.n = ++n
  res.setHeader('Content-Type', 'application/json')
  res.end(JSON.stringify({ node, n, stale } satisfies CounterReply))
}

/** The same distance to all others, whatever is sent. */
function delaying(delayMs: number): Interceptor {
  const queue: { readonly timer: Timer; readonly send: () => void }[] = []
  let later = (_send: () => void): void => {}
  return {
    name: 'distance',
    start({ clock }) {
      later = send => queue.push({ timer: clock.setTimer(delayMs, () => queue.shift()?.send()), send })
    },
    send: (message, next) => later(() => next(message)),
    stop() {
      for (const { timer, send } of queue.splice(0)) {
        timer.cancel()
        send()
      }
    },
  }
}

function tell(message: CounterNodeMessage): void {
  if (process.connected) process.send?.(message, undefined, {}, () => {})
}

process.on('disconnect', () => process.exit(0))
process.on('SIGINT', () => {})
await main(JSON.parse(process.argv[2] ?? '{}') as CounterNodeConfig)
