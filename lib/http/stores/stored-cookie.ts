import type { Session } from '../../session/session.js'
import { sameBytes } from '../../session/session-delta.js'
import { decodeValue } from '../../wire/value-codec.js'

/** Reserved attribute: the cookie as express-session keeps it. Apart from the data, as it moves on every request. */
export const COOKIE = '\u0000cookie'
/** Difference of two `originalMaxAge` that is none. */
const DRIFT_MAX_MS = 10

/** The cookie as stored. `lifetimeMs`: how long the session lives from its last use; null: as the manager says. */
export interface StoredCookie {
  readonly data: Readonly<Record<string, unknown>>
  readonly lifetimeMs: number | null
}

/** The cookie decoded last. Where cookies have no expiry, all sessions of an application have the same bytes. */
let lastCookie: { readonly bytes: Uint8Array; readonly cookie: StoredCookie } | undefined

/** The cookie as it is in a view. */
export function storedCookieOf(view: Session): StoredCookie | undefined {
  const bytes = view.reserved(COOKIE)
  if (bytes === undefined) return undefined
  if (lastCookie !== undefined && sameBytes(lastCookie.bytes, bytes)) return lastCookie.cookie
  try {
    const { data, lifetimeMs } = decodeValue(bytes) as StoredCookie
    const cookie = { data: { ...data }, lifetimeMs: typeof lifetimeMs === 'number' ? lifetimeMs : null }
    lastCookie = { bytes: bytes.slice(), cookie }
    return cookie
  } catch {
    // Another release's cookie: the session is still good, and the next save writes ours.
    return undefined
  }
}

/** NaN for a cookie without an expiry: not near any other. */
export function expiryOf(cookie: Readonly<Record<string, unknown>> | undefined): number {
  if (cookie === undefined) return Number.NaN
  return cookie.expires instanceof Date ? cookie.expires.getTime() : 0
}

/** Whether two cookies differ in nothing but their expiry. */
export function sameButExpiry(a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): boolean {
  // express-session computes it anew from the expiry at every touch, and may lose a millisecond.
  const drift = Number(a.originalMaxAge ?? 0) - Number(b.originalMaxAge ?? 0)
  return Math.abs(drift) <= DRIFT_MAX_MS && hasAll(a, b) && hasAll(b, a)
}

/** Whether `b` has what `a` has. A loaded cookie has every name, those never given as undefined. */
function hasAll(a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): boolean {
  for (const name of Object.keys(a)) {
    if (name !== 'expires' && name !== 'originalMaxAge' && (a[name] ?? null) !== (b[name] ?? null)) return false
  }
  return true
}

/** The cookie to store, from that of an express-like session: its `toJSON`, if it has one. */
export function cookieFrom(cookie: unknown, wallMs: number): StoredCookie {
  const given = cookie as { toJSON?: () => unknown } | undefined
  const data = { ...((typeof given?.toJSON === 'function' ? given.toJSON() : given) as Record<string, unknown>) }
  const expires = typeof data.expires === 'string' ? new Date(data.expires) : data.expires
  if (expires instanceof Date && !Number.isNaN(expires.getTime())) {
    data.expires = expires
    return { data, lifetimeMs: expires.getTime() - wallMs }
  }
  const maxAge = data.originalMaxAge ?? data.maxAge
  return { data, lifetimeMs: typeof maxAge === 'number' ? maxAge : null }
}

/** Whether the session is to end by it. */
export function isOver({ lifetimeMs }: StoredCookie): boolean {
  return lifetimeMs !== null && lifetimeMs <= 0
}
