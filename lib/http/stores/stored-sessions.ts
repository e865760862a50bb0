import { InvalidOptionError, SessionInvalidError, SessionReadOnlyError } from '../../errors.js'
import { checkNames, pick } from '../../options.js'
import { type AttributeScopeOptions, scopeOf } from '../../session/attribute-scope.js'
import { overridesOf } from '../../session/delta-manager-options.js'
import type { Session } from '../../session/session.js'
import type { CommitOptions, CreateSessionOptions, SessionManager, ViewOptions } from '../../session/session-manager.js'
import { encodeValue } from '../../wire/value-codec.js'
import { isNamed, REQUEST_TEST, type RequestTest } from '../requests/request-test.js'
import type { SessionHost } from '../session-host.js'
import type { StoredCookie } from './stored-cookie.js'
import { COOKIE, cookieFrom, expiryOf, isOver, sameButExpiry, storedCookieOf } from './stored-cookie.js'

/** A touch is announced when it moves the expiry by more than this share of the lifetime. */
const TOUCH_SHARE = 1 / 20
const TOUCH_MAX_MS = 60_000

/** A touch writes the cookie, and no data that the handler changed without express-session's noticing. */
const SILENT: CommitOptions = { ack: 'none', detect: 'set' }

/**
 * Options of the stores for other session libraries: a cluster, or the session manager alone. `detect`, `merge`,
 * `application` and `shared` override the manager's. `R` is what the library calls a request.
 */
// biome-ignore lint/suspicious/noExplicitAny: options that name no request are for every store.
export interface StoreOptions<R = any> extends Pick<CommitOptions, 'detect' | 'merge'>, AttributeScopeOptions {
  readonly cluster?: SessionHost
  readonly sessions?: SessionManager
  /** Put before each id, so that several applications may share one cluster. Default none. */
  readonly prefix?: string
  /** Seconds a session without `cookie.maxAge` lives unused. Default: the manager's `maxInactiveInterval`. */
  readonly ttl?: number
  /**
   * Seconds after which a session that begins here ends however much it is used; 0: never. Default: the manager's. The
   * cookie is the library's own and may outlive it; the session is then not found.
   */
  readonly maxLifetime?: number
  /** Milliseconds by which a touch must move the expiry to be sent. Default: 5 % of the lifetime, at most 60,000. */
  readonly touchAfterMs?: number
  /**
   * Requests that only look at their session: all, those whose path matches, or those a test names. What they changed is
   * not written: if there is anything, the store fails with a {@link SessionReadOnlyError}, which the library hands to the
   * application. Such a request is a use of the session all the same. Default: none.
   */
  readonly readOnly?: RequestTest<R>
}

const NAMES: readonly string[] = Object.keys({
  cluster: true,
  sessions: true,
  prefix: true,
  ttl: true,
  maxLifetime: true,
  touchAfterMs: true,
  readOnly: true,
  detect: true,
  merge: true,
  application: true,
  shared: true,
} satisfies Record<keyof StoreOptions, true>)

/** What a session library keeps under an id: attributes, and the cookie apart from them. */
export type StoredData = Record<string, unknown>

/** A session that was saved: the base of its next save, and what acknowledges this one. */
export interface Saved {
  readonly view: Session | undefined
  readonly receipt: Promise<unknown> | undefined
}

/**
 * Sessions as the stores of other libraries see them: whole objects, loaded and later saved. What is saved is merged by
 * attribute against the view it was loaded from, if the library tells which that was.
 */
export class StoredSessions<R = never> {
  readonly sessions: SessionManager
  readonly #prefix: string
  readonly #ttl: number | undefined
  readonly #touchAfterMs: number | undefined
  readonly #view: ViewOptions | undefined
  readonly #start: CreateSessionOptions
  readonly #send: CommitOptions
  readonly #readOnly: RequestTest<R>

  /** @throws {InvalidOptionError} without a cluster, or when an option is out of range. */
  constructor(options: StoreOptions<R>) {
    const sessions = options?.sessions ?? options?.cluster?.sessions
    if (typeof sessions?.find !== 'function') {
      throw new InvalidOptionError('cluster', 'a cluster (or give sessions)', options?.cluster ?? options?.sessions)
    }
    // A cluster itself has sessions too, and will do.
    if (Object.getPrototypeOf(options) === Object.prototype) checkNames(options, NAMES)
    const { prefix = '', ttl, touchAfterMs, detect, merge } = options
    if (typeof prefix !== 'string') throw new InvalidOptionError('prefix', 'a text', prefix)
    if (ttl !== undefined && !(ttl > 0)) throw new InvalidOptionError('ttl', 'a positive number of seconds', ttl)
    if (touchAfterMs !== undefined && !(touchAfterMs >= 0)) {
      throw new InvalidOptionError('touchAfterMs', 'milliseconds, 0 or more', touchAfterMs)
    }
    const { maxLifetime, ...send } = overridesOf({ detect, merge, maxLifetime: options.maxLifetime })
    pick({ readOnly: REQUEST_TEST }, options)
    this.#readOnly = options.readOnly ?? false
    this.sessions = sessions
    this.#prefix = prefix
    this.#ttl = ttl
    this.#touchAfterMs = touchAfterMs
    const scope = scopeOf(options)
    this.#view = scope === undefined ? undefined : { scope }
    this.#start = { ...this.#view, ...(maxLifetime === undefined ? {} : { maxLifetime }), deferred: true }
    this.#send = { ...send, storeEmpty: true }
  }

  /** A view of the session, unless it has expired. */
  find(sid: string): Session | undefined {
    if (typeof sid !== 'string') return undefined
    const view = this.sessions.find(this.#prefix + sid, this.#view)
    const lifetimeMs = view === undefined ? null : (storedCookieOf(view)?.lifetimeMs ?? null)
    return lifetimeMs !== null && (view?.idleMs ?? 0) >= lifetimeMs + this.#slackMs(lifetimeMs) ? undefined : view
  }

  /** Whether a view is of the session with this id: an object copied to another id has no base there. */
  isOf(view: Session, sid: string): boolean {
    return view.id === this.#prefix + sid
  }

  /**
   * Merges `data` into the session: what differs from `base` is written, or from the session as it is now. Begins the
   * session if there was no base. With a lifetime of 0 or less it is ended. `view` is the base of the next save.
   *
   * @throws {SessionReadOnlyError} when there is something to write, and the request may only look
   */
  save(sid: string, data: StoredData, cookie: StoredCookie, base: Session | undefined, isReadOnly = false): Saved {
    if (isReadOnly) return { view: this.#unchanged(sid, data, cookie, base), receipt: undefined }
    if (isOver(cookie)) {
      const old = base ?? this.find(sid)
      return { view: undefined, receipt: old?.isValid ? old.invalidate() : undefined }
    }
    const view = base ?? this.find(sid) ?? this.#begin(sid)
    this.#merge(view, data, cookie)
    const receipt = this.sessions.commit(view, this.#send)
    if (receipt === undefined) view.touch()
    return { view, receipt }
  }

  /** Whether a request may only look. `url`: its path, with or without the query. */
  isReadOnly(url: string, req: R): boolean {
    return isNamed(this.#readOnly, url, req)
  }

  /**
   * Ends the session. Undefined: there is none.
   *
   * @throws {SessionReadOnlyError} when the request may only look
   */
  end(sid: string, isReadOnly = false): Promise<unknown> | undefined {
    if (isReadOnly) throw new SessionReadOnlyError(sid)
    return this.find(sid)?.invalidate()
  }

  /** Marks the session as used, and writes its cookie if that has moved by more than a little and the request may. */
  touch(view: Session, cookie: StoredCookie, isReadOnly = false): void {
    if (isReadOnly) return view.touch()
    if (isOver(cookie)) {
      view.invalidate()
      return
    }
    view.touch()
    if (this.#setCookie(view, cookie, false)) this.sessions.commit(view, SILENT)
  }

  /** The session as it is, if nobody has changed it. */
  #unchanged(sid: string, data: StoredData, cookie: StoredCookie, base: Session | undefined): Session | undefined {
    const view = base ?? this.find(sid)
    view?.pendingDelta.putAll(data, 'cookie')
    const isChanged = view === undefined ? hasAttributes(data) : view.pendingDelta.writes('modified').size > 0
    if (isChanged || isOver(cookie)) throw new SessionReadOnlyError(sid)
    view?.touch()
    return view
  }

  #begin(sid: string): Session {
    return this.sessions.create({ ...this.#start, id: this.#prefix + sid })
  }

  /** All sessions that have not expired. */
  *all(): IterableIterator<[sid: string, view: Session]> {
    for (const id of this.sessions.ids()) {
      if (!id.startsWith(this.#prefix)) continue
      const sid = id.slice(this.#prefix.length)
      const view = this.find(sid)
      if (view !== undefined) yield [sid, view]
    }
  }

  #merge(view: Session, data: StoredData, cookie: StoredCookie): void {
    if (view.isInvalidated) throw new SessionInvalidError(view.id)
    view.pendingDelta.putAll(data, 'cookie')
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

  /** The cookie to store, from that of an express-like session. */
  cookieFrom(cookie: unknown): StoredCookie {
    return cookieFrom(cookie, this.sessions.wallMs())
  }
}

/** As express-session's own default. */
const NO_COOKIE = { originalMaxAge: null, expires: null, httpOnly: true, path: '/' }

/** A fresh object with the attributes and the cookie. */
export function dataOf(view: Session): StoredData {
  const data = attributesOf(view)
  const cookie: Record<string, unknown> = { ...(storedCookieOf(view)?.data ?? NO_COOKIE) }
  if (cookie.expires instanceof Date) cookie.expires = new Date(cookie.expires)
  data.cookie = cookie
  return data
}

/** A fresh object with the attributes. */
export function attributesOf(view: Session): StoredData {
  const data: StoredData = {}
  view.pendingDelta.takeAll((name, value) => define(data, name, value))
  return data
}

/** Whether there is anything but the cookie that would be kept. */
export function hasAttributes(data: object): boolean {
  return Object.entries(data).some(([name, value]) => name !== 'cookie' && typeof value !== 'function')
}

/** An attribute may be called `__proto__`; it must become a property, not a prototype. */
function define(data: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== '__proto__') data[name] = value
  else Object.defineProperty(data, name, { value, writable: true, enumerable: true, configurable: true })
}
