import type { IncomingMessage } from 'node:http'
import { InvalidOptionError } from '../errors.js'
import { type AttributeScopeOptions, scopeOf } from '../session/attribute-scope.js'
import { overridesOf } from '../session/delta-manager-options.js'
import type { Session } from '../session/session.js'
import type { CommitOptions, SessionManager, ViewOptions } from '../session/session-manager.js'
import type { Users } from '../users/users.js'
import { freshened } from './after-fresh.js'
import type { CookieRouting } from './cookie-value.js'
import { ReadYourWrites } from './read-your-writes.js'
import { RouteBinding } from './route-binding.js'
import { SeenCookie } from './seen-cookie.js'
import type { SentCookies, SessionCookieOptions } from './session-cookie.js'
import { SessionCookie, secretsOf, setCookie } from './session-cookie.js'
import type { SessionHost } from './session-host.js'
import { SessionHttpStats } from './session-http-stats.js'
import { SignOnGate, type SignOnOptions } from './sign-on.js'

/** A client came from another member: its own one is gone, or the balancer sends it elsewhere. */
export interface SessionMove {
  /** The session's id: a secret, not to be logged. */
  readonly id: string
  /** The member it was bound to, as the client says: a hint, unsigned. */
  readonly from: string
  /** This member. */
  readonly to: string
}

/**
 * What every adapter of the library takes; `R` is what it calls a request. `ack`, `copies`, `ackTimeoutMs`, `detect`,
 * `merge`, `application` and `shared` override the manager's.
 */
export interface SessionOptions<R> extends Omit<CommitOptions, 'storeEmpty'>, AttributeScopeOptions {
  /** Whose sessions, and whose name goes into the route cookie. */
  readonly cluster: SessionHost
  /** Signs the cookie. A list: the first signs, all verify. */
  readonly secret: string | readonly string[]
  /** The cookie's name. Default `tribeline.sid`. */
  readonly name?: string
  /** Attributes of the cookie; unset ones have their defaults. */
  readonly cookie?: SessionCookieOptions
  /**
   * How a balancer learns which member a client is bound to (a hint, unsigned, and never more: every member has the
   * session). Default `cookie`: a cookie of its own, {@link routeCookie}, whose value is the member's name. `suffix`: the
   * session cookie ends in `~node1` (Apache: `stickysession=tribeline.sid stickysessionsep=~`). `jvmRoute`: it is
   * `<id>~<signature>.node1`, for balancers that take what follows the first dot (Apache by default, mod_jk, JEUS). All
   * formats are read whichever is set, so it can be changed without logging anybody out. The first response of another
   * member binds the client to that one.
   */
  readonly routing?: CookieRouting
  /** Name of the route cookie; false: none. Not with another {@link routing}. Default `tribeline_route`. */
  readonly routeCookie?: string | false
  /**
   * Told once of a client that comes from another member (Tomcat: JvmRouteBinderValve), when its session is found;
   * more than once if it sent several requests before it had the first response. What it throws goes to `onError`.
   */
  readonly onMoved?: (move: SessionMove, req: R) => void
  /**
   * Name of the signed cookie that names the client's last write; false: none. It goes out with each response that wrote,
   * a logout included. A request waits, before its handler runs, until this member has that write, so that clients
   * need not stay with one member ("read your writes"). A request whose member is up to date pays less than a microsecond.
   * Applications on one host that share cookies but not sessions need different names. Default `tribeline_seen`.
   *
   * Not covered: what is written after the headers went out, what is written without `req.session`, and, of parallel
   * requests of one client, all writes but that of the response that came last.
   */
  readonly seenCookie?: string | false
  /**
   * Milliseconds, 0 to 60,000, that a request waits for that write, to the precision of a tenth of a second; then it is
   * served with `req.session.stale`. 0: it never waits. Default 250.
   *
   * It waits again with every request as long as the writer is a member. If that member is gone, and nobody else has what
   * it wrote, the write may be lost: then one request waits and is `stale`, and its response ends it for the next ones. (If
   * the writer was only cut off, its write comes when it is back.)
   */
  readonly catchUpMs?: number
  /** Counts what requests cost. Default: nobody sees it. */
  readonly stats?: SessionHttpStats
  /**
   * Whether a login here is one for all applications of the cluster that have this option, and a logout too, each with its
   * own cookie and session (Tomcat: ClusterSingleSignOn). Default false.
   */
  readonly signOn?: boolean | SignOnOptions
  /** Whether every response that used the session renews its cookie. Default false. */
  readonly rolling?: boolean
  /** Whether a session nobody wrote to is stored too. Default false. */
  readonly saveUninitialized?: boolean
  /**
   * Whether the proxy in front is to be believed when `X-Forwarded-Proto` says that the client came over TLS, for
   * `cookie.secure: 'auto'`. Default false: as the framework says, where it has such a setting of its own.
   */
  readonly trustProxy?: boolean
  /**
   * Seconds after which a session that begins here ends however much it is used; 0: never. Default: the manager's. A
   * cookie with `maxAge` ends with it at the latest. `regenerate` begins a new session and so a new life, with `keep: true`
   * it is the same session and the same life.
   */
  readonly maxLifetime?: number
  /**
   * Requests that only look at their session: all, those whose path matches, or those a test names. What would change
   * it, logging out included, throws a {@link SessionReadOnlyError} at once; what a handler changes in place is not
   * written. Such a request is a use of the session all the same. Default: none.
   */
  readonly readOnly?: boolean | RegExp | ((req: R) => boolean)
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
  /** What keeps clients from seeing less than they have seen; undefined when turned off. */
  readonly readYourWrites: ReadYourWrites | undefined
  readonly stats: SessionHttpStats
  readonly users: Users | undefined
  readonly signOn: SignOnGate | undefined
  readonly trustsProxy: boolean
  readonly savesUninitialized: boolean
  /** How a request's changes are written. */
  readonly send: CommitOptions
  readonly #options: SessionOptions<R>
  readonly #path: string
  readonly #route: RouteBinding
  readonly #start: { readonly maxInactiveInterval?: number; readonly maxLifetime?: number }
  readonly #view: ViewOptions | undefined
  readonly #readOnlyView: ViewOptions
  /** What follows the value in the cookie that names writes: on plain connections, on secure ones. */
  readonly #seenEnds: [string | undefined, string | undefined] = [undefined, undefined]

  /** @throws {InvalidOptionError} when an option is out of range. */
  constructor(options: SessionOptions<R>) {
    const { cluster, name = 'tribeline.sid', seenCookie = 'tribeline_seen' } = options
    if (typeof cluster?.sessions?.find !== 'function') throw new InvalidOptionError('cluster', 'a cluster', cluster)
    const { saveUninitialized, trustProxy, cookie } = options
    this.#options = options
    this.sessions = cluster.sessions
    this.#route = new RouteBinding(cluster.name, name, options)
    this.cookie = new SessionCookie(name, options.secret, cookie, this.#route.routing)
    if (this.#route.cookie !== undefined) this.cookie.companion(this.#route.cookie, cluster.name, true)
    this.stats = options.stats ?? new SessionHttpStats()
    if (seenCookie !== false) this.cookie.companion(seenCookie, 'check', true)
    this.readYourWrites =
      seenCookie === false
        ? undefined
        : new ReadYourWrites({
            sessions: cluster.sessions,
            cookie: new SeenCookie(seenCookie, secretsOf(options.secret), name),
            catchUpMs: options.catchUpMs,
            stats: this.stats,
          })
    this.users = cluster.users
    this.signOn = (options.signOn ?? false) === false ? undefined : new SignOnGate(options)
    this.trustsProxy = trustProxy === true
    this.savesUninitialized = saveUninitialized === true
    const { maxLifetime, ...send } = overridesOf(options)
    this.send = this.savesUninitialized ? { ...send, storeEmpty: true } : send
    this.#path = cookie?.path ?? '/'
    this.#start = {
      ...(cookie?.maxAge === undefined ? {} : { maxInactiveInterval: Math.ceil(cookie.maxAge / 1000) }),
      ...(maxLifetime === undefined ? {} : { maxLifetime }),
    }
    const scope = scopeOf(options)
    this.#view = scope === undefined ? undefined : { scope }
    this.#readOnlyView = { ...this.#view, readOnly: true }
  }

  /** Whether a request has a session. `url`: its path, with or without the query. */
  admits(url: string, req: R): boolean {
    const { filter } = this.#options
    if (filter === undefined && this.#path === '/') return true
    const path = pathOf(url)
    if (!isWithin(path, this.#path)) return false
    if (filter === undefined) return true
    return !(typeof filter === 'function' ? filter(req) : matches(filter, path))
  }

  /** How a request sees its session; undefined: as the manager says. `url`: its path, with or without the query. */
  view(url: string, req: R): ViewOptions | undefined {
    const { readOnly = false } = this.#options
    if (readOnly === false) return this.#view
    if (readOnly === true) return this.#readOnlyView
    const isReadOnly = typeof readOnly === 'function' ? readOnly(req) : matches(readOnly, pathOf(url))
    return isReadOnly ? this.#readOnlyView : this.#view
  }

  /** What the client's `Cookie` header says. */
  read(header: string | undefined): SentCookies {
    return this.cookie.read(header, this.#route.cookie)
  }

  /**
   * Waits until the local copy may be relied on, after a stall, and has what the client has written; to be called before
   * the session is looked for. Undefined: at once. Otherwise fulfilled, never rejected, with the writes the client has
   * seen if some of them are still not here.
   */
  whenReady(header: string | undefined): Promise<readonly string[]> | undefined {
    const unseen = this.readYourWrites?.unseen(header)
    if (unseen === undefined && this.sessions.whenFresh() === undefined) return undefined
    return this.#becomeReady(unseen)
  }

  /** Whether a `Cookie` header binds the client to another member; cheap. */
  isBoundElsewhere(header: string | undefined): boolean {
    return this.#route.isElsewhere(header)
  }

  /** The session that a client has, now used; tells if it comes from another member. */
  find(sent: SentCookies, req: R, view: ViewOptions | undefined): Session | undefined {
    const session = sent.id === undefined ? undefined : this.sessions.find(sent.id, view)
    if (session === undefined) return undefined
    session.touch()
    this.tellMove(sent, req)
    return session
  }

  /** Tells of a client that was bound to another member. */
  tellMove(sent: SentCookies, req: R): void {
    const from = this.#route.from(sent)
    if (from === undefined || sent.id === undefined) return
    this.stats.moves++
    try {
      this.#options.onMoved?.({ id: sent.id, from, to: this.#route.member }, req)
    } catch (error) {
      this.report(error, req)
    }
  }

  /** The Set-Cookie value that binds a client to this member, whose session cookie is not ours to set. */
  bind(sent: SentCookies, isSecure: boolean): readonly string[] {
    const { cookie, member } = this.#route
    return cookie === undefined || sent.route === member ? NONE : [this.cookie.companion(cookie, member, isSecure)]
  }

  /** A session that is not stored yet. */
  create(view: ViewOptions | undefined, attributes: Iterable<readonly [string, unknown]> = []): Session {
    return this.sessions.create({ ...this.#start, ...view, attributes, deferred: true })
  }

  /** The Set-Cookie values that tell the client what it does not know yet. `secure` is asked only if there are any. */
  answer(session: Session, sent: SentCookies, secure: () => boolean): readonly string[] {
    const { cookie } = this
    if (session.isInvalidated) return sent.id === undefined ? NONE : [cookie.clear(secure())]
    // Of a session another request renamed, only that request's client may learn the new id.
    if (session.key === undefined || !session.isValid || session.isRenamed) return NONE
    const { cookie: routeCookie, member } = this.#route
    const isRolling = this.#options.rolling === true
    const tellsId = isRolling || session.id !== sent.id || this.#route.tellsId(sent)
    const tellsRoute = routeCookie !== undefined && (isRolling || sent.route !== member)
    if (!tellsId && !tellsRoute) return NONE
    const isSecure = secure()
    const cookies: string[] = []
    if (tellsId) cookies.push(cookie.issue(session.id, isSecure, member, session.endsInMs))
    if (tellsRoute) cookies.push(cookie.companion(routeCookie, member, isSecure))
    return cookies
  }

  /** The Set-Cookie value for what {@link ReadYourWrites.after} gave. */
  tellSeen(value: string, isSecure: boolean): string {
    const { name } = (this.readYourWrites as ReadYourWrites).cookie
    if (value === '') return setCookie(name, '', isSecure, this.cookie.options, 0)
    // Nothing in a value is to be encoded, and nothing else differs from one to the next.
    const index = isSecure ? 1 : 0
    this.#seenEnds[index] ??= setCookie(name, '', isSecure, this.cookie.options).slice(name.length + 1)
    return `${name}=${value}${this.#seenEnds[index]}`
  }

  /** Whether the header of a proxy says TLS, and that proxy is trusted. */
  isForwardedSecure(header: string | string[] | undefined): boolean {
    if (!this.trustsProxy || header === undefined) return false
    const first = String(header).split(',', 1)[0] as string
    return first.trim().toLowerCase() === 'https'
  }

  async #becomeReady(unseen: readonly string[] = NONE): Promise<readonly string[]> {
    const { sessions, stats } = this
    const beganMs = sessions.wallMs()
    if (sessions.whenFresh() !== undefined) stats.waits++
    await freshened(sessions)
    const isComplete = unseen.length === 0 || (await this.readYourWrites?.catchUp(unseen)) === true
    await freshened(sessions)
    stats.waitMs += Math.max(0, sessions.wallMs() - beganMs)
    if (isComplete) return NONE
    stats.stale++
    return unseen
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

function matches(pattern: RegExp, path: string): boolean {
  pattern.lastIndex = 0
  return pattern.test(path)
}

/** As browsers match a cookie's path (RFC 6265, 5.1.4): `/shop` is for `/shop` and `/shop/cart`, not for `/shopping`. */
function isWithin(path: string, cookiePath: string): boolean {
  if (!path.startsWith(cookiePath)) return false
  return path.length === cookiePath.length || cookiePath.endsWith('/') || path[cookiePath.length] === '/'
}
