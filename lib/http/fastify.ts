import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { describesBody, NodeExchange } from './requests/node-exchange.js'
import { attach, exchangeOf } from './requests/node-hooks.js'
import type { RequestSession } from './requests/request-session.js'
import { SessionGate } from './requests/session-gate.js'
import type { ClusterSessionOptions } from './requests/session-options.js'

export type { CookieRouting } from './cookies/cookie-value.js'
export type { SessionCookieOptions } from './cookies/session-cookie.js'
export type { RegenerateOptions, RequestSession, RequestSessionMethods } from './requests/request-session.js'
export type { RequestTest } from './requests/request-test.js'
export { SessionHttpStats } from './requests/session-http-stats.js'
export type { ClusterSessionOptions, SessionMove } from './requests/session-options.js'
export { FastifySessionStore } from './stores/fastify-store.js'
export type { StoredData, StoreOptions } from './stores/stored-sessions.js'

/** What `register` takes for itself from a plugin's options, and leaves in them. */
type OfFastify = ClusterSessionOptions & { prefix?: unknown; logLevel?: unknown; logSerializers?: unknown }

/** Fastify says by its `trustProxy` whether a proxy is to be believed. */
class FastifyExchange extends NodeExchange {
  readonly #request: FastifyRequest

  constructor(gate: SessionGate<IncomingMessage>, request: FastifyRequest, reply: FastifyReply) {
    super(gate, request.raw, reply.raw)
    this.#request = request
  }

  override get isSecure(): boolean {
    return this.#request.protocol === 'https' || super.isSecure
  }
}

/** The session of a request; undefined for one that was filtered. The same as `request.session`, with its type. */
export function sessionOf(request: FastifyRequest): RequestSession | undefined {
  return exchangeOf(request.raw)?.facade
}

/**
 * A Fastify plugin: sessions of the cluster on `request.session`, loaded when first read; assigning null or undefined
 * ends the session. Register it once, where its requests begin: it is not encapsulated.
 *
 * Changes are written as one delta before the reply leaves, after all `onSend` hooks registered before; the reply waits
 * until the delta is acknowledged as `ack` asks, or for `ackTimeoutMs`. What a stream changes while it is sent is
 * written when it ends. Replies after `reply.hijack()` are watched too. Stalls of the process are as with
 * `clusterSession`: 503 where another member was faster.
 *
 * Types: `declare module 'fastify' { interface FastifyRequest { session: RequestSession } }`, or use {@link sessionOf}.
 * The library does not declare it, for `@fastify/session` does so differently.
 *
 * @throws {InvalidOptionError} when an option is out of range; `app.ready()` rejects with it.
 */
export async function fastifySession(app: FastifyInstance, options: ClusterSessionOptions): Promise<void> {
  const { prefix: _prefix, logLevel: _logLevel, logSerializers: _logSerializers, ...own } = options as OfFastify
  const gate = new SessionGate<IncomingMessage>(own)

  app.decorateRequest<unknown, string>('session', {
    getter(this: FastifyRequest) {
      return sessionOf(this)
    },
    setter(this: FastifyRequest, value: unknown) {
      if (value !== null && value !== undefined) throw new TypeError('request.session can only be set to null')
      exchangeOf(this.raw)?.invalidate()
    },
  })

  app.addHook('onRequest', (request, reply, next) => {
    const { raw } = request
    if (exchangeOf(raw) !== undefined || !gate.admits(request.originalUrl, raw)) return next()
    const exchange = new FastifyExchange(gate, request, reply)
    const wait = exchange.whenReady()
    if (wait === undefined) {
      attach(exchange, raw, reply.raw)
      return next()
    }
    const goOn = (): void => {
      if (reply.raw.destroyed || reply.raw.writableEnded) return
      attach(exchange, raw, reply.raw)
      next()
    }
    void wait.then(() => process.nextTick(goOn))
  })

  app.addHook('onSend', (request, reply, payload, next) => {
    const exchange = exchangeOf(request.raw)
    if (exchange === undefined) return next(null, payload)
    exchange.conclude(cookies => {
      if (!isStream(payload)) exchange.close()
      if (exchange.takeRefusal()) {
        refuse(reply, payload)
        return next(null, '')
      }
      for (const cookie of cookies) reply.header('set-cookie', cookie)
      next(null, payload)
    })
  })
}

// What the package fastify-plugin would add: hooks and decorator are the whole application's, not a child's.
Object.assign(fastifySession, {
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: 'tribeline',
  [Symbol.for('plugin-meta')]: { fastify: '>=5', name: 'tribeline' },
})

function isStream(payload: unknown): boolean {
  return typeof payload === 'object' && payload !== null && !ArrayBuffer.isView(payload)
}

/** Says that the request had no effect instead of what its handler wanted to say. */
function refuse(reply: FastifyReply, payload: unknown): void {
  for (const name of Object.keys(reply.getHeaders())) if (describesBody(name.toLowerCase())) reply.removeHeader(name)
  reply.code(503).header('retry-after', '0')
  const { destroy } = (payload ?? {}) as { destroy?: unknown }
  if (typeof destroy === 'function') destroy.call(payload)
}
