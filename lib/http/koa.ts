import type { IncomingMessage } from 'node:http'
import type { Context, Middleware } from 'koa'
import { NodeExchange } from './requests/node-exchange.js'
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
export type { KoaStoreContext } from './stores/koa-store.js'
export { KoaSessionStore } from './stores/koa-store.js'
export type { StoredData, StoreOptions } from './stores/stored-sessions.js'

/** Koa says by `app.proxy` whether a proxy is to be believed. */
class KoaExchange extends NodeExchange {
  readonly #ctx: Context

  constructor(gate: SessionGate<IncomingMessage>, ctx: Context) {
    super(gate, ctx.req, ctx.res)
    this.#ctx = ctx
  }

  protected override get url(): string {
    return this.#ctx.originalUrl
  }

  override get isSecure(): boolean {
    return this.#ctx.secure || super.isSecure
  }
}

const SESSION: PropertyDescriptor & ThisType<Context> = {
  configurable: true,
  enumerable: true,
  get() {
    return sessionOf(this)
  },
  set(value: unknown) {
    if (value !== null && value !== undefined) throw new TypeError('ctx.session can only be set to null')
    exchangeOf(this.req)?.invalidate()
  },
}

/** The session of a request; undefined for one that was filtered. The same as `ctx.session`, with its type. */
export function sessionOf(ctx: Pick<Context, 'req'>): RequestSession | undefined {
  return exchangeOf(ctx.req)?.facade
}

/**
 * Koa middleware: sessions of the cluster on `ctx.session`, loaded when first read; assigning null or undefined ends
 * the session. Changes are written when the reply goes out, also the reply to an error and one that is written with
 * `ctx.respond = false`; everything else is as with `clusterSession` of `node:http`. A reply that is a stream has sent
 * its headers before it ends: a session must have begun by then.
 *
 * Types: `declare module 'koa' { interface DefaultContext { session: RequestSession } }`, or use {@link sessionOf}.
 *
 * @throws {InvalidOptionError} when an option is out of range.
 */
export function koaSession(options: ClusterSessionOptions): Middleware {
  const gate = new SessionGate(options)
  return async function handleSession(ctx, next) {
    const { req, res } = ctx
    if (exchangeOf(req) !== undefined || !gate.admits(ctx.originalUrl, req)) return next()
    const exchange = new KoaExchange(gate, ctx)
    const wait = exchange.whenReady()
    if (wait !== undefined) await wait
    if (res.destroyed || res.writableEnded) {
      // The client hung up meanwhile, and asks elsewhere by now.
      ctx.respond = false
      return
    }
    attach(exchange, req, res)
    Object.defineProperty(ctx, 'session', SESSION)
    return next()
  }
}
