import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import fastifyCookie from '@fastify/cookie'
import type { ExecutionContext } from 'ava'
import express from 'express'
import session from 'express-session'
import fastify from 'fastify'
import Koa from 'koa'
import { TribelineStore } from '../../lib/http/express.js'
import { FastifySessionStore } from '../../lib/http/fastify.js'
import { KoaSessionStore } from '../../lib/http/koa.js'
import type { StoreOptions } from '../../lib/http/stores/stored-sessions.js'
import type { SessionManager } from '../../lib/session/session-manager.js'

/** Loaded so that its types do not claim `request.session` for the whole program. */
const fastifySession = createRequire(import.meta.url)('@fastify/session')
const koaSession = createRequire(import.meta.url)('koa-session').default as (
  options: object,
  app: Koa,
) => Koa.Middleware

/** A session as the libraries' handlers see it. */
export type Bag = Record<string, unknown>

/** A session library with our store below it. */
export interface Library {
  readonly name: string
  readonly cookie: string
  serve(
    t: ExecutionContext,
    cluster: { sessions: SessionManager },
    handler: (url: string, bag: Bag) => Promise<'end' | undefined>,
    more?: object,
    storing?: Omit<StoreOptions, 'cluster' | 'sessions'>,
  ): Promise<number>
}

const secret = 'thirty-two characters at the very least'

/** Each unmodified. */
export const libraries: readonly Library[] = [
  {
    name: 'express-session',
    cookie: 'connect.sid',
    async serve(t, cluster, handler, more, storing) {
      const app = express()
      const store = new TribelineStore({ ...storing, sessions: cluster.sessions })
      app.use(session({ secret, store, resave: false, saveUninitialized: false, ...more }))
      app.use(async (req, res) => {
        const verdict = await handler(req.url, req.session as unknown as Bag)
        if (verdict === 'end') req.session.destroy(() => res.end('bye'))
        else res.send(JSON.stringify(req.session))
      })
      const server = createServer(app)
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
      t.teardown(() => server.close())
      return (server.address() as AddressInfo).port
    },
  },
  {
    name: '@fastify/session',
    cookie: 'sessionId',
    async serve(t, cluster, handler, more, storing) {
      const app = fastify({ forceCloseConnections: true })
      const store = new FastifySessionStore({ ...storing, sessions: cluster.sessions })
      await app.register(store.plugin)
      await app.register(fastifyCookie)
      await app.register(fastifySession, { secret, store, cookie: { secure: false }, ...more })
      app.get('/*', async request => {
        const { session } = request as unknown as { session: Bag & { destroy(): Promise<void> } }
        const verdict = await handler(request.url, session)
        if (verdict === 'end') await session.destroy()
        return verdict === 'end' ? 'bye' : JSON.stringify(session)
      })
      await app.listen({ port: 0, host: '127.0.0.1' })
      t.teardown(() => app.close())
      return (app.server.address() as AddressInfo).port
    },
  },
  {
    name: 'koa-session',
    cookie: 'koa.sess',
    async serve(t, cluster, handler, more, storing) {
      const app = new Koa()
      app.keys = [secret]
      // What a store refuses is an answer with 500 here, and needs no telling.
      app.silent = storing?.readOnly !== undefined
      app.use(koaSession({ store: new KoaSessionStore({ ...storing, sessions: cluster.sessions }), ...more }, app))
      app.use(async ctx => {
        const holder = ctx as unknown as { session: Bag | null }
        const verdict = await handler(ctx.url, holder.session as Bag)
        if (verdict === 'end') holder.session = null
        ctx.body = verdict === 'end' ? 'bye' : JSON.stringify(holder.session)
      })
      const server = createServer(app.callback())
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
      t.teardown(() => server.close())
      return (server.address() as AddressInfo).port
    },
  },
]
