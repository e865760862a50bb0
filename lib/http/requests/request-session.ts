import type { SendReceipt } from '../../channel/topic.js'
import { Session } from '../../session/session.js'
import type { LoginOptions } from '../../users/users.js'

/** What is kept when a session is regenerated. `true`: everything; a list: these attributes. Default: nothing. */
export interface RegenerateOptions {
  /** Default false. */
  readonly keep?: boolean | readonly string[]
}

/** What a request's session can do beyond {@link Session}. */
export interface RequestSessionMethods {
  /**
   * Gives the client a new session id; the old one is dead at once. With `keep: true` it is the same session, and
   * requests under way keep their view of it; otherwise the old session ends, with the sign-on it belongs to, and a new
   * one begins.
   */
  regenerate(options?: RegenerateOptions): RequestSession
  /**
   * Writes the changes now instead of when the response goes out. Undefined: there were none. Rejects with what
   * `SessionManager.commit` throws, and with `onShortfall: 'throw'` for too few receipts. Need not be awaited: a shortfall
   * is told as an event too, and what cannot be stored to `onError`.
   */
  save(): Promise<SendReceipt | undefined>
  /**
   * Makes it the principal's session, under a new id, and stores it: see {@link Users.login}. With the option `signOn` of
   * the adapter it is the login of all applications that have that. Call it before the headers go out.
   *
   * Rejects with a {@link LoginRefusedError} when the principal has as many sessions as it may, and the policy is to
   * refuse; with what `Users.login` throws otherwise; and with an {@link InvalidStateError} without `cluster.users`.
   */
  login(principal: string, options?: LoginOptions): Promise<SendReceipt | undefined>
  /**
   * Ends the session on every member, and with it those of the other applications if it belongs to a sign-on.
   *
   * Rejects with a {@link SessionInvalidError} when it was invalidated before.
   */
  logout(): Promise<SendReceipt | undefined>
  /**
   * Whether the client has written something, or signed on, and this member does not have it, although the request waited
   * for it (`catchUpMs`): what it reads may be older than what the client has seen, up to a session that is not found, and
   * what it writes may overwrite what it did not know. Say so, ask to try again, or go on, as the application can bear.
   */
  readonly stale: boolean
}

/**
 * `req.session`. Attributes are plain properties as well: `req.session.cart = []` is `req.session.set('cart', [])`.
 * Names of the methods and of `id`, `isNew` … always mean those, and assigning to them throws a TypeError; an attribute
 * of such a name needs `get` and `set`.
 */
// biome-ignore lint/suspicious/noExplicitAny: an application's attributes have the application's types.
export type RequestSession = Session & RequestSessionMethods & { [name: string]: any }

/** Who carries out what a request's session is told and a {@link Session} alone cannot do. */
export interface FacadeOwner {
  /** See {@link RequestSessionMethods.stale}. */
  readonly stale: boolean
  regenerate(session: Session, options: RegenerateOptions): RequestSession
  save(session: Session): Promise<SendReceipt | undefined>
  login(session: Session, principal: string, options: LoginOptions): Promise<SendReceipt | undefined>
  logout(session: Session): Promise<SendReceipt | undefined>
  /** As {@link Session.invalidate}; a principal's is logged out. */
  endSession(session: Session): Promise<SendReceipt> | undefined
  changeId(session: Session): Promise<SendReceipt> | undefined
}

const METHODS: Readonly<Record<string, (owner: FacadeOwner, session: Session) => unknown>> = Object.assign(
  Object.create(null),
  {
    regenerate:
      (owner: FacadeOwner, session: Session) =>
      (options: RegenerateOptions = {}) =>
        owner.regenerate(session, options),
    stale: (owner: FacadeOwner) => owner.stale,
    save: (owner: FacadeOwner, session: Session) => () => owner.save(session),
    login:
      (owner: FacadeOwner, session: Session) =>
      (principal: string, options: LoginOptions = {}) =>
        owner.login(session, principal, options),
    logout: (owner: FacadeOwner, session: Session) => () => owner.logout(session),
    invalidate: (owner: FacadeOwner, session: Session) => () => owner.endSession(session),
    changeId: (owner: FacadeOwner, session: Session) => () => owner.changeId(session),
  },
)

const OWN_NAMES: ReadonlySet<string | symbol> = new Set([
  ...Object.getOwnPropertyNames(Session.prototype),
  ...Object.keys(METHODS),
])

/** What of its own a session lets itself be told by assignment. */
const ASSIGNABLE: ReadonlySet<string> = new Set(['maxInactiveInterval', 'principal'])

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
    if (isOwn(name)) {
      if (typeof name === 'string' && !ASSIGNABLE.has(name)) throw ownName(name)
      return Reflect.set(target, name, value, target)
    }
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
    if (typeof name === 'string' && isOwn(name)) throw ownName(name)
    if (isOwn(name) || !('value' in descriptor)) return false
    target.set(name as string, descriptor.value)
    return true
  }

  getOwnPropertyDescriptor(target: Session, name: string | symbol): PropertyDescriptor | undefined {
    if (isOwn(name) || !target.has(name as string)) return undefined
    return { value: target.get(name as string), writable: true, enumerable: true, configurable: true }
  }
}

/** Where the application has an attribute of that name, its value is not to be lost without a word, as in sloppy code. */
function ownName(name: string): TypeError {
  return new TypeError(
    `A session has ${name} of its own; an attribute of that name needs session.set(${JSON.stringify(name)}, value)`,
  )
}
