import type { IncomingMessage } from 'node:http'
import { createRequire } from 'node:module'
import type { Request } from 'express'
import type session from 'express-session'
import type { Session as ExpressSession, SessionData } from 'express-session'
import { LRUCache } from 'lru-cache'
import { SessionReadOnlyError, TribelineError } from '../errors.js'
import { nextTurn } from '../runtime/node-turn.js'
import type { Session } from '../session/session.js'
import { answer, type Callback, settle } from './stores/callbacks.js'
import { dataOf, type StoredData, StoredSessions, type StoreOptions } from './stores/stored-sessions.js'
import { remember, viewOf } from './stores/stored-view.js'

export type { RequestTest } from './requests/request-test.js'
export type { RouteCookieOptions } from './stores/route-cookie.js'
export { isStale, routeCookie } from './stores/route-cookie.js'

/** Ended sessions whose last write is remembered, for the answers under way. */
const ENDED_MAX = 1_000

const Store: typeof session.Store = loadStore()

/** Options of {@link TribelineStore}: a cluster, or the session manager alone. */
export interface TribelineStoreOptions extends StoreOptions<IncomingMessage> {}

/**
 * A store for express-session that keeps sessions in the cluster. Use one store object for each `session()` call; any
 * number of them may share a cluster.
 *
 * Parallel requests to one session are merged by attribute: each writes only what it changed since it loaded the
 * session. A session that was destroyed meanwhile stays destroyed; the late `set` succeeds and writes nothing. The
 * callback of `set` and `destroy` waits for the receipt, as the manager's `ack` and `ackTimeoutMs` say. Every callback
 * may be left out. `disconnect` is never emitted: without its peers a member still serves its own copy.
 *
 * After a stall of this process (see {@link SessionManager.whenFresh}) every method waits until the local copy has caught
 * up. The `set` of a request that was under way fails with a {@link SessionOvertakenError}, and writes nothing, when
 * another member has changed the same attributes meanwhile; express-session hands that error to the application.
 *
 * With `readOnly`, `destroy` alone is not refused, for express-session does not say whose request it is.
 *
 * express-session itself decides whether data changed by comparing JSON, so it misses changes inside a Map or Set, and a
 * request whose session has a BigInt or a circular reference is never answered.
 */
export class TribelineStore extends Store {
  readonly #stored: StoredSessions<IncomingMessage>
  readonly #ended = new LRUCache<string, string>({ max: ENDED_MAX })

  /** @throws {InvalidOptionError} without a cluster, or when an option is out of range. */
  constructor(options: TribelineStoreOptions) {
    super()
    this.#stored = new StoredSessions(options)
  }

  override get(sid: string, callback?: Callback<[data?: SessionData | null]>): void {
    const find = (): SessionData | null => {
      const view = this.#stored.find(sid)
      return view === undefined ? null : load(view)
    }
    // As MemoryStore does: the requests that came in one round are answered together, for a tenth less CPU each.
    nextTurn(() => answer(this.#stored.sessions, callback, find))
  }

  override set(sid: string, data: SessionData, callback?: Callback<[]>): void {
    settle(this.#stored.sessions, callback, () => {
      const cookie = this.#stored.cookieFrom(data?.cookie)
      const base = this.#viewOf(data, sid)
      const { view, receipt } = this.#stored.save(
        sid,
        data as never as StoredData,
        cookie,
        base,
        this.#isReadOnly(data),
      )
      if (view !== undefined) remember(data, view)
      return receipt
    })
  }

  override destroy(sid: string, callback?: Callback<[]>): void {
    settle(this.#stored.sessions, callback, () => {
      const view = this.#stored.find(sid)
      const receipt = view?.invalidate()
      if (view?.writeToken !== undefined) this.#ended.set(sid, view.writeToken)
      return receipt
    })
  }

  /** Names the write by which this store ended a session, one of the last 1,000; for `SessionManager.whenCaughtUp`. */
  endOf(sid: string): string | undefined {
    return this.#ended.get(sid)
  }

  /** Extends the session's life. Changes no data, and neither makes a session nor brings one back. */
  override touch(sid: string, data: SessionData, callback?: Callback<[]>): void {
    answer(this.#stored.sessions, callback, () => {
      const base = this.#viewOf(data, sid)
      const view = base?.isValid === true && !base.isRenamed ? base : this.#stored.find(sid)
      if (view === undefined || (base !== undefined && base.key !== view.key)) return
      this.#stored.touch(view, this.#stored.cookieFrom(data?.cookie), this.#isReadOnly(data))
    })
  }

  /** All sessions by id. Decodes every one. */
  override all(callback?: Callback<[sessions?: { [sid: string]: SessionData } | null]>): void {
    answer(this.#stored.sessions, callback, () => {
      const all: { [sid: string]: SessionData } = Object.create(null)
      for (const [sid, view] of this.#stored.all()) all[sid] = load(view)
      return all
    })
  }

  /** Number of sessions that have not expired. Looks at each. */
  override length(callback?: Callback<[length?: number]>): void {
    answer(this.#stored.sessions, callback, () => [...this.#stored.all()].length)
  }

  /** Ids of all sessions. */
  ids(callback?: Callback<[ids?: string[]]>): void {
    answer(this.#stored.sessions, callback, () => [...this.#stored.all()].map(([sid]) => sid))
  }

  /** Destroys every session (with this store's prefix) on every member. */
  override clear(callback?: Callback<[]>): void {
    const { sessions } = this.#stored
    settle(sessions, callback, () => {
      const all = Promise.all([...this.#stored.all()].map(([, view]) => view.invalidate()))
      // Too few receipts are told by the manager too; without a callback nobody else would look.
      all.catch(() => {})
      return all
    })
  }

  /** As express-session's, remembering what the session was loaded from. */
  override createSession(req: Request, data: SessionData): ExpressSession & SessionData {
    const view = viewOf(data)
    const created = super.createSession(req, data)
    if (view !== undefined) remember(created, view)
    return created
  }

  /** As express-session's; a request that may only look keeps its session. */
  override regenerate(req: Request, callback: (error?: unknown) => unknown): void {
    if (!this.#stored.isReadOnly(urlOf(req), req)) return super.regenerate(req, callback)
    callback(new SessionReadOnlyError(req.sessionID))
  }

  /** Whether `data` is the session of a request that may only look; express-session's sessions know theirs. */
  #isReadOnly(data: SessionData): boolean {
    const { req } = (data ?? {}) as { req?: IncomingMessage }
    return req?.headers !== undefined && this.#stored.isReadOnly(urlOf(req), req)
  }

  /** The view `data` was loaded with, if it is of this session. */
  #viewOf(data: object, sid: string): Session | undefined {
    const view = viewOf(data)
    return view !== undefined && this.#stored.isOf(view, sid) ? view : undefined
  }
}

/**
 * The cluster's session behind `req.session`, for what express-session knows nothing of: `cluster.users.login(…)`,
 * {@link Session.signal}, {@link Session.principal}. Undefined until the session has been stored, as by
 * `req.session.save(callback)`. Attributes are still express-session's: what is set here, its next save takes back.
 *
 * ```ts
 * app.post('/login', (req, res, next) => {
 *   req.session.regenerate(error => {                      // a new id, which is express-session's business
 *     if (error) return next(error)
 *     req.session.save(async error => {
 *       if (error) return next(error)
 *       try {
 *         await cluster.users.login(sessionOf(req)!, 'ann', { keepId: true })
 *         res.redirect('/')                                // from now on sessionOf(req)?.principal is 'ann'
 *       } catch (error) {
 *         next(error)                                      // a LoginRefusedError, say: the session is nobody's
 *       }
 *     })
 *   })
 * })
 * ```
 *
 * `keepId` is a must there: the cookie is express-session's, and it would not learn of another id. Sign-on over several
 * applications needs a cookie too, and is to be had with `clusterSession` only.
 */
export function sessionOf(req: { readonly session?: object | null }): Session | undefined {
  return viewOf(req.session ?? undefined)
}

/** The path as the client said it: below a path where something is mounted, Express shortens `url`. */
function urlOf(req: IncomingMessage & { readonly originalUrl?: string }): string {
  return req.originalUrl ?? req.url ?? '/'
}

function load(view: Session): SessionData {
  const data = dataOf(view)
  remember(data, view)
  return data as unknown as SessionData
}

function loadStore(): typeof session.Store {
  try {
    return (createRequire(import.meta.url)('express-session') as typeof session).Store
  } catch (cause) {
    const message = 'tribeline/express needs the package express-session, which is not installed'
    throw new TribelineError('PEER_MISSING', message, { cause })
  }
}
