import type { Context } from 'koa'
import type { Session } from '../../session/session.js'
import { freshened } from '../after-fresh.js'
import type { StoredCookie } from './stored-cookie.js'
import { storedCookieOf } from './stored-cookie.js'
import { attributesOf, type StoredData, StoredSessions, type StoreOptions } from './stored-sessions.js'

/** What koa-session gives with every call. */
export interface KoaStoreContext {
  /** The request; the base of the merge hangs on it, and `readOnly` asks it. */
  readonly ctx?: object
}

/** Names under which koa-session keeps its own facts in a session. */
const OWN_NAMES = ['_expire', '_maxAge', '_session']

/**
 * An external store for koa-session that keeps sessions in the cluster: `session({ store: new KoaSessionStore({ cluster
 * }) }, app)`. Parallel requests are merged by attribute, and a session that was destroyed stays so. What changed is
 * found by comparing, for koa-session's `changed` is not to be relied on; a forced or rolling save of an unchanged
 * session writes nothing but an expiry that has moved by 5 % (`touchAfterMs`). Stalls of the process are as with
 * `TribelineStore`.
 *
 * Names that begin with `_` are koa-session's own and never reach a store.
 */
export class KoaSessionStore {
  readonly #stored: StoredSessions<Context>
  readonly #loaded = new WeakMap<object, Map<string, Session>>()

  /** @throws {InvalidOptionError} without a cluster, or when an option is out of range. */
  constructor(options: StoreOptions<Context>) {
    this.#stored = new StoredSessions(options)
  }

  /** The session, or undefined. */
  async get(key: string, _maxAge?: unknown, { ctx }: KoaStoreContext = {}): Promise<StoredData | undefined> {
    await this.#fresh()
    const view = this.#stored.find(key)
    if (view === undefined) return undefined
    this.#remember(ctx, key, view)
    view.touch()
    const { expires, originalMaxAge } = storedCookieOf(view)?.data ?? {}
    const lives = expires instanceof Date && typeof originalMaxAge === 'number'
    const own = lives ? { _expire: expires.getTime(), _maxAge: originalMaxAge } : { _session: true }
    return Object.assign(attributesOf(view), own)
  }

  /** Fulfilled when the write is acknowledged as the manager's options ask. */
  async set(key: string, session: object, maxAge?: unknown, { ctx }: KoaStoreContext = {}): Promise<void> {
    await this.#fresh()
    const base = ctx === undefined ? undefined : this.#loaded.get(ctx)?.get(key)
    const data: StoredData = { ...session }
    for (const name of OWN_NAMES) delete data[name]
    const cookie = cookieOf(session, maxAge, base ?? this.#stored.find(key))
    const { view, receipt } = this.#stored.save(key, data, cookie, base, this.#isReadOnly(ctx))
    if (view !== undefined) this.#remember(ctx, key, view)
    await receipt
  }

  /** Fulfilled when that is acknowledged. */
  async destroy(key: string, { ctx }: KoaStoreContext = {}): Promise<void> {
    await this.#fresh()
    await this.#stored.end(key, this.#isReadOnly(ctx))
  }

  #fresh(): Promise<void> {
    return freshened(this.#stored.sessions)
  }

  /** Whether it is a request that may only look. */
  #isReadOnly(ctx: object | undefined): boolean {
    return ctx !== undefined && this.#stored.isReadOnly((ctx as Context).originalUrl, ctx as Context)
  }

  #remember(ctx: object | undefined, key: string, view: Session): void {
    if (ctx === undefined) return
    const views = this.#loaded.get(ctx) ?? new Map<string, Session>()
    this.#loaded.set(ctx, views.set(key, view))
  }
}

/** The lifetime in the form all our stores share; what else another library keeps in its cookie stays. */
function cookieOf(session: object, maxAge: unknown, view: Session | undefined): StoredCookie {
  const { _expire, _maxAge } = session as { _expire?: unknown; _maxAge?: unknown }
  const known = view === undefined ? undefined : storedCookieOf(view)?.data
  const expires = typeof _expire === 'number' ? new Date(_expire) : null
  return {
    data: { httpOnly: true, path: '/', ...known, originalMaxAge: _maxAge ?? null, expires },
    lifetimeMs: typeof maxAge === 'number' ? maxAge : null,
  }
}
