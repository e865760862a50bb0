import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { serve as serveHono } from '@hono/node-server'
import type { ExecutionContext } from 'ava'
import express from 'express'
import fastify, { type FastifyRequest } from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { fastifySession } from '../../lib/http/fastify.js'
import { type HonoSession, honoSession } from '../../lib/http/hono.js'
import { clusterSession, type RequestSession, type SessionRequest } from '../../lib/http/index.js'
import { koaSession } from '../../lib/http/koa.js'
import type { Adapter, Reply, Visit, VisitHandler } from './adapter-suite.js'

/** No connection is closed under a request, however slow the machine is. */
const KEEP_ALIVE_MS = 65_000

interface Holder {
  session: RequestSession | null
}

function visitOf(url: string, holder: unknown): Visit {
  const { session } = { session: holder as Holder }
  return {
    url,
    get session() {
      return session.session as RequestSession
    },
    end() {
      session.session = null
    },
  }
}

async function listen(t: ExecutionContext, listener: RequestListener): Promise<number> {
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, listener)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

/** Writes a reply by hand. */
async function write(res: ServerResponse, reply: Reply): Promise<void> {
  if (typeof reply === 'string') res.end(reply)
  else {
    for await (const piece of reply) res.write(piece)
    res.end()
  }
}

async function answer(handler: VisitHandler, req: IncomingMessage, res: ServerResponse): Promise<void> {
  try {
    await write(res, await handler(visitOf(req.url ?? '', req as SessionRequest)))
  } catch {
    res.writeHead(500).end()
  }
}

const nodeHttp: Adapter = {
  name: 'node:http',
  writesLate: true,
  trustsProxies: false,
  async serve(t, options, handler) {
    const handle = clusterSession(options)
    return listen(t, (req, res) => handle(req, res, () => void answer(handler, req, res)))
  },
}

const onExpress: Adapter = {
  name: 'Express',
  writesLate: true,
  trustsProxies: true,
  async serve(t, options, handler, trusts = false) {
    const app = express()
    app.set('trust proxy', trusts)
    app.set('env', 'test')
    app.use(clusterSession(options))
    app.use(async (req, res) => {
      const reply = await handler(visitOf(req.url, req))
      if (typeof reply === 'string') res.send(reply)
      else await write(res, reply)
    })
    return listen(t, app)
  },
}

const onFastify: Adapter = {
  name: 'Fastify',
  writesLate: true,
  trustsProxies: true,
  async serve(t, options, handler, trusts = false) {
    const app = fastify({ trustProxy: trusts, forceCloseConnections: true, keepAliveTimeout: KEEP_ALIVE_MS })
    await app.register(fastifySession, options)
    app.get('/*', async (request, reply) => {
      const body = await handler(visitOf(request.url, request))
      reply.type('text/plain')
      return typeof body === 'string' ? body : Readable.from(body)
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    t.teardown(() => app.close())
    return (app.server.address() as AddressInfo).port
  },
}

const hijackedFastify: Adapter = {
  ...onFastify,
  name: 'Fastify, hijacked replies',
  async serve(t, options, handler, trusts = false) {
    const app = fastify({ trustProxy: trusts, forceCloseConnections: true, keepAliveTimeout: KEEP_ALIVE_MS })
    await app.register(fastifySession, options)
    app.get('/*', (request: FastifyRequest, reply) => {
      reply.hijack()
      const run = async (): Promise<void> => {
        try {
          await write(reply.raw, await handler(visitOf(request.url, request)))
        } catch {
          reply.raw.writeHead(500).end()
        }
      }
      void run()
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    t.teardown(() => app.close())
    return (app.server.address() as AddressInfo).port
  },
}

function koaApp(options: Parameters<typeof koaSession>[0], trusts: boolean): Koa {
  const app = new Koa()
  app.proxy = trusts
  app.silent = true
  app.use(koaSession(options))
  return app
}

const onKoa: Adapter = {
  name: 'Koa',
  writesLate: true,
  trustsProxies: true,
  async serve(t, options, handler, trusts = false) {
    const app = koaApp(options, trusts)
    app.use(async ctx => {
      const reply = await handler(visitOf(ctx.url, ctx))
      ctx.type = 'text/plain'
      ctx.body = typeof reply === 'string' ? reply : Readable.from(reply)
      if (reply === '') ctx.status = 200
    })
    return listen(t, app.callback())
  },
}

const bareKoa: Adapter = {
  ...onKoa,
  name: 'Koa, ctx.respond = false',
  async serve(t, options, handler, trusts = false) {
    const app = koaApp(options, trusts)
    app.use(async ctx => {
      ctx.respond = false
      ctx.res.statusCode = 200
      try {
        await write(ctx.res, await handler(visitOf(ctx.url, ctx)))
      } catch {
        ctx.res.writeHead(500).end()
      }
    })
    return listen(t, app.callback())
  },
}

const onHono: Adapter = {
  name: 'Hono',
  writesLate: false,
  trustsProxies: false,
  async serve(t, { onError, ...options }, handler) {
    const app = new Hono<HonoSession>()
    app.use(honoSession({ ...options, ...(onError === undefined ? {} : { onError: error => onError(error) }) }))
    app.onError((_, c) => c.text('failed', 500))
    app.get('*', async c => {
      const { pathname, search } = new URL(c.req.url)
      const holder: Holder = {
        get session() {
          return c.get('session')
        },
        set session(value) {
          c.set('session', value as RequestSession)
        },
      }
      const reply = await handler(visitOf(pathname + search, holder))
      if (typeof reply === 'string') return c.text(reply)
      return c.body(Readable.toWeb(Readable.from(reply).map(piece => Buffer.from(piece))) as unknown as ReadableStream)
    })
    return new Promise(resolve => {
      const server = serveHono(
        { fetch: app.fetch, port: 0, hostname: '127.0.0.1', serverOptions: { keepAliveTimeout: KEEP_ALIVE_MS } },
        ({ port }) => resolve(port),
      )
      t.teardown(() => {
        server.close()
        if ('closeAllConnections' in server) server.closeAllConnections()
      })
    })
  },
}

/** Every adapter, in each way a reply may be written there. */
export const adapters: readonly Adapter[] = [nodeHttp, onExpress, onFastify, hijackedFastify, onKoa, bareKoa, onHono]
