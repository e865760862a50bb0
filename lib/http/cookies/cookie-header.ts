/**
 * One value in a `Cookie` header, as it was sent, found without reading the others; undefined if it is not there. `prefix`:
 * the cookie's name and `=`.
 */
export function cookieIn(header: string, prefix: string): string | undefined {
  for (let at = header.indexOf(prefix); at !== -1; at = header.indexOf(prefix, at + 1)) {
    if (mayBegin(header, at)) return valueAt(header, at + prefix.length)
  }
  return undefined
}

/** Whether a cookie may begin at `at`. */
export function mayBegin(header: string, at: number): boolean {
  return at === 0 || header[at - 1] === ' ' || header[at - 1] === ';'
}

/** The value that begins at `start`, as it was sent. */
export function valueAt(header: string, start: number): string {
  const end = header.indexOf(';', start)
  return header.slice(start, end === -1 ? header.length : end)
}

/** What goes on with a name, so that it is another one. */
const NAME_PART = /[\w.-]/

/**
 * One value in a `Cookie` header, as it was sent, if the first mention of its name, but in longer ones, is plainly that
 * cookie: then every parser finds the same one. Undefined: it is not there, or a parser has to say.
 */
export function plainCookie(header: string, name: string): string | undefined {
  for (let at = header.indexOf(name); at !== -1; at = header.indexOf(name, at + 1)) {
    if (!isBegin(header, at)) return undefined
    const start = at + name.length + 1
    const next = header[start - 1]
    if (next === '=') return valueAt(header, start)
    if (next === undefined || !NAME_PART.test(next)) return undefined
  }
  return undefined
}

/** Whether a cookie certainly begins at `at`, with one space before it or none. */
function isBegin(header: string, at: number): boolean {
  if (at === 0 || header[at - 1] === ';') return true
  return at > 1 && header[at - 1] === ' ' && header[at - 2] === ';'
}

/** Whether a cookie may have this name (RFC 6265: a token). */
export function isCookieName(name: unknown): name is string {
  return typeof name === 'string' && /^[\w!#$%&'*+.^`|~-]+$/.test(name)
}
