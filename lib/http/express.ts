import { createRequire } from 'node:module'
import type { Request } from 'express'
import type session from 'express-session'
import type { Session as ExpressSession, SessionData } from 'express-session'
import { InvalidOptionError, TribelineError } from '../errors.js'
import type { Session } from '../session/session.js'
import type { CommitOptions, SessionHost, SessionManager } from '../session/session-manager.js'
import { decodeValue, encodeValue } from '../wire/value-codec.js'
import { afterFresh } from './after-fresh.js'

/** Reserved attribute: the cookie as express-session keeps it. Apart from the data, as it moves on every request. */
const COOKIE = '\u0000cookie'
/** A touch is announced when it moves the expiry by more than this share of the lifetime. */
const TOUCH_SHARE = 1 / 20
const TOUCH_MAX_MS = 60_000
/** Difference of two `originalMaxAge` that is none. */
const DRIFT_MAX_MS = 10

/** The view each object we handed out was made from: the base of the merge. Shared, so that facades may be mixed. */
const views = new WeakMap<object, Session>()

const Store: typeof session.Store = loadStore()

type Callback<T extends unknown[]> = (error?: unknown, ...values: T) => void

/** Options of {@link TribelineStore}: a cluster, or the session manager alone. */
export interface TribelineStoreOptions {
  readonly cluster?: SessionHost
  readonly sessions?: SessionManager
  /** Put before each id, so that several applications may share one cluster. Default none. */
  readonly prefix?: string
  /** Seconds a session without `cookie.maxAge` lives unused. Default: the manager's `maxInactiveInterval`. */
  readonly ttl?: number
  /** Milliseconds by which a touch must move the expiry to be sent. Default: 5 % of the lifetime, at most 60,000. */
  readonly touchAfterMs?: number
}

/** The cookie as stored. `lifetimeMs`: how long the session lives from its last use; null: as the manager says. */
interface StoredCookie {
  readonly data: Readonly<Record<string, unknown>>
  readonly lifetimeMs: number | null
}

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
 * express-session itself decides whether data changed by comparing JSON, so it misses changes inside a Map or Set.
 */
export class TribelineStore extends Store {
  readonly #sessions: SessionManager
  readonly #prefix: string
  readonly #ttl: number | undefined
  readonly #touchAfterMs: number | undefined

  /** @throws {InvalidOptionError} without a cluster, or when an option is out of range. */
  constructor(options: TribelineStoreOptions) {
    super()
    const sessions = options?.sessions ?? options?.cluster?.sessions
    if (sessions === undefined) throw new InvalidOptionError('cluster', 'a cluster (or give sessions)', sessions)
    const { prefix = '', ttl, touchAfterMs } = options
    if (ttl !== undefined && !(ttl > 0)) throw new InvalidOptionError('ttl', 'a positive number of seconds', ttl)
    if (touchAfterMs !== undefined && !(touchAfterMs >= 0)) {
      throw new InvalidOptionError('touchAfterMs', 'milliseconds, 0 or more', touchAfterMs)
    }
    this.#sessions = sessions
    this.#prefix = prefix
    this.#ttl = ttl
    this.#touchAfterMs = touchAfterMs
  }

  override get(sid: string, callback?: Callback<[data?: SessionData | null]>): void {
    this.#answer(callback, () => {
      const view = this.#find(sid)
      return view === undefined ? null : dataOf(view)
    })
  }

  override set(sid: string, data: SessionData, callback?: Callback<[]>): void {
    this.#settle(callback, () => {
      const known = this.#viewOf(data, sid)
      const cookie = this.#storedCookie(data)
      if (cookie.lifetimeMs !== null && cookie.lifetimeMs <= 0) {
        const old = known ?? this.#find(sid)
        return old?.isValid ? old.invalidate() : undefined
      }
      const view = known ?? this.#find(sid) ?? this.#begin(sid)
      this.#merge(view, data, cookie)
      views.set(data, view)
      return this.#sessions.commit(view, { storeEmpty: true })
    })
  }

  override destroy(sid: string, callback?: Callback<[]>): void {
    this.#settle(callback, () => this.#find(sid)?.invalidate())
  }

  /** Extends the session's life. Changes no data, and neither makes a session nor brings one back. */
  override touch(sid: string, data: SessionData, callback?: Callback<[]>): void {
    this.#answer(callback, () => {
      const view = this.#find(sid)
      const base = this.#viewOf(data, sid)
      if (view === undefined || (base !== undefined && base.key !== view.key)) return
      const cookie = this.#storedCookie(data)
      if (cookie.lifetimeMs !== null && cookie.lifetimeMs <= 0) {
        view.invalidate()
        return
      }
      view.touch()
      if (!this.#setCookie(view, cookie, false)) return
      const silent: CommitOptions = { ack: 'none' }
      this.#sessions.commit(view, silent)
    })
  }

  /** All sessions by id. Decodes every one. */
  override all(callback?: Callback<[sessions?: { [sid: string]: SessionData } | null]>): void {
    this.#answer(callback, () => {
      const all: { [sid: string]: SessionData } = Object.create(null)
      for (const [sid, view] of this.#all()) all[sid] = dataOf(view)
      return all
    })
  }

  /** Number of sessions that have not expired. Looks at each. */
  override length(callback?: Callback<[length?: number]>): void {
    this.#answer(callback, () => [...this.#all()].length)
  }

  /** Ids of all sessions. */
  ids(callback?: Callback<[ids?: string[]]>): void {
    this.#answer(callback, () => [...this.#all()].map(([sid]) => sid))
  }

  /** Destroys every session (with this store's prefix) on every member. */
  override clear(callback?: Callback<[]>): void {
    this.#settle(callback, () => Promise.all([...this.#all()].map(([, view]) => view.invalidate())))
  }

  /** As express-session's, remembering what the session was loaded from. */
  override createSession(req: Request, data: SessionData): ExpressSession & SessionData {
    const view = views.get(data)
    const created = super.createSession(req, data)
    if (view !== undefined) views.set(created, view)
    return created
  }

  #find(sid: string): Session | undefined {
    if (typeof sid !== 'string') return undefined
    const view = this.#sessions.find(this.#prefix + sid)
    const lifetimeMs = view === undefined ? null : (storedCookieOf(view)?.lifetimeMs ?? null)
    return lifetimeMs !== null && (view?.idleMs ?? 0) >= lifetimeMs + this.#slackMs(lifetimeMs) ? undefined : view
  }

  /** The view `data` was loaded with, if it is of this session: an object copied to another id has no base there. */
  #viewOf(data: object, sid: string): Session | undefined {
    const view = views.get(data)
    return view?.id === this.#prefix + sid ? view : undefined
  }

  #begin(sid: string): Session {
    return this.#sessions.create({ id: this.#prefix + sid, deferred: true })
  }

  *#all(): IterableIterator<[sid: string, view: Session]> {
    for (const id of this.#sessions.ids()) {
      if (!id.startsWith(this.#prefix)) continue
      const sid = id.slice(this.#prefix.length)
      const view = this.#find(sid)
      if (view !== undefined) yield [sid, view]
    }
  }

  #merge(view: Session, data: SessionData, cookie: StoredCookie): void {
    for (const [name, value] of Object.entries(data)) {
      if (name !== 'cookie' && typeof value !== 'function') view.set(name, value)
    }
    // A name express-session itself uses could not be shown to the handler, so it was not the handler who removed it.
    for (const name of view.names()) if (!(name in data)) view.delete(name)
    this.#setCookie(view, cookie, view.key === undefined)
  }

  /** Whether the cookie differs from the stored one by more than a small move of its expiry. */
  #setCookie(view: Session, cookie: StoredCookie, always: boolean): boolean {
    const stored = storedCookieOf(view)
    const apart = Math.abs(expiryOf(cookie.data) - expiryOf(stored?.data))
    const near = apart <= this.#slackMs(cookie.lifetimeMs ?? 0)
    if (!always && stored !== undefined && near && sameButExpiry(stored.data, cookie.data)) return false
    view.setReserved(COOKIE, encodeValue(cookie))
    const seconds = cookie.lifetimeMs === null ? this.#ttl : Math.ceil(cookie.lifetimeMs / 1000)
    if (seconds !== undefined) view.maxInactiveInterval = seconds
    return true
  }

  /** By how much the expiry known here may lag: touches below it are not sent. */
  #slackMs(lifetimeMs: number): number {
    return this.#touchAfterMs ?? Math.min(TOUCH_MAX_MS, lifetimeMs * TOUCH_SHARE)
  }

  #storedCookie(data: SessionData): StoredCookie {
    const cookie = data?.cookie as unknown as (Record<string, unknown> & { toJSON?: () => unknown }) | undefined
    const flat = { ...((typeof cookie?.toJSON === 'function' ? cookie.toJSON() : cookie) as Record<string, unknown>) }
    const expires = typeof flat.expires === 'string' ? new Date(flat.expires) : flat.expires
    if (expires instanceof Date && !Number.isNaN(expires.getTime())) {
      flat.expires = expires
      return { data: flat, lifetimeMs: expires.getTime() - this.#sessions.wallMs() }
    }
    const maxAge = flat.originalMaxAge ?? flat.maxAge
    return { data: flat, lifetimeMs: typeof maxAge === 'number' ? maxAge : null }
  }

  /** Calls back with the work's result, once the copy is fresh. */
  #answer<T>(callback: Callback<[T?]> | undefined, work: () => T): void {
    afterFresh(this.#sessions, () => answer(callback, work))
  }

  /** Calls back once the receipt is in; an error of the work itself goes to the callback too. */
  #settle(callback: Callback<[]> | undefined, work: () => Promise<unknown> | undefined): void {
    afterFresh(this.#sessions, () => this.#perform(callback, work))
  }

  #perform(callback: Callback<[]> | undefined, work: () => Promise<unknown> | undefined): void {
    let receipt: Promise<unknown> | undefined
    try {
      receipt = work()
    } catch (error) {
      if (callback === undefined) throw error
      return callback(error)
    }
    if (callback === undefined) return
    if (receipt === undefined) return callback(null)
    // Outside the promise, so that what the callback throws is its own and not an unhandled rejection.
    receipt.then(
      () => process.nextTick(callback, null),
      error => process.nextTick(callback, error),
    )
  }
}

/** Calls back with the work's result, or with its error; what the callback itself throws is the caller's. */
function answer<T>(callback: Callback<[T?]> | undefined, work: () => T): void {
  let result: T
  try {
    result = work()
  } catch (error) {
    if (callback === undefined) throw error
    return callback(error)
  }
  if (callback === undefined) return
  if (result === undefined) callback(null)
  else callback(null, result)
}

/** A fresh object with the attributes and the cookie. */
function dataOf(view: Session): SessionData {
  const data: Record<string, unknown> = {}
  for (const [name, value] of view.entries()) define(data, name, value)
  data.cookie = {
    ...(storedCookieOf(view)?.data ?? { originalMaxAge: null, expires: null, httpOnly: true, path: '/' }),
  }
  views.set(data, view)
  return data as unknown as SessionData
}

/** An attribute may be called `__proto__`; it must become a property, not a prototype. */
function define(data: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== '__proto__') data[name] = value
  else Object.defineProperty(data, name, { value, writable: true, enumerable: true, configurable: true })
}

function storedCookieOf(view: Session): StoredCookie | undefined {
  const bytes = view.reserved(COOKIE)
  if (bytes === undefined) return undefined
  try {
    const { data, lifetimeMs } = decodeValue(bytes) as StoredCookie
    return { data: { ...data }, lifetimeMs: typeof lifetimeMs === 'number' ? lifetimeMs : null }
  } catch {
    // Another release's cookie: the session is still good, and the next save writes ours.
    return undefined
  }
}

/** NaN for a cookie without an expiry: not near any other. */
function expiryOf(cookie: Readonly<Record<string, unknown>> | undefined): number {
  if (cookie === undefined) return Number.NaN
  return cookie.expires instanceof Date ? cookie.expires.getTime() : 0
}

function sameButExpiry(a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): boolean {
  const names = new Set([...Object.keys(a), ...Object.keys(b)])
  names.delete('expires')
  // express-session computes it anew from the expiry at every touch, and may lose a millisecond.
  names.delete('originalMaxAge')
  const drift = Number(a.originalMaxAge ?? 0) - Number(b.originalMaxAge ?? 0)
  if (Math.abs(drift) > DRIFT_MAX_MS) return false
  // A loaded cookie has every name, those never given as undefined.
  return [...names].every(name => (a[name] ?? null) === (b[name] ?? null))
}

function loadStore(): typeof session.Store {
  try {
    return (createRequire(import.meta.url)('express-session') as typeof session).Store
  } catch (cause) {
    const message = 'tribeline/express needs the package express-session, which is not installed'
    throw new TribelineError('PEER_MISSING', message, { cause })
  }
}
