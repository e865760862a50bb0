import { InvalidOptionError } from '../../errors.js'
import { cookieIn } from './cookie-header.js'
import type { CookieRouting } from './cookie-value.js'
import type { SentCookies } from './session-cookie.js'

const ROUTINGS: readonly CookieRouting[] = ['cookie', 'suffix', 'jvmRoute']
const DEFAULT_COOKIE = 'tribeline_route'

/** How clients are bound to the member that served them, for the balancer to know; see `SessionOptions.routing`. */
export class RouteBinding {
  readonly routing: CookieRouting
  /** The route cookie's name; undefined: the session cookie has the route, or there is none. */
  readonly cookie: string | undefined
  /** This member's name. */
  readonly member: string
  readonly #isOn: boolean
  readonly #carrier: string
  readonly #mine: string

  /**
   * `session`: the session cookie's name.
   *
   * @throws {InvalidOptionError} for an unknown routing, or a route cookie beside a routing that needs none
   */
  constructor(
    member: string,
    session: string,
    { routing = 'cookie', routeCookie }: { routing?: CookieRouting; routeCookie?: string | false },
  ) {
    if (!ROUTINGS.includes(routing)) {
      throw new InvalidOptionError('routing', `one of ${ROUTINGS.map(name => `'${name}'`).join(', ')}`, routing)
    }
    if (routing !== 'cookie' && typeof routeCookie === 'string') {
      throw new InvalidOptionError('routeCookie', `unset with routing: '${routing}'`, routeCookie)
    }
    this.member = member
    this.routing = routing
    this.cookie = routing === 'cookie' && routeCookie !== false ? (routeCookie ?? DEFAULT_COOKIE) : undefined
    this.#isOn = routing !== 'cookie' || this.cookie !== undefined
    this.#carrier = `${this.cookie ?? session}=`
    this.#mine = routing === 'cookie' ? member : `${routing === 'suffix' ? '~' : '.'}${member}`
  }

  /** Whether a `Cookie` header names another member, or binds to this one in another format; cheap. */
  isElsewhere(header: string | undefined): boolean {
    if (!this.#isOn || header === undefined) return false
    const value = cookieIn(header, this.#carrier)
    if (value === undefined) return false
    return this.routing === 'cookie' ? value !== this.#mine : !value.endsWith(this.#mine)
  }

  /** The member that the client was bound to, if another one. */
  from({ route }: SentCookies): string | undefined {
    return this.#isOn && route !== this.member ? route : undefined
  }

  /** Whether the session cookie must be sent for its route's or its format's sake. */
  tellsId({ route, isCurrent }: SentCookies): boolean {
    return !isCurrent || (this.routing !== 'cookie' && route !== this.member)
  }
}
