import type { SendReceipt } from '../channel/topic.js'
import { Session } from '../session/session.js'

/** What is kept when a session is regenerated. `true`: everything; a list: these attributes. Default: nothing. */
export interface RegenerateOptions {
  /** Default false. */
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

/** Who carries out what a request's session is told and a {@link Session} alone cannot do. */
export interface FacadeOwner {
  regenerate(session: Session, options: RegenerateOptions): RequestSession
  save(session: Session): Promise<SendReceipt | undefined>
  /** The reply waits for this receipt. */
  keep(receipt: Promise<SendReceipt> | undefined): Promise<SendReceipt> | undefined
}

const METHODS: Readonly<Record<string, (owner: FacadeOwner, session: Session) => unknown>> = Object.assign(
  Object.create(null),
  {
    regenerate:
      (owner: FacadeOwner, session: Session) =>
      (options: RegenerateOptions = {}) =>
        owner.regenerate(session, options),
    save: (owner: FacadeOwner, session: Session) => () => owner.save(session),
    invalidate: (owner: FacadeOwner, session: Session) => () => owner.keep(session.invalidate()),
    changeId: (owner: FacadeOwner, session: Session) => () => owner.keep(session.changeId()),
  },
)

const OWN_NAMES: ReadonlySet<string | symbol> = new Set([
  ...Object.getOwnPropertyNames(Session.prototype),
  ...Object.keys(METHODS),
])

function isOwn(name: string | symbol): boolean {
  return OWN_NAMES.has(name) || typeof name === 'symbol'
}

/** A view of a session whose attributes are properties; the owner's methods and the session's own names win. */
export function facadeOf(session: Session, owner: FacadeOwner): RequestSession {
  return new Proxy(session, new FacadeTraps(owner)) as RequestSession
}

/** One small object for each facade; its traps are shared. */
class FacadeTraps implements ProxyHandler<Session> {
  readonly #owner: FacadeOwner

  constructor(owner: FacadeOwner) {
    this.#owner = owner
  }

  get(target: Session, name: string | symbol): unknown {
    if (!isOwn(name)) return target.get(name as string)
    const method = METHODS[name as string]
    if (method !== undefined) return method(this.#owner, target)
    const value: unknown = Reflect.get(target, name, target)
    return typeof value === 'function' && name !== 'constructor' ? value.bind(target) : value
  }

  set(target: Session, name: string | symbol, value: unknown): boolean {
    if (isOwn(name)) return Reflect.set(target, name, value, target)
    target.set(name as string, value)
    return true
  }

  has(target: Session, name: string | symbol): boolean {
    return isOwn(name) || target.has(name as string)
  }

  deleteProperty(target: Session, name: string | symbol): boolean {
    if (isOwn(name)) return false
    target.delete(name as string)
    return true
  }

  ownKeys(target: Session): string[] {
    return target.names().filter(name => !isOwn(name))
  }

  defineProperty(target: Session, name: string | symbol, descriptor: PropertyDescriptor): boolean {
    if (isOwn(name) || !('value' in descriptor)) return false
    target.set(name as string, descriptor.value)
    return true
  }

  getOwnPropertyDescriptor(target: Session, name: string | symbol): PropertyDescriptor | undefined {
    if (isOwn(name) || !target.has(name as string)) return undefined
    return { value: target.get(name as string), writable: true, enumerable: true, configurable: true }
  }
}
