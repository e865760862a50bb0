import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express, { type Express } from 'express'
import session, { type SessionData } from 'express-session'
import { createAjpServer } from '../../lib/ajp/index.js'
import { routeCookie, TribelineStore } from '../../lib/http/express.js'
import { readyHandler } from '../../lib/http/index.js'
import { type Cluster, createCluster } from '../../lib/index.js'
import { page } from './page.js'
import {
  AJP_SECRET,
  AUTO_BIND,
  type CartState,
  type NodeCommand,
  type NodeConfig,
  type NodeMessage,
  STEP_HEADER,
  STEPS_KEPT,
} from './protocol.js'

declare module 'express-session' {
  interface SessionData {
    count: number
    cart: string[]
    steps: number[]
  }
}

const GOODS = ['apples', 'bread', 'coffee', 'dates', 'eggs', 'figs', 'grapes', 'honey']
const CART_MAX = 10
/** Shorter than the patience of whoever started us. */
const REQUESTS_END_WITHIN_MS = 1_000

/** One real server: joins the cluster, then serves sessions until it is told to leave, or killed. */
async function main(config: NodeConfig): Promise<void> {
  const joinStartedAt = Date.now()
  const cluster = await createCluster({
    name: config.name,
    group: config.group,
    membership: {
      service: 'multicast',
      address: '228.0.0.4',
      port: config.multicastPort,
      bind: '127.0.0.1',
      frequency: 500,
      dropTime: 3_000,
    },
    receiver: { address: '127.0.0.1', port: config.receiverPort, autoBind: AUTO_BIND },
    sessions: { maxInactiveInterval: 1_800, ack: config.ack, copies: 1 },
  })
  const readyAt = Date.now()
  cluster.on('memberAdded', member => tell({ type: 'memberAdded', member: member.name, at: Date.now() }))
  cluster.on('memberDisappeared', member => tell({ type: 'memberDisappeared', member: member.name, at: Date.now() }))

  const store = new TribelineStore({ cluster })
  const web = createServer(shop(config, cluster, store))
  // Longer than balancers keep idle connections, so that it is never us who close one that is just about to be used.
  web.keepAliveTimeout = 65_000
  const { ajpPort } = config
  const servers = [
    web,
    ...(ajpPort === undefined ? [] : [await createAjpServer(web, { port: ajpPort, secret: AJP_SECRET })]),
  ]
  const debug = createServer(debugEndpoint(config, store))
  const [, debugPort] = await Promise.all([listen(web, config.httpPort), listen(debug, 0)])
  tell({ type: 'ready', debugPort, joinStartedAt, readyAt, sessions: cluster.sessions.size })
  setInterval(() => tellStatus(cluster), 250)

  // A command to leave amid a drain changes nothing.
  process.once('message', async (command: NodeCommand) => {
    const graceMs = command.type === 'drain' ? command.graceMs : 0
    const report = await cluster.drain({ server: servers, graceMs, requestTimeoutMs: REQUESTS_END_WITHIN_MS })
    tell({ type: 'drained', report }, () => process.exit(0))
  })
}

/** The application: nothing in it knows of the cluster but the store and the route cookie. */
function shop(config: NodeConfig, cluster: Cluster, store: TribelineStore): Express {
  const app = express()
  app.disable('x-powered-by')
  app.get('/', (_req, res) => {
    res.type('html').send(page)
  })
  // What a balancer asks every second. Before the node has joined nothing listens: the state transfer comes first.
  app.get('/ready', readyHandler(cluster))
  // A client that comes from another node may wait a little for what it wrote there; rather that than an old answer.
  app.use(routeCookie({ cluster, secret: config.secret, name: 'sid', catchUpMs: 2_000 }))
  app.use(session({ secret: config.secret, store, resave: false, saveUninitialized: false, name: 'sid' }))
  app.get('/session', (req, res) => {
    res.json({ id: req.session.count === undefined ? undefined : req.sessionID, ...cart(config.name, req.session) })
  })
  app.post('/write', (req, res, next) => {
    const last = req.session.steps?.at(-1) ?? 0
    const step = Number(req.headers[STEP_HEADER] ?? last + 1)
    // What the balancer repeated elsewhere when we did not answer is not done twice.
    if (step > last) write(req.session, step)
    // express-session alone would send the headers first and save then: a kill in between would cut the answer off.
    req.session.save(error => (error ? next(error) : res.json(cart(config.name, req.session))))
  })
  app.post('/logout', (req, res, next) => {
    req.session.destroy(error => (error ? next(error) : res.json({ node: config.name })))
  })
  return app
}

function write(data: Partial<SessionData>, step: number): void {
  data.steps = [...(data.steps ?? []), step].slice(-STEPS_KEPT)
  data.count = (data.count ?? 0) + 1
  data.cart = [...(data.cart ?? []), GOODS[data.count % GOODS.length] ?? ''].slice(-CART_MAX)
}

function cart(node: string, data: Partial<SessionData>): CartState {
  return { node, count: data.count ?? 0, cart: data.cart ?? [], steps: data.steps ?? [] }
}

/** Answers, from this node's own copy, for a list of session ids: what a node holds, past any balancer. */
function debugEndpoint(config: NodeConfig, store: TribelineStore): Express {
  const app = express()
  app.post('/sessions', express.json({ limit: '4mb' }), async (req, res) => {
    const found: Record<string, CartState> = {}
    for (const id of req.body as string[]) {
      const data = await load(store, id)
      if (data) found[id] = cart(config.name, data)
    }
    res.json(found)
  })
  return app
}

function load(store: TribelineStore, id: string): Promise<SessionData | null | undefined> {
  return new Promise((resolve, reject) => {
    store.get(id, (error, data) => (error ? reject(error) : resolve(data)))
  })
}

function tellStatus(cluster: Cluster): void {
  const { fencedMs, fenceTimeouts } = cluster.stats().replication
  tell({
    type: 'status',
    members: cluster.members.map(member => member.name),
    sessions: cluster.sessions.size,
    pendingDeltas: pendingDeltas(cluster),
    fencedMs: Math.round(fencedMs),
    fenceTimeouts,
  })
}

/** Messages to others that wait in a queue or for an acknowledgement. */
function pendingDeltas(cluster: Cluster): number | undefined {
  const { transport } = cluster.stats().channel as { transport?: { sender?: { unacknowledged?: number } } }
  return transport?.sender?.unacknowledged
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}

function tell(message: NodeMessage, told: () => void = () => {}): void {
  if (process.connected) process.send?.(message, undefined, {}, told)
}

process.on('disconnect', () => process.exit(0))
process.on('SIGINT', () => {})
main(JSON.parse(process.argv[2] ?? '{}') as NodeConfig).catch((error: unknown) => {
  tell({ type: 'failed', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  setTimeout(() => process.exit(1), 100)
})
