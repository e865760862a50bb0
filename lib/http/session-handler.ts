import type { IncomingMessage, OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { InvalidOptionError, SessionOvertakenError } from '../errors.js'
import type { Session } from '../session/session.js'
import type { CommitOptions, SessionHost } from '../session/session-manager.js'
import { afterFresh } from './after-fresh.js'
import type { RequestSession } from './request-session.js'
import { SessionExchange } from './request-session.js'
import type { SessionCookieOptions } from './session-cookie.js'
import { SessionCookie } from './session-cookie.js'

/** Options of {@link clusterSession}. `ack`, `copies`, `ackTimeoutMs` and `detect` override the manager's. */
export interface ClusterSessionOptions extends Omit<CommitOptions, 'storeEmpty'> {
  readonly cluster: SessionHost
  /** Signs the cookie. A list: the first signs, all verify. */
  readonly secret: string | readonly string[]
  /** The cookie's name. Default `tribeline.sid`. */
  readonly name?: string
  readonly cookie?: SessionCookieOptions
  /** Name of the cookie that tells a balancer the member's name (a hint, unsigned). Default `tribeline_route`. */
  readonly routeCookie?: string | false
  /** Whether every response that used the session renews its cookie. Default false. */
  readonly rolling?: boolean
  /** Whether a session nobody wrote to is stored too. Default false. */
  readonly saveUninitialized?: boolean
  /** Requests without a session, static content for instance: a pattern for the path, or a test. */
  readonly filter?: RegExp | ((req: IncomingMessage) => boolean)
  /**
   * Hears of changes that could not be stored when the response went out: a value the codec cannot carry, a session
   * begun after the headers were sent, or a {@link SessionOvertakenError}. Default: a process warning.
   */
  readonly onError?: (error: unknown, req: IncomingMessage) => void
}

/** A request that came through {@link clusterSession}. */
export interface SessionRequest extends IncomingMessage {
  /** Loaded when first read. Assigning null or undefined ends the session. */
  session: RequestSession
}

/** The shape of middleware in Connect, Express and plain `node:http`. */
export type SessionHandler = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void

const exchanges = new WeakMap<IncomingMessage, SessionExchange>()

/** The session of a request that came through {@link clusterSession}; undefined for others and for filtered ones. */
export function sessionOf(req: IncomingMessage): RequestSession | undefined {
  return exchanges.get(req)?.facade
}

/**
 * Sessions of the cluster on `req.session`, for `node:http`, Connect and Express. Loading is lazy and local. What a
 * request changed is written as one delta when its headers go out (later changes when it ends), and the response ends
 * when the delta is acknowledged as `ack` asks, or after `ackTimeoutMs`: a client that follows a redirect to another
 * member finds what it wrote. A response that streams before it ends has sent its headers by then.
 *
 * After a stall of this process (see {@link SessionManager.whenFresh}) requests wait until the local copy has caught up;
 * those whose client hung up meanwhile are dropped, for it asks elsewhere by now. A request that was under way commits
 * once the copy has caught up. If another member has changed the same attributes, nothing of it is stored, and it is
 * answered with 503, or cut off when its headers are out: what was not stored is not confirmed.
 *
 * @throws {InvalidOptionError} when an option is out of range.
 */
export function clusterSession(options: ClusterSessionOptions): SessionHandler {
  const { cluster, name = 'tribeline.sid', routeCookie = 'tribeline_route', filter } = options
  if (typeof cluster?.sessions?.find !== 'function') throw new InvalidOptionError('cluster', 'a cluster', cluster)
  const cookie = new SessionCookie(name, options.secret, options.cookie)
  if (routeCookie !== false) cookie.companion(routeCookie, cluster.name, true)
  const skips = filter instanceof RegExp ? (req: IncomingMessage) => matches(filter, pathOf(req)) : filter
  const path = options.cookie?.path ?? '/'
  const context: Context = { options, cookie, routeCookie }
  return function handleSession(req, res, next) {
    if (exchanges.has(req) || !pathOf(req).startsWith(path) || skips?.(req) === true) return next()
    const wait = cluster.sessions.whenFresh()
    if (wait === undefined) {
      attach(context, req, res)
      return next()
    }
    afterFresh(cluster.sessions, () => {
      if (res.destroyed || res.writableEnded || exchanges.has(req)) return
      attach(context, req, res)
      next()
    })
  }
}

interface Context {
  readonly options: ClusterSessionOptions
  readonly cookie: SessionCookie
  readonly routeCookie: string | false
}

function attach(context: Context, req: IncomingMessage, res: ServerResponse): void {
  const { options, cookie } = context
  const { sessions } = options.cluster
  const { maxAge } = cookie.options
  const interval = maxAge === undefined ? {} : { maxInactiveInterval: Math.ceil(maxAge / 1000) }
  const create = (attributes: Iterable<readonly [string, unknown]>): Session =>
    sessions.create({ ...interval, attributes, deferred: true })
  const load = (): Session => {
    const id = cookie.verify(SessionCookie.parse(req.headers.cookie)[cookie.name])
    const session = id === undefined ? undefined : sessions.find(id)
    session?.touch()
    return session ?? create([])
  }
  const send = { ...pick(options), ...(options.saveUninitialized === true ? { storeEmpty: true } : {}) }
  const exchange = new SessionExchange(sessions, load, create, send)
  exchanges.set(req, exchange)
  Object.defineProperty(req, 'session', {
    configurable: true,
    enumerable: true,
    get: () => exchange.facade,
    set: (value: unknown) => {
      if (value !== null && value !== undefined) throw new TypeError('req.session can only be set to null')
      exchange.invalidate()
    },
  })
  wrapResponse(context, exchange, req, res)
}

/** Hooks the two moments that matter: the headers go out, the response ends. */
function wrapResponse(context: Context, exchange: SessionExchange, req: IncomingMessage, res: ServerResponse): void {
  const { writeHead, end } = res
  const { sessions } = context.options.cluster
  let headed = false
  let held = false
  let overtaken = false
  const commit = (): void => {
    try {
      if (context.options.saveUninitialized === true && !res.headersSent) void exchange.facade
      const session = exchange.loaded
      if (session === undefined || session.isInvalidated) return
      const late = res.headersSent && session.key === undefined
      if (late && session.names().length === 0) return
      if (late) throw new Error('A session was begun after the headers were sent; its client cannot get the cookie')
      // The end of the response will wait and then write.
      if (session.key !== undefined && !sessions.fresh) return
      exchange.commit()
    } catch (error) {
      if (error instanceof SessionOvertakenError) overtaken = true
      report(context, error, req)
    }
  }
  const takeCookies = (): string[] => {
    if (headed) return []
    headed = true
    commit()
    return exchange.loaded === undefined ? [] : cookiesFor(context, exchange.loaded, req)
  }

  res.writeHead = function writeHeadWithSession(...args: unknown[]): ServerResponse {
    const cookies = takeCookies()
    if (cookies.length > 0) addCookies(res, args, cookies)
    return Reflect.apply(writeHead, res, args) as ServerResponse
  } as typeof res.writeHead

  const finish = (args: unknown[]): ServerResponse => {
    if (res.headersSent) {
      if (!res.writableEnded) commit()
    } else addCookies(res, [], takeCookies())
    if (overtaken && res.headersSent) return res.destroy()
    if (overtaken) refuse(res, args)
    if (exchange.receipts.length === 0 || res.writableEnded) return Reflect.apply(end, res, args) as ServerResponse
    held = true
    void Promise.all(exchange.receipts).then(() => Reflect.apply(end, res, args))
    return res
  }

  res.end = function endWithSession(...args: unknown[]): ServerResponse {
    // The first end is under way; what it will send is settled.
    if (held) return res
    // A new session undoes nothing.
    if (exchange.loaded?.key === undefined || sessions.fresh) return finish(args)
    held = true
    afterFresh(sessions, () => {
      held = false
      finish(args)
    })
    return res
  } as typeof res.end
}

/** Says that the request had no effect instead of what its handler wanted to say. */
function refuse(res: ServerResponse, args: unknown[]): void {
  for (const name of res.getHeaderNames()) if (/^(content-|etag$|last-modified$)/.test(name)) res.removeHeader(name)
  res.statusCode = 503
  res.statusMessage = ''
  res.setHeader('Retry-After', '0')
  const callback = args.find(arg => typeof arg === 'function')
  args.splice(0, args.length, ...(callback === undefined ? [] : [callback]))
}

function cookiesFor({ options, cookie, routeCookie }: Context, session: Session, req: IncomingMessage): string[] {
  const sent = SessionCookie.parse(req.headers.cookie)
  const secure = isSecure(req)
  const sentId = cookie.verify(sent[cookie.name])
  if (session.isInvalidated) return sentId === undefined ? [] : [cookie.clear(secure)]
  // Of a session another request renamed, only that request's client may learn the new id.
  if (session.key === undefined || !session.isValid || session.isRenamed) return []
  const cookies: string[] = []
  if (session.id !== sentId || options.rolling === true) cookies.push(cookie.issue(session.id, secure))
  const { name } = options.cluster
  if (routeCookie !== false && (sent[routeCookie] !== name || options.rolling === true)) {
    cookies.push(cookie.companion(routeCookie, name, secure))
  }
  return cookies
}

/** Adds Set-Cookie beside those of `setHeader` and those in the arguments of `writeHead`, which would replace them. */
function addCookies(res: ServerResponse, args: unknown[], cookies: readonly string[]): void {
  if (cookies.length === 0) return
  const headers = args.find(arg => typeof arg === 'object' && arg !== null)
  if (Array.isArray(headers) && hasSetCookie(headers)) {
    const pairs = Array.isArray(headers[0])
    const more = cookies.flatMap<unknown>(value => (pairs ? [['Set-Cookie', value]] : ['Set-Cookie', value]))
    args[args.indexOf(headers)] = [...headers, ...more]
    return
  }
  const map = Array.isArray(headers) ? undefined : (headers as OutgoingHttpHeaders | undefined)
  const name = Object.keys(map ?? {}).find(key => key.toLowerCase() === 'set-cookie')
  if (map !== undefined && name !== undefined) {
    args[args.indexOf(map)] = { ...map, [name]: [...listOf(map[name]), ...cookies] }
    return
  }
  res.setHeader('Set-Cookie', [...listOf(res.getHeader('Set-Cookie')), ...cookies])
}

function hasSetCookie(headers: readonly unknown[]): boolean {
  const names = Array.isArray(headers[0])
    ? headers.map(pair => (pair as unknown[])[0])
    : headers.filter((_, index) => index % 2 === 0)
  return names.some(name => String(name).toLowerCase() === 'set-cookie')
}

function listOf(header: OutgoingHttpHeader | undefined): string[] {
  if (header === undefined) return []
  return Array.isArray(header) ? header : [String(header)]
}

function pathOf(req: IncomingMessage): string {
  const url = (req as { originalUrl?: string }).originalUrl ?? req.url ?? '/'
  const query = url.indexOf('?')
  return query === -1 ? url : url.slice(0, query)
}

function isSecure(req: IncomingMessage): boolean {
  return (req.socket as { encrypted?: boolean }).encrypted === true || (req as { secure?: boolean }).secure === true
}

function matches(pattern: RegExp, path: string): boolean {
  pattern.lastIndex = 0
  return pattern.test(path)
}

function pick(options: ClusterSessionOptions): CommitOptions {
  const { ack, copies, ackTimeoutMs, detect } = options
  return {
    ...(ack === undefined ? {} : { ack }),
    ...(copies === undefined ? {} : { copies }),
    ...(ackTimeoutMs === undefined ? {} : { ackTimeoutMs }),
    ...(detect === undefined ? {} : { detect }),
  }
}

function report({ options }: Context, error: unknown, req: IncomingMessage): void {
  if (options.onError !== undefined) return options.onError(error, req)
  process.emitWarning(error instanceof Error ? error.message : String(error), { code: 'TRIBELINE_SESSION_NOT_STORED' })
}
