import type { Context, MiddlewareHandler } from 'hono'
import type { Session } from '../session/session.js'
import type { RegenerateOptions, RequestSession } from './requests/request-session.js'
import { SessionExchange } from './requests/session-exchange.js'
import { SessionGate } from './requests/session-gate.js'
import type { SessionOptions } from './requests/session-options.js'

export type { CookieRouting } from './cookies/cookie-value.js'
export type { SessionCookieOptions } from './cookies/session-cookie.js'
export type { RegenerateOptions, RequestSession, RequestSessionMethods } from './requests/request-session.js'
export type { RequestTest } from './requests/request-test.js'
export { SessionHttpStats } from './requests/session-http-stats.js'
export type { SessionMove } from './requests/session-options.js'

/** Options of {@link honoSession}; `filter` and `onError` get Hono's context. */
export interface HonoSessionOptions extends SessionOptions<Context> {}

/** For `new Hono<HonoSession>()`. */
export interface HonoSession {
  Variables: { session: RequestSession }
}

type SessionContext = Context<HonoSession>

class HonoExchange extends SessionExchange<Context> {
  protected override readonly request: SessionContext
  protected override readonly isHeaded = false

  constructor(gate: SessionGate<Context>, c: SessionContext) {
    super(gate, c.req.header('cookie'))
    this.request = c
  }

  protected override get url(): string {
    return this.request.req.path
  }

  override get isSecure(): boolean {
    const { req } = this.request
    return req.url.startsWith('https:') || this.gate.isForwardedSecure(req.header('x-forwarded-proto'))
  }

  override regenerate(old: Session, options: RegenerateOptions): RequestSession {
    const facade = super.regenerate(old, options)
    this.request.set('session', facade)
    return facade
  }
}

/**
 * Hono middleware: sessions of the cluster as `c.get('session')` and `c.var.session`; setting it to null ends the
 * session, and anything else is reported. Unlike elsewhere it is loaded with every request that is not filtered, for
 * Hono's variables are values.
 *
 * Changes are written when the handlers are done, also after an error, and the reply waits until they are acknowledged
 * as `ack` asks, or for `ackTimeoutMs`. What a stream changes while it is sent needs `session.save()`. Stalls of the
 * process are as with `clusterSession`: 503 where another member was faster. Behind a proxy that ends TLS set
 * `trustProxy` or `cookie.secure`.
 *
 * @throws {InvalidOptionError} when an option is out of range.
 */
export function honoSession(options: HonoSessionOptions): MiddlewareHandler<HonoSession> {
  const gate = new SessionGate(options)
  return async function handleSession(c, next) {
    if (c.get('session') !== undefined || !gate.admits(c.req.path, c)) return next()
    const exchange = new HonoExchange(gate, c)
    const wait = exchange.whenReady()
    if (wait !== undefined) await wait
    c.set('session', exchange.facade)
    await next()
    const left = c.get('session') as RequestSession | null | undefined
    if (left == null) exchange.invalidate()
    else if (left !== exchange.facade) gate.report(new TypeError("c.set('session', …) takes nothing but null"), c)
    const cookies = await new Promise<readonly string[]>(resolve => exchange.conclude(resolve))
    if (exchange.takeRefusal()) {
      await c.res.body?.cancel()
      c.res = undefined
      c.res = new Response(null, { status: 503, headers: { 'Retry-After': '0' } })
      return
    }
    for (const cookie of cookies) c.header('Set-Cookie', cookie, { append: true })
  }
}
