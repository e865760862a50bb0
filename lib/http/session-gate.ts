import type { IncomingMessage } from 'node:http'
import { InvalidOptionError } from '../errors.js'
import type { Session } from '../session/session.js'
import type { CommitOptions, SessionHost, SessionManager } from '../session/session-manager.js'
import type { SentCookies, SessionCookieOptions } from './session-cookie.js'
import { SessionCookie } from './session-cookie.js'

/**
 * What every adapter of the library takes; `R` is what it calls a request. `ack`, `copies`, `ackTimeoutMs` and `detect`
 * override the manager's.
 */
export interface SessionOptions<R> extends Omit<CommitOptions, 'storeEmpty'> {
  /** Whose sessions, and whose name goes into the route cookie. */
  readonly cluster: SessionHost
  /** Signs the cookie. A list: the first signs, all verify. */
  readonly secret: string | readonly string[]
  /** The cookie's name. Default `tribeline.sid`. */
  readonly name?: string
  /** Attributes of the cookie; unset ones have their defaults. */
  readonly cookie?: SessionCookieOptions
  /** Name of the cookie that tells a balancer the member's name (a hint, unsigned). Default `tribeline_route`. */
  readonly routeCookie?: string | false
  /** Whether every response that used the session renews its cookie. Default false. */
  readonly rolling?: boolean
  /** Whether a session nobody wrote to is stored too. Default false. */
  readonly saveUninitialized?: boolean
  /**
   * Whether the proxy in front is to be believed when `X-Forwarded-Proto` says that the client came over TLS, for
   * `cookie.secure: 'auto'`. Default false: as the framework says, where it has such a setting of its own.
   */
  readonly trustProxy?: boolean
  /** Requests without a session, static content for instance: a pattern for the path, or a test. */
  readonly filter?: RegExp | ((req: R) => boolean)
  /**
   * Hears of changes that could not be stored when the response went out: a value the codec cannot carry, a session
   * begun after the headers were sent, or a {@link SessionOvertakenError}. Default: a process warning.
   */
  readonly onError?: (error: unknown, req: R) => void
}

/** Options of the adapters whose requests are those of `node:http`. */
export interface ClusterSessionOptions extends SessionOptions<IncomingMessage> {}

/** The sessions of one application, as its options ask: what does not change from request to request. */
export class SessionGate<R> {
  readonly sessions: SessionManager
  readonly cookie: SessionCookie
  readonly trustsProxy: boolean
  readonly savesUninitialized: boolean
  /** How a request's changes are written. */
  readonly send: CommitOptions
  readonly #options: SessionOptions<R>
  readonly #path: string
  readonly #routeCookie: string | undefined
  readonly #maxInactiveInterval: number | undefined

  /** @throws {InvalidOptionError} when an option is out of range. */
  constructor(options: SessionOptions<R>) {
    const { cluster, name = 'tribeline.sid', routeCookie = 'tribeline_route' } = options
    if (typeof cluster?.sessions?.find !== 'function') throw new InvalidOptionError('cluster', 'a cluster', cluster)
    const { saveUninitialized, trustProxy, cookie } = options
    this.#options = options
    this.sessions = cluster.sessions
    this.cookie = new SessionCookie(name, options.secret, cookie)
    this.#routeCookie = routeCookie === false ? undefined : routeCookie
    if (this.#routeCookie !== undefined) this.cookie.companion(this.#routeCookie, cluster.name, true)
    this.trustsProxy = trustProxy === true
    this.savesUninitialized = saveUninitialized === true
    this.send = sendOf(options)
    this.#path = cookie?.path ?? '/'
    this.#maxInactiveInterval = cookie?.maxAge === undefined ? undefined : Math.ceil(cookie.maxAge / 1000)
  }

  /** Whether a request has a session. `url`: its path, with or without the query. */
  admits(url: string, req: R): boolean {
    const { filter } = this.#options
    if (filter === undefined && this.#path === '/') return true
    const path = pathOf(url)
    if (!isWithin(path, this.#path)) return false
    if (filter === undefined) return true
    if (typeof filter === 'function') return !filter(req)
    filter.lastIndex = 0
    return !filter.test(path)
  }

  /** What the client's `Cookie` header says. */
  read(header: string | undefined): SentCookies {
    return this.cookie.read(header, this.#routeCookie)
  }

  /** The session with this id, now used, or a new one. */
  load(id: string | undefined): Session {
    const session = id === undefined ? undefined : this.sessions.find(id)
    if (session === undefined) return this.create()
    session.touch()
    return session
  }

  /** A session that is not stored yet. */
  create(attributes: Iterable<readonly [string, unknown]> = []): Session {
    const interval = this.#maxInactiveInterval
    const start = { attributes, deferred: true }
    return this.sessions.create(interval === undefined ? start : { ...start, maxInactiveInterval: interval })
  }

  /** The Set-Cookie values that tell the client what it does not know yet. `secure` is asked only if there are any. */
  answer(session: Session, sent: SentCookies, secure: () => boolean): readonly string[] {
    const { cookie } = this
    if (session.isInvalidated) return sent.id === undefined ? NONE : [cookie.clear(secure())]
    // Of a session another request renamed, only that request's client may learn the new id.
    if (session.key === undefined || !session.isValid || session.isRenamed) return NONE
    const { rolling, cluster } = this.#options
    const tellsId = rolling === true || session.id !== sent.id
    const tellsRoute = this.#routeCookie !== undefined && (rolling === true || sent.route !== cluster.name)
    if (!tellsId && !tellsRoute) return NONE
    const isSecure = secure()
    const cookies: string[] = []
    if (tellsId) cookies.push(cookie.issue(session.id, isSecure))
    if (tellsRoute) cookies.push(cookie.companion(this.#routeCookie as string, cluster.name, isSecure))
    return cookies
  }

  /** Whether the header of a proxy says TLS, and that proxy is trusted. */
  isForwardedSecure(header: string | string[] | undefined): boolean {
    if (!this.trustsProxy || header === undefined) return false
    const first = String(header).split(',', 1)[0] as string
    return first.trim().toLowerCase() === 'https'
  }

  report(error: unknown, req: R): void {
    const { onError } = this.#options
    if (onError !== undefined) return onError(error, req)
    process.emitWarning(error instanceof Error ? error.message : String(error), {
      code: 'TRIBELINE_SESSION_NOT_STORED',
    })
  }
}

/** No cookies. */
export const NONE: readonly string[] = []

function pathOf(url: string): string {
  const query = url.indexOf('?')
  return query === -1 ? url : url.slice(0, query)
}

function sendOf({ ack, copies, ackTimeoutMs, detect, saveUninitialized }: SessionOptions<never>): CommitOptions {
  return {
    ...(ack === undefined ? {} : { ack }),
    ...(copies === undefined ? {} : { copies }),
    ...(ackTimeoutMs === undefined ? {} : { ackTimeoutMs }),
    ...(detect === undefined ? {} : { detect }),
    ...(saveUninitialized === true ? { storeEmpty: true } : {}),
  }
}

/** As browsers match a cookie's path (RFC 6265, 5.1.4): `/shop` is for `/shop` and `/shop/cart`, not for `/shopping`. */
function isWithin(path: string, cookiePath: string): boolean {
  if (!path.startsWith(cookiePath)) return false
  return path.length === cookiePath.length || cookiePath.endsWith('/') || path[cookiePath.length] === '/'
}
