import { Buffer } from 'node:buffer'
import { parseCookie, stringifySetCookie } from 'cookie'
import { sign, unsign } from 'cookie-signature'
import { LRUCache } from 'lru-cache'
import { InvalidOptionError } from '../../errors.js'
import { checkNames, custom, flag, type OptionRule, oneOf, pick } from '../../options.js'
import { plainCookie } from './cookie-header.js'
import { type CookieRouting, readCookieValue, writeCookieValue } from './cookie-value.js'

/** Verified cookies remembered, so that a busy client's are read, and their signature computed, once. */
const VERIFIED_MAX = 10_000
/** Longest cookie value that is remembered. */
const VERIFIED_LENGTH_MAX = 1_024
/** Longest cookie value that is looked at. */
const VALUE_LENGTH_MAX = 4096
/** Names of members; whatever else a client sends as its route is as good as none. */
const ROUTE = /^[\w-]{1,64}$/

/** Attributes of the session cookie, named as in express-session. */
export interface SessionCookieOptions {
  /** Default `/`. Requests to other paths have no session. */
  readonly path?: string
  /** Default true: scripts in the page cannot read it. */
  readonly httpOnly?: boolean
  /** Default `lax`. Browsers take `none` over TLS only. */
  readonly sameSite?: 'lax' | 'strict' | 'none'
  /** Default `auto`: on TLS connections, and when Express trusts the proxy that says so. */
  readonly secure?: boolean | 'auto'
  /** Milliseconds. Unset: until the browser closes. Set: also the session's `maxInactiveInterval`. */
  readonly maxAge?: number
  /** Default: none, so that only the host that answered gets it back. */
  readonly domain?: string
  /** Kept apart per top-level site (CHIPS); over TLS only. Default false. */
  readonly partitioned?: boolean
}

const RULES: { readonly [Name in keyof Required<SessionCookieOptions>]: OptionRule<unknown> } = {
  path: custom<unknown>(undefined, "a path: '/' and what follows, without ;", isPath),
  httpOnly: flag(true),
  sameSite: oneOf('lax', 'lax', 'strict', 'none'),
  secure: custom<unknown>(undefined, "true, false or 'auto'", value => typeof value === 'boolean' || value === 'auto'),
  maxAge: custom<unknown>(undefined, 'a positive number of milliseconds', isDuration),
  domain: custom<unknown>(undefined, 'a host name, without a port', isDomain),
  partitioned: flag(false),
}

/** As much of a client's connection as cookies depend on. */
export interface ClientConnection {
  /** Whether it is secure; asked only if there are cookies to send. */
  readonly isSecure: boolean
}

/** What a request brought. */
export interface SentCookies {
  /** The id in the session cookie, if we signed it. */
  readonly id: string | undefined
  /** The member the client was bound to, if what it says can be a member's name. Unsigned: only a hint. */
  readonly route: string | undefined
  /** Whether the session cookie has the format that is issued now. */
  readonly isCurrent: boolean
}

/** What was read beside a session cookie that we signed, and by which route cookie. */
interface Verified {
  readonly sent: SentCookies & { readonly id: string }
  readonly routeCookie: string | undefined
}

const NO_COOKIES: SentCookies = { id: undefined, route: undefined, isCurrent: true }

/**
 * Reads and issues the session cookie, in the bytes express-session uses: `s:<id>.<HMAC-SHA-256, base64>`, or in one of
 * the formats with a route; it reads all of them.
 */
export class SessionCookie {
  /** The cookie's name. */
  readonly name: string
  /** Its attributes, as given. */
  readonly options: SessionCookieOptions
  /** How it carries the route. */
  readonly routing: CookieRouting
  readonly #secrets: readonly string[]
  /** By the session cookie's value as it came. */
  readonly #verified = new LRUCache<string, Verified>({ max: VERIFIED_MAX })

  /**
   * The first secret signs, all of them verify; put a new one in front to rotate.
   *
   * @throws {InvalidOptionError} without a secret or with an empty one, for a `maxAge` that is not above 0, for a name
   *   or attribute that no cookie may have, and for attributes that no browser takes together
   */
  constructor(
    name: string,
    secret: string | readonly string[],
    options: SessionCookieOptions = {},
    routing: CookieRouting = 'cookie',
  ) {
    this.#secrets = secretsOf(secret)
    checkNames(options, Object.keys(RULES), 'cookie.')
    pick(RULES, options, 'cookie.')
    const isCrossSite = options.sameSite === 'none' || options.partitioned === true
    if (isCrossSite && options.secure === false) {
      throw new InvalidOptionError('cookie.secure', "true or 'auto' for what browsers take over TLS only", false)
    }
    this.name = name
    this.options = options
    this.routing = routing
    this.issue('check', true)
  }

  /** What the `Cookie` header of a request says. */
  read(header: string | undefined, routeCookie: string | undefined): SentCookies {
    if (header === undefined) return NO_COOKIES
    const plain = plainCookie(header, this.name)
    if (plain === undefined) return this.#parse(header, routeCookie)
    const known = this.#verified.get(plain)
    if (known !== undefined && known.routeCookie === routeCookie) {
      const { sent } = known
      if (routeCookie === undefined) return sent
      const route = plainCookie(header, routeCookie)
      if (route !== undefined && route === sent.route) return sent
    }
    const sent = this.#parse(header, routeCookie, known?.sent.id)
    this.#remember(plain, sent, routeCookie)
    return sent
  }

  /**
   * The Set-Cookie value that hands `id` to the client. `secure`: whether this connection is. `route`: in formats with one.
   * `leftMs`: how long the session lives at most; a cookie with `maxAge` does not outlive it.
   */
  issue(id: string, secure: boolean, route = '', leftMs: number = Infinity): string {
    const value = writeCookieValue(sign(id, this.#secrets[0] as string), this.routing, route)
    const { maxAge } = this.options
    // Whole seconds: rounded up as others are, it would outlive the session.
    const lastsMs = maxAge === undefined ? undefined : Math.min(maxAge, Math.floor(leftMs / 1000) * 1000)
    return setCookie(this.name, value, secure, this.options, lastsMs)
  }

  /** The Set-Cookie value that makes the client forget the session. */
  clear(secure: boolean): string {
    return setCookie(this.name, '', secure, this.options, 0)
  }

  /** A second cookie with the same attributes. */
  companion(name: string, value: string, secure: boolean): string {
    return setCookie(name, value, secure, this.options)
  }

  /** `id`: that of the session cookie, if it is known. */
  #parse(header: string, routeCookie: string | undefined, id?: string): SentCookies {
    const cookies = parseCookie(header)
    const sent = cookies[this.name]
    const value = sent === undefined || sent.length > VALUE_LENGTH_MAX ? undefined : readCookieValue(sent)
    const companion = routeCookie === undefined ? undefined : cookies[routeCookie]
    const route = companion ?? value?.route
    return {
      id: id ?? (value === undefined ? undefined : this.#idOf(value.signed)),
      route: route !== undefined && ROUTE.test(route) ? route : undefined,
      isCurrent: value === undefined || value.routing === this.routing,
    }
  }

  /** The id, or undefined when no secret of ours has signed it. */
  #idOf(signed: string): string | undefined {
    for (const secret of this.#secrets) {
      const id = unsign(signed, secret)
      if (id !== false && id !== '') return id
    }
    return undefined
  }

  #remember(plain: string, { id, route, isCurrent }: SentCookies, routeCookie: string | undefined): void {
    if (id === undefined || plain.length > VERIFIED_LENGTH_MAX) return
    const sent = { id: copied(id), route: route === undefined ? undefined : copied(route), isCurrent }
    this.#verified.set(copied(plain), { sent, routeCookie })
  }
}

/** The same text in memory of its own: a piece of a header would keep all of it. */
function copied(text: string): string {
  return Buffer.from(text).toString()
}

function isPath(value: unknown): boolean {
  return typeof value === 'string' && /^\/[ -:<-~]*$/.test(value)
}

function isDuration(value: unknown): boolean {
  return Number.isFinite(value) && (value as number) > 0
}

function isDomain(value: unknown): boolean {
  return typeof value === 'string' && /^\.?[a-z\d-]+(\.[a-z\d-]+)*$/i.test(value)
}

/**
 * A list of at least one secret.
 *
 * @throws {InvalidOptionError} without a secret, or with an empty one
 */
export function secretsOf(secret: string | readonly string[]): readonly string[] {
  const secrets: readonly unknown[] = Array.isArray(secret) ? secret : [secret]
  if (secrets.length === 0 || secrets.some(one => typeof one !== 'string' || one === '')) {
    // Nothing of a secret in a message: of a number, its type.
    const got: unknown = ['string', 'object', 'undefined'].includes(typeof secret) ? secret : typeof secret
    throw new InvalidOptionError('secret', 'a string, or a list of them, none empty', got)
  }
  return secrets as readonly string[]
}

/**
 * A Set-Cookie value. `connectionSecure`: whether the client's connection is, for `secure: 'auto'`.
 *
 * @throws {InvalidOptionError} for a name or attribute that no cookie may have
 */
export function setCookie(
  name: string,
  value: string,
  connectionSecure: boolean,
  options: SessionCookieOptions,
  maxAgeMs: number | undefined = options.maxAge,
): string {
  const { path = '/', httpOnly = true, sameSite = 'lax', secure = 'auto', domain, partitioned = false } = options
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
