import { parseCookie, stringifySetCookie } from 'cookie'
import { sign, unsign } from 'cookie-signature'
import { LRUCache } from 'lru-cache'
import { InvalidOptionError } from '../errors.js'

/** Verified cookie values remembered, so that a busy client's signature is computed once. */
const VERIFIED_MAX = 10_000
/** Longest cookie value that is looked at. */
const VALUE_LENGTH_MAX = 4096

/** Attributes of the session cookie, named as in express-session. */
export interface SessionCookieOptions {
  /** Default `/`. Requests to other paths have no session. */
  readonly path?: string
  /** Default true: scripts in the page cannot read it. */
  readonly httpOnly?: boolean
  /** Default `lax`. */
  readonly sameSite?: 'lax' | 'strict' | 'none'
  /** Default `auto`: on TLS connections, and when Express trusts the proxy that says so. */
  readonly secure?: boolean | 'auto'
  /** Milliseconds. Unset: until the browser closes. Set: also the session's `maxInactiveInterval`. */
  readonly maxAge?: number
  /** Default: none, so that only the host that answered gets it back. */
  readonly domain?: string
  /** Kept apart per top-level site (CHIPS). Default false. */
  readonly partitioned?: boolean
}

/** What a request brought. */
export interface SentCookies {
  /** The id in the session cookie, if we signed it. */
  readonly id: string | undefined
  /** The route cookie, as it came. */
  readonly route: string | undefined
}

const NO_COOKIES: SentCookies = { id: undefined, route: undefined }

/** Reads and issues the session cookie, in the bytes express-session uses: `s:<id>.<HMAC-SHA-256, base64>`. */
export class SessionCookie {
  /** The cookie's name. */
  readonly name: string
  /** Its attributes, as given. */
  readonly options: SessionCookieOptions
  readonly #secrets: readonly string[]
  readonly #verified = new LRUCache<string, string>({ max: VERIFIED_MAX })

  /**
   * The first secret signs, all of them verify; put a new one in front to rotate.
   *
   * @throws {InvalidOptionError} without a secret or with an empty one, for a `maxAge` that is not above 0, and for a
   *   name or attribute that no cookie may have
   */
  constructor(name: string, secret: string | readonly string[], options: SessionCookieOptions = {}) {
    const secrets = typeof secret === 'string' ? [secret] : [...(secret ?? [])]
    if (secrets.length === 0 || secrets.some(one => typeof one !== 'string' || one === '')) {
      throw new InvalidOptionError(
        'secret',
        'a string, or a list of them, none empty',
        secret === '' ? 'none' : 'other',
      )
    }
    const { maxAge } = options
    if (maxAge !== undefined && !(Number.isFinite(maxAge) && maxAge > 0)) {
      throw new InvalidOptionError('cookie.maxAge', 'a positive number of milliseconds', maxAge)
    }
    this.name = name
    this.options = options
    this.#secrets = secrets
    this.issue('check', true)
  }

  /** All cookies of a request. */
  static parse(header: string | undefined): Readonly<Record<string, string | undefined>> {
    return header === undefined ? {} : parseCookie(header)
  }

  /** What the `Cookie` header of a request says. */
  read(header: string | undefined, routeCookie: string | undefined): SentCookies {
    if (header === undefined) return NO_COOKIES
    const cookies = parseCookie(header)
    return {
      id: this.verify(cookies[this.name]),
      route: routeCookie === undefined ? undefined : cookies[routeCookie],
    }
  }

  /** The id in a cookie value, or undefined when no secret of ours has signed it. */
  verify(value: string | undefined): string | undefined {
    if (value === undefined || !value.startsWith('s:') || value.length > VALUE_LENGTH_MAX) return undefined
    const known = this.#verified.get(value)
    if (known !== undefined) return known
    for (const secret of this.#secrets) {
      const id = unsign(value.slice(2), secret)
      if (id === false || id === '') continue
      this.#verified.set(value, id)
      return id
    }
    return undefined
  }

  /** The Set-Cookie value that hands `id` to the client. `secure`: whether this connection is. */
  issue(id: string, secure: boolean): string {
    return this.#serialize(this.name, `s:${sign(id, this.#secrets[0] as string)}`, secure, this.options.maxAge)
  }

  /** The Set-Cookie value that makes the client forget the session. */
  clear(secure: boolean): string {
    return this.#serialize(this.name, '', secure, 0)
  }

  /** A second, unsigned cookie with the same attributes. */
  companion(name: string, value: string, secure: boolean): string {
    return this.#serialize(name, value, secure, this.options.maxAge)
  }

  #serialize(name: string, value: string, connectionSecure: boolean, maxAgeMs: number | undefined): string {
    const { path = '/', httpOnly = true, sameSite = 'lax', secure = 'auto', domain, partitioned = false } = this.options
    try {
      return stringifySetCookie(name, value, {
        path,
        httpOnly,
        sameSite,
        partitioned,
        secure: secure === 'auto' ? connectionSecure : secure,
        ...(domain === undefined ? {} : { domain }),
        ...(maxAgeMs === undefined ? {} : { maxAge: Math.ceil(maxAgeMs / 1000) }),
      })
    } catch (error) {
      throw new InvalidOptionError('cookie', 'what a cookie allows', error instanceof Error ? error.message : name)
    }
  }
}
