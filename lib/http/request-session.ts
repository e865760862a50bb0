import type { SendReceipt } from '../channel/topic.js'
import { Session } from '../session/session.js'
import type { CommitOptions, SessionManager } from '../session/session-manager.js'

/** What is kept when a session is regenerated. `true`: everything; a list: these attributes. Default: nothing. */
export interface RegenerateOptions {
  readonly keep?: boolean | readonly string[]
}

/** What a request's session can do beyond {@link Session}. */
export interface RequestSessionMethods {
  /**
   * Gives the client a new session id; the old one is dead at once. With `keep: true` it is the same session, and
   * requests under way keep their view of it; otherwise the old session ends and a new one begins.
   */
  regenerate(options?: RegenerateOptions): RequestSession
  /** Writes the changes now instead of when the response goes out. Undefined: there were none. */
  save(): Promise<SendReceipt | undefined>
}

/**
 * `req.session`. Attributes are plain properties as well: `req.session.cart = []` is `req.session.set('cart', [])`.
 * Names of the methods and of `id`, `isNew` … always mean those; an attribute of such a name needs `get` and `set`.
 */
// biome-ignore lint/suspicious/noExplicitAny: an application's attributes have the application's types.
export type RequestSession = Session & RequestSessionMethods & { [name: string]: any }

const SESSION_NAMES: ReadonlySet<string> = new Set(Object.getOwnPropertyNames(Session.prototype))

/** The session of one request: loaded when first asked for, committed once or more, replaced by `regenerate`. */
export class SessionExchange {
  readonly #manager: SessionManager
  readonly #load: () => Session
  readonly #create: (attributes: Iterable<readonly [string, unknown]>) => Session
  readonly #send: CommitOptions
  readonly #receipts: Promise<unknown>[] = []
  #session: Session | undefined
  #facade: RequestSession | undefined

  constructor(
    manager: SessionManager,
    load: () => Session,
    create: (attributes: Iterable<readonly [string, unknown]>) => Session,
    send: CommitOptions,
  ) {
    this.#manager = manager
    this.#load = load
    this.#create = create
    this.#send = send
  }

  /** Undefined until it was asked for. */
  get loaded(): Session | undefined {
    return this.#session
  }

  /** What `req.session` gives. */
  get facade(): RequestSession {
    this.#session ??= this.#load()
    this.#facade ??= facadeOf(this.#session, this.#methods(this.#session))
    return this.#facade
  }

  /** Receipts of what was written so far; never rejects. */
  get receipts(): readonly Promise<unknown>[] {
    return this.#receipts
  }

  /** Writes what changed. Throws when a value cannot be encoded. */
  commit(): Promise<SendReceipt> | undefined {
    return this.#session === undefined ? undefined : this.#keep(this.#manager.commit(this.#session, this.#send))
  }

  /** Ends the session, if there is one. */
  invalidate(): void {
    const session = this.#session ?? this.#load()
    this.#session = session
    if (session.isValid) this.#keep(session.invalidate())
  }

  /** Writes at once, so that what changes afterwards is not in it; unless the copy is old after a stall. */
  async #save(session: Session): Promise<SendReceipt | undefined> {
    for (let wait = this.#manager.whenFresh(); wait !== undefined; wait = this.#manager.whenFresh()) await wait
    return this.#keep(this.#manager.commit(session, { ...this.#send, storeEmpty: true }))
  }

  #regenerate(old: Session, options: RegenerateOptions): RequestSession {
    if (options.keep === true) {
      this.#keep(old.changeId())
      return this.facade
    }
    const names = typeof options.keep === 'object' ? options.keep : []
    const kept = old.isValid ? names.filter(name => old.has(name)).map(name => [name, old.get(name)] as const) : []
    if (old.isValid) this.#keep(old.invalidate())
    this.#session = this.#create(kept)
    this.#facade = undefined
    return this.facade
  }

  #methods(session: Session): ReadonlyMap<string, unknown> {
    return new Map<string, unknown>([
      ['regenerate', (options: RegenerateOptions = {}) => this.#regenerate(session, options)],
      ['save', () => this.#save(session)],
      ['invalidate', () => this.#keep(session.invalidate())],
      ['changeId', () => this.#keep(session.changeId())],
    ])
  }

  #keep(receipt: Promise<SendReceipt> | undefined): Promise<SendReceipt> | undefined {
    if (receipt !== undefined) this.#receipts.push(receipt.catch(() => {}))
    return receipt
  }
}

/** A view of a session whose attributes are properties; `methods` and the session's own names win. */
function facadeOf(session: Session, methods: ReadonlyMap<string, unknown>): RequestSession {
  const isOwn = (name: string | symbol): boolean =>
    typeof name === 'symbol' || methods.has(name) || SESSION_NAMES.has(name)
  return new Proxy(session, {
    get(target, name) {
      if (!isOwn(name)) return target.get(name as string)
      if (methods.has(name as string)) return methods.get(name as string)
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' && name !== 'constructor' ? value.bind(target) : value
    },
    set(target, name, value) {
      if (isOwn(name)) return Reflect.set(target, name, value, target)
      target.set(name as string, value)
      return true
    },
    has: (target, name) => isOwn(name) || target.has(name as string),
    deleteProperty(target, name) {
      if (isOwn(name)) return false
      target.delete(name as string)
      return true
    },
    ownKeys: target => target.names().filter(name => !isOwn(name)),
    defineProperty(target, name, descriptor) {
      if (isOwn(name) || !('value' in descriptor)) return false
      target.set(name as string, descriptor.value)
      return true
    },
    getOwnPropertyDescriptor(target, name) {
      if (isOwn(name) || !target.has(name as string)) return undefined
      return { value: target.get(name as string), writable: true, enumerable: true, configurable: true }
    },
  }) as RequestSession
}
