import { InvalidOptionError } from '../../errors.js'
import { scopeOf } from '../../session/attribute-scope.js'
import { overridesOf } from '../../session/delta-manager-options.js'
import type { Session } from '../../session/session.js'
import type { CommitOptions, SessionManager, ViewOptions } from '../../session/session-manager.js'
import type { Users } from '../../users/users.js'
import { freshened } from '../after-fresh.js'
import { RouteBinding } from '../cookies/route-binding.js'
import { SeenCookie } from '../cookies/seen-cookie.js'
import type { ClientConnection, SentCookies } from '../cookies/session-cookie.js'
import { SessionCookie, secretsOf, setCookie } from '../cookies/session-cookie.js'
import { ALL_SEEN, ReadYourWrites, type SeenChange, type Unseen } from './read-your-writes.js'
import { isNamed, matches, pathOf } from './request-test.js'
import { SessionHttpStats } from './session-http-stats.js'
import { checkSessionOptions, type SessionOptions } from './session-options.js'
import { SignOnGate } from './sign-on.js'

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
    checkSessionOptions(options)
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
            cluster,
            cookie: new SeenCookie(seenCookie, secretsOf(options.secret), name),
            catchUpMs: options.catchUpMs,
            stats: this.stats,
          })
    this.users = cluster.users
    this.signOn = (options.signOn ?? false) === false ? undefined : new SignOnGate(options)
    checkNames([
      ['name', name],
      ['routeCookie', this.#route.cookie],
      ...(this.readYourWrites?.cookie.names ?? []).map(one => ['seenCookie', one] as const),
      ['signOn.name', this.signOn?.cookie.name],
    ])
    this.trustsProxy = trustProxy === true
    const { maxLifetime, ...send } = overridesOf(options)
    this.send = saveUninitialized === true ? { ...send, storeEmpty: true } : send
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
    return isNamed(readOnly, url, req) ? this.#readOnlyView : this.#view
  }

  /** What the client's `Cookie` header says. */
  read(header: string | undefined): SentCookies {
    return this.cookie.read(header, this.#route.cookie)
  }

  /**
   * Waits until the local copy may be relied on, after a stall, and has what the client has written; to be called before
   * the session is looked for. Undefined: at once. Otherwise fulfilled, never rejected, with what the client has seen if
   * some of it is still not here, for {@link tellSeen}.
   */
  whenReady(header: string | undefined): Promise<Unseen> | undefined {
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

  /** The Set-Cookie values that tell the client what it does not know yet. */
  answer(session: Session, sent: SentCookies, client: ClientConnection): readonly string[] {
    const { cookie } = this
    if (session.isInvalidated) return sent.id === undefined ? NONE : [cookie.clear(client.isSecure)]
    if (session.key === undefined) return NONE
    const { cookie: routeCookie, member } = this.#route
    const isRolling = this.#options.rolling === true
    const tellsId = isRolling || session.id !== sent.id || this.#route.tellsId(sent)
    const tellsRoute = routeCookie !== undefined && (isRolling || sent.route !== member)
    if (!tellsId && !tellsRoute) return NONE
    // Of a session another request renamed, only that request's client may learn the new id.
    if (!session.isValid || session.isRenamed) return NONE
    const { isSecure } = client
    const cookies: string[] = []
    if (tellsId) cookies.push(cookie.issue(session.id, isSecure, member, session.endsInMs))
    if (tellsRoute) cookies.push(cookie.companion(routeCookie, member, isSecure))
    return cookies
  }

  /**
   * The Set-Cookie values by which a client learns of the writes its request made, and of those it need not wait for
   * again; see {@link ReadYourWrites.after}.
   */
  tellSeen(unseen: Unseen, written: readonly string[], client: ClientConnection): readonly string[] {
    const changes = this.readYourWrites?.after(unseen, written)
    if (changes === undefined || changes.length === 0) return NONE
    const cookies: string[] = []
    for (const one of changes) cookies.push(this.#seenCookie(one, client.isSecure))
    return cookies
  }

  #seenCookie({ name, value }: SeenChange, isSecure: boolean): string {
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

  async #becomeReady({ lacking, refused }: Unseen = ALL_SEEN): Promise<Unseen> {
    const { sessions, stats } = this
    const beganMs = sessions.wallMs()
    if (sessions.whenFresh() !== undefined) stats.waits++
    await freshened(sessions)
    const isComplete = lacking.length === 0 || (await this.readYourWrites?.catchUp(lacking)) === true
    await freshened(sessions)
    stats.waitMs += Math.max(0, sessions.wallMs() - beganMs)
    if (isComplete) return { lacking: ALL_SEEN.lacking, refused }
    stats.stale++
    return { lacking, refused }
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

/** Two cookies of one name would be one. */
function checkNames(names: readonly (readonly [option: string, name: string | undefined])[]): void {
  const known = new Set<string>()
  for (const [option, name] of names) {
    if (name === undefined) continue
    if (known.has(name)) throw new InvalidOptionError(option, 'the name of no other cookie of ours', name)
    known.add(name)
  }
}

/** As browsers match a cookie's path (RFC 6265, 5.1.4): `/shop` is for `/shop` and `/shop/cart`, not for `/shopping`. */
function isWithin(path: string, cookiePath: string): boolean {
  if (!path.startsWith(cookiePath)) return false
  return path.length === cookiePath.length || cookiePath.endsWith('/') || path[cookiePath.length] === '/'
}
