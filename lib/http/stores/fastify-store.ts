import { AsyncLocalStorage } from 'node:async_hooks'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Session } from '../../session/session.js'
import { answer, type Callback, settle } from './callbacks.js'
import type { StoredCookie } from './stored-cookie.js'
import { dataOf, type StoredData, StoredSessions, type StoreOptions } from './stored-sessions.js'

/** What a request has loaded. */
interface Visit {
  readonly request: FastifyRequest
  readonly views: Map<string, Session>
}

/**
 * A store for `@fastify/session` that keeps sessions in the cluster, those of express-session's `TribelineStore` too.
 * Register {@link FastifySessionStore.plugin} before `@fastify/session`: it remembers what each request has loaded, so
 * that parallel requests are merged by attribute and a session that was destroyed stays so. Without it the last write
 * wins, and no request is `readOnly`. It rests on `AsyncLocalStorage`, which on Node 20 and 22 costs 15 to 20 µs of CPU
 * per request, and from Node 24 on nothing that can be measured.
 *
 * ```ts
 * const store = new FastifySessionStore({ cluster })
 * await app.register(store.plugin)
 * await app.register(fastifyCookie)
 * await app.register(fastifySession, { secret, store })
 * ```
 *
 * A request that only reads writes nothing, whatever `rolling` and `saveUninitialized` are; its use is announced in
 * batches, and a moved expiry only when it has moved by 5 % (`touchAfterMs`). Stalls of the process are as with
 * `TribelineStore`.
 */
export class FastifySessionStore {
  /** The plugin to register before `@fastify/session`. */
  readonly plugin: (app: FastifyInstance) => Promise<void>
  readonly #stored: StoredSessions<FastifyRequest>
  readonly #visits = new AsyncLocalStorage<Visit>()

  /** @throws {InvalidOptionError} without a cluster, or when an option is out of range. */
  constructor(options: StoreOptions<FastifyRequest>) {
    this.#stored = new StoredSessions(options)
    const visits = this.#visits
    this.plugin = async function tribelineStore(app) {
      app.addHook('onRequest', (request, _reply, done) => visits.run({ request, views: new Map() }, done))
    }
    Object.assign(this.plugin, { [Symbol.for('skip-override')]: true })
  }

  get(sid: string, callback?: Callback<[data?: StoredData | null]>): void {
    answer(this.#stored.sessions, callback, () => {
      const view = this.#stored.find(sid)
      if (view === undefined) return null
      this.#visits.getStore()?.views.set(sid, view)
      // Nobody else says so: @fastify/session knows no touch.
      view.touch()
      return dataOf(view)
    })
  }

  set(sid: string, data: object, callback?: Callback<[]>): void {
    // The answer may come from outside the request.
    const visit = this.#visits.getStore()
    settle(this.#stored.sessions, callback, () => {
      const base = visit?.views.get(sid)
      const cookie = this.#cookieOf(data)
      const { view, receipt } = this.#stored.save(sid, data as StoredData, cookie, base, this.#isReadOnly(visit))
      if (view !== undefined) visit?.views.set(sid, view)
      return receipt
    })
  }

  destroy(sid: string, callback?: Callback<[]>): void {
    const visit = this.#visits.getStore()
    settle(this.#stored.sessions, callback, () => this.#stored.end(sid, this.#isReadOnly(visit)))
  }

  /** Whether it is of a request that may only look. */
  #isReadOnly(visit: Visit | undefined): boolean {
    return visit !== undefined && this.#stored.isReadOnly(visit.request.originalUrl, visit.request)
  }

  #cookieOf(data: { readonly cookie?: unknown }): StoredCookie {
    const { data: cookie, lifetimeMs } = this.#stored.cookieFrom(data.cookie)
    // Made anew with every request, from `expires`.
    const { originalExpires: _, ...rest } = cookie
    return { data: rest, lifetimeMs }
  }
}
