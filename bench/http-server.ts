import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import express, { type Express, type Request } from 'express'
import session, { type Store } from 'express-session'
import { TribelineStore } from '../lib/http/express.js'
import { FastifySessionStore, fastifySession } from '../lib/http/fastify.js'
import { clusterSession } from '../lib/http/requests/session-handler.js'
import { type Cluster, createCluster } from '../lib/index.js'
import { type LoopbackGroup, loopbackOptions } from './loopback.js'
import { attributesOf } from './sessions.js'
import { serve } from './worker.js'

/** What keeps the sessions. `store`: our store below the framework's session; `middleware`: our own. */
export type HttpStack = 'none' | 'memory' | 'store' | 'middleware' | 'redis'

/** How a server is built. */
export interface HttpServerConfig {
  readonly framework: 'express' | 'fastify'
  readonly stack: HttpStack
  readonly name: string
  readonly group: LoopbackGroup
  readonly redisPort: number
}

/** Orders to a server. */
export interface HttpServerOrders {
  /** The port, or why there is none. */
  start(config: HttpServerConfig): Promise<{ port: number } | { missing: string }>
  members(): number
}

const SECRET = 'a secret of the benchmark, no more'
const SHAPE = { sessions: 1, bytes: 1_000, attributes: 10 }

/** What a handler sees of a session, whoever made it. */
type Bag = Record<string, unknown>

let cluster: Cluster | undefined

serve<HttpServerOrders>({
  async start(config) {
    try {
      const server =
        config.framework === 'express' ? createServer(await expressApp(config)) : await fastifyServer(config)
      // Connections wait while the other sides have their turn.
      server.keepAliveTimeout = 0
      if (!server.listening) {
        server.listen(0, '127.0.0.1')
        await once(server, 'listening')
      }
      return { port: (server.address() as AddressInfo).port }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error
      return { missing: (error as Error).message.split('\n')[0] as string }
    }
  },
  members: () => cluster?.members.length ?? 0,
})

/** The application, the same for all: begin a session of 1 KB, read it, count in it. */
function answer(path: string, bag: Bag | undefined): { n: unknown } {
  if (bag === undefined) return { n: 0 }
  if (path === '/begin') {
    for (const [name, value] of attributesOf(SHAPE)) bag[name] = value
    bag.n = 0
  }
  if (path === '/write') bag.n = (bag.n as number) + 1
  if (bag.a3 === undefined) return { n: 'lost' }
  return { n: bag.n }
}

async function expressApp(config: HttpServerConfig): Promise<Express> {
  const app = express()
  app.disable('x-powered-by')
  if (config.stack === 'middleware') {
    app.use(clusterSession({ cluster: await join(config), secret: SECRET }))
  } else if (config.stack !== 'none') {
    const store = await storeOf(config)
    app.use(session({ secret: SECRET, resave: false, saveUninitialized: false, ...(store ? { store } : {}) }))
  }
  for (const path of ['/begin', '/read', '/write']) {
    app.get(path, (req: Request, res) => {
      res.json(answer(path, config.stack === 'none' ? undefined : (req.session as unknown as Bag)))
    })
  }
  return app
}

/** As much of Fastify as is used here; the package need not be installed. */
interface FastifyApp {
  readonly server: Server
  register(plugin: unknown, options?: object): Promise<unknown>
  get(path: string, handler: (req: { session?: Bag }) => Promise<unknown>): void
  listen(options: { port: number; host: string }): Promise<unknown>
}

async function fastifyServer(config: HttpServerConfig): Promise<Server> {
  const app = (load('fastify') as (options?: object) => FastifyApp)()
  if (config.stack === 'middleware') {
    await app.register(fastifySession, { cluster: await join(config), secret: SECRET })
  } else if (config.stack !== 'none') {
    const store = config.stack === 'store' ? await mergingStore(app, config) : await storeOf(config)
    await app.register(load('@fastify/cookie'))
    const more = store ? { store } : {}
    await app.register(load('@fastify/session'), {
      secret: SECRET,
      cookie: { secure: false },
      saveUninitialized: false,
      rolling: false,
      ...more,
    })
  }
  for (const path of ['/begin', '/read', '/write']) {
    app.get(path, async req => answer(path, config.stack === 'none' ? undefined : req.session))
  }
  await app.listen({ port: 0, host: '127.0.0.1' })
  return app.server
}

async function mergingStore(app: FastifyApp, config: HttpServerConfig): Promise<FastifySessionStore> {
  const store = new FastifySessionStore({ cluster: await join(config) })
  await app.register(store.plugin)
  return store
}

async function storeOf(config: HttpServerConfig): Promise<Store | undefined> {
  if (config.stack === 'store') return new TribelineStore({ cluster: await join(config) })
  if (config.stack !== 'redis') return undefined
  const { RedisStore } = load('connect-redis') as { RedisStore: new (options: { client: unknown }) => Store }
  const { createClient } = load('redis') as {
    createClient(options: { url: string }): { connect(): Promise<unknown> }
  }
  const client = createClient({ url: `redis://127.0.0.1:${config.redisPort}` })
  await client.connect()
  return new RedisStore({ client })
}

async function join({ name, group }: HttpServerConfig): Promise<Cluster> {
  cluster = await createCluster(loopbackOptions(name, group))
  return cluster
}

/** By `require`, so that a package that is not installed is a row and not an end. */
function load(name: string): unknown {
  const found = createRequire(import.meta.url)(name) as { default?: unknown }
  return typeof found === 'object' && found.default !== undefined ? found.default : found
}
