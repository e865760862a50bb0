import { InvalidOptionError } from '../../errors.js'
import type { Session } from '../../session/session.js'
import type { SessionManager } from '../../session/session-manager.js'
import { CATCH_UP_MS } from '../../session/write-token.js'
import type { Users } from '../../users/users.js'
import { cookieIn, isCookieName } from '../cookies/cookie-header.js'
import { type ClientConnection, SessionCookie, type SessionCookieOptions } from '../cookies/session-cookie.js'
import type { SessionOptions } from './session-options.js'

/** Says whether a principal may go on without logging in again. */
export type Reauthenticate = (principal: string) => boolean | Promise<boolean>

/**
 * One login for several applications of a cluster (Tomcat: ClusterSingleSignOn). All of them take the same options. It
 * lasts as long as one of its sessions, and no longer than the `maxLifetime` of the session that was logged in.
 */
export interface SignOnOptions {
  /** Name of the cookie that names the sign-on. Its path is `/`. Default `tribeline.sso`. */
  readonly name?: string
  /** Signs that cookie; the same for all applications. A list: the first signs, all verify. Default: the application's. */
  readonly secret?: string | readonly string[]
  /** For applications on several hosts of a domain (Tomcat: cookieDomain). Default: none, the host that answered alone. */
  readonly domain?: string
  /** Default: as the application's `cookie`. */
  readonly sameSite?: 'lax' | 'strict' | 'none'
  /** Default: as the application's `cookie`. */
  readonly secure?: boolean | 'auto'
  /** Default: as the application's `cookie`. */
  readonly partitioned?: boolean
  /**
   * Whether {@link reauthenticate} is asked before a session becomes that of the sign-on's principal (Tomcat's option of
   * this name). Default false.
   */
  readonly requireReauthentication?: boolean
  /**
   * Asked before the handler runs, once for each session that joins. If it says no, throws or rejects, the request goes
   * on with nobody's session. With `requireReauthentication`, and only then.
   */
  readonly reauthenticate?: Reauthenticate
}

/** The sign-ons of one application, as its options ask. */
export class SignOnGate {
  readonly users: Users
  readonly sessions: SessionManager
  readonly cookie: SessionCookie
  readonly reauthenticate: Reauthenticate | undefined
  /** How long a request waits for a sign-on that is on its way. */
  readonly catchUpMs: number
  readonly #prefix: string

  /** @throws {InvalidOptionError} without `cluster.users`, and when an option is out of range. */
  constructor({ cluster, secret, cookie = {}, signOn, catchUpMs = CATCH_UP_MS }: SessionOptions<never>) {
    const options: SignOnOptions = typeof signOn === 'object' ? signOn : {}
    if (cluster.users === undefined) throw new InvalidOptionError('cluster', 'a cluster with users', cluster)
    const unknown = Object.keys(options).find(name => !NAMES.includes(name))
    if (unknown !== undefined || (signOn !== true && typeof signOn !== 'object')) {
      throw new InvalidOptionError('signOn', `true, or an object of ${NAMES.join(', ')}`, unknown ?? signOn)
    }
    const { name = 'tribeline.sso', requireReauthentication = false, reauthenticate } = options
    if (typeof requireReauthentication !== 'boolean') {
      throw new InvalidOptionError('signOn.requireReauthentication', 'true or false', requireReauthentication)
    }
    if (requireReauthentication !== (typeof reauthenticate === 'function')) {
      const expected = requireReauthentication ? 'a function' : 'left out without requireReauthentication'
      throw new InvalidOptionError('signOn.reauthenticate', expected, reauthenticate)
    }
    if (!isCookieName(name)) throw new InvalidOptionError('signOn.name', 'a name that a cookie may have', name)
    this.users = cluster.users
    this.sessions = cluster.sessions
    this.reauthenticate = reauthenticate
    this.catchUpMs = catchUpMs
    this.cookie = new SessionCookie(name, options.secret ?? secret, cookieOptions(options, cookie))
    this.#prefix = `${name}=`
  }

  /** What the client's cookie says, if we signed it. */
  read(header: string | undefined): SentSignOn | undefined {
    if (header === undefined || cookieIn(header, this.#prefix) === undefined) return undefined
    const [id, token] = this.cookie.read(header, undefined).id?.split('~') ?? []
    return id === undefined || token === undefined ? undefined : { id, token }
  }

  /** The Set-Cookie value for the session's sign-on. */
  issue(id: string, session: Session, secure: boolean): string {
    return this.cookie.issue(`${id}~${this.users.signOnToken(session)}`, secure)
  }
}

/** A client's sign-on: its secret id, and its first write, by which another member knows that it is yet to come. */
interface SentSignOn {
  readonly id: string
  readonly token: string
}

/** The sign-on of one request. */
export class SignOnVisit {
  readonly #gate: SignOnGate
  readonly #header: string | undefined
  #sent: SentSignOn | undefined
  #isRead = false
  /** Whether the client's cookie, or what it names, may be another one now. */
  #hasChanged = false
  #isApproved: boolean
  #isLate = false

  /** `header`: the client's `Cookie` header. */
  constructor(gate: SignOnGate, header: string | undefined) {
    this.#gate = gate
    this.#header = header
    this.#isApproved = gate.reauthenticate === undefined
  }

  /**
   * Waits, for `catchUpMs`, until the client's sign-on is here, if it is on its way. Undefined: it is not. Never rejected.
   * Then see {@link isLate}.
   */
  whenKnown(): Promise<void> | undefined {
    const { sessions, catchUpMs } = this.#gate
    const { sent } = this
    if (sent === undefined || sessions.whereabouts(sent.token) !== 'coming') return undefined
    this.#isLate = true
    const wait = catchUpMs === 0 ? undefined : sessions.whenCaughtUp(sent.token, catchUpMs)
    return Promise.resolve(wait).then(isHere => {
      this.#isLate = isHere !== true
    })
  }

  /** Whether the client's sign-on is still on its way: what is not known of it is not over. */
  get isLate(): boolean {
    return this.#isLate
  }

  /** Whether {@link approve} may have to ask. */
  get asks(): boolean {
    return this.#gate.reauthenticate !== undefined && this.sent !== undefined
  }

  /**
   * Asks whether the sign-on's principal may go on, unless the session that `find` gives is somebody's. To be called when
   * the copy may be relied on, before `join`. Rejects with what the application throws.
   */
  async approve(find: () => Session | undefined): Promise<void> {
    const { reauthenticate, users } = this.#gate
    if (reauthenticate === undefined || this.sent === undefined || find()?.principal !== undefined) return
    const principal = users.signedOn(this.sent.id)
    if (principal !== undefined) this.#isApproved = (await reauthenticate(principal)) === true
  }

  /** Makes nobody's session that of the client's sign-on. */
  join(session: Session): void {
    if (session.principal !== undefined || session.isReadOnly || !this.#isApproved || this.sent === undefined) return
    if (this.#gate.users.join(session, this.sent.id) === undefined) this.#hasChanged = true
  }

  /** The session was logged in. */
  loggedIn(): void {
    this.#hasChanged = true
  }

  /** The Set-Cookie values that tell the client what it does not know yet. */
  answer(session: Session, client: ClientConnection): readonly string[] {
    if (!this.#hasChanged && !session.isInvalidated) return []
    const { users, cookie } = this.#gate
    users.settle()
    const id = session.isValid ? users.signOnOf(session) : undefined
    if (id !== undefined) return id === this.sent?.id ? [] : [this.#gate.issue(id, session, client.isSecure)]
    return this.sent === undefined || !this.#isOver(this.sent) ? [] : [cookie.clear(client.isSecure)]
  }

  /** Not so one that another member may still have. */
  #isOver({ id, token }: SentSignOn): boolean {
    const { users, sessions } = this.#gate
    return users.signedOn(id) === undefined && sessions.whereabouts(token) === 'here'
  }

  /** What the client's cookie says. */
  get sent(): SentSignOn | undefined {
    if (!this.#isRead) this.#sent = this.#gate.read(this.#header)
    this.#isRead = true
    return this.#sent
  }
}

const NAMES: readonly string[] = [
  'name',
  'secret',
  'domain',
  'sameSite',
  'secure',
  'partitioned',
  'requireReauthentication',
  'reauthenticate',
] satisfies (keyof SignOnOptions)[]

function cookieOptions(options: SignOnOptions, application: SessionCookieOptions): SessionCookieOptions {
  const {
    domain,
    sameSite = application.sameSite,
    secure = application.secure,
    partitioned = application.partitioned,
  } = options
  const given = Object.entries({ domain, sameSite, secure, partitioned }).filter(([, value]) => value !== undefined)
  return { path: '/', ...(Object.fromEntries(given) as SessionCookieOptions) }
}
