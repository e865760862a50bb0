/**
 * How the session cookie carries the route. `cookie`: not at all, a cookie of its own does. `suffix`: behind a tilde, as
 * Apache's `stickysessionsep=~` reads it. `jvmRoute`: behind the first dot, as Tomcat, JEUS, mod_jk and Apache's default
 * expect it.
 */
export type CookieRouting = 'cookie' | 'suffix' | 'jvmRoute'

/** A cookie value in its parts. */
export interface CookieValue {
  /** `<id>.<HMAC, base64>`: what is verified. */
  readonly signed: string
  /** The format it had. */
  readonly routing: CookieRouting
  /** The node's name in it, as it came. */
  readonly route: string | undefined
}

/** Characters of an HMAC-SHA-256 in base64 without padding. */
const MAC_LENGTH = 43
const SUFFIXED = /^s:(.+?\.[A-Za-z0-9+/]{43})~(.*)$/s
const JVM_ROUTED = /^([^.~]+)~([\w-]{43})(?:\.(.*))?$/s

/**
 * The cookie's value before it is percent-encoded: `s:<signed>`, `s:<signed>~<route>`, or `<id>~<HMAC, base64url>.<route>`,
 * in which the id is encoded so that no dot stands before the route's.
 */
export function writeCookieValue(signed: string, routing: CookieRouting, route: string): string {
  if (routing === 'cookie') return `s:${signed}`
  if (routing === 'suffix') return `s:${signed}~${route}`
  const id = signed.slice(0, -MAC_LENGTH - 1)
  const mac = signed.slice(-MAC_LENGTH).replaceAll('+', '-').replaceAll('/', '_')
  return `${/^[\w-]+$/.test(id) ? id : withoutDots(id)}~${mac}.${route}`
}

/** Reads any of the formats, so that another one can be chosen without logging everybody out. */
export function readCookieValue(value: string): CookieValue | undefined {
  if (value.startsWith('s:')) {
    const suffixed = value.includes('~') ? SUFFIXED.exec(value) : null
    if (suffixed === null) return { signed: value.slice(2), routing: 'cookie', route: undefined }
    return { signed: suffixed[1] as string, routing: 'suffix', route: suffixed[2] }
  }
  const parts = JVM_ROUTED.exec(value)
  if (parts === null) return undefined
  const [, text = '', mac = '', route] = parts
  const id = decoded(text)
  if (id === undefined) return undefined
  return { signed: `${id}.${mac.replaceAll('-', '+').replaceAll('_', '/')}`, routing: 'jvmRoute', route }
}

function withoutDots(id: string): string {
  return encodeURIComponent(id).replace(/[.~]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
