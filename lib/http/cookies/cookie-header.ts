/**
 * One value in a `Cookie` header, as it was sent, found without reading the others; undefined if it is not there. `prefix`:
 * the cookie's name and `=`.
 */
export function cookieIn(header: string, prefix: string): string | undefined {
  for (let at = header.indexOf(prefix); at !== -1; at = header.indexOf(prefix, at + 1)) {
    if (at > 0 && header[at - 1] !== ' ' && header[at - 1] !== ';') continue
    const end = header.indexOf(';', at)
    return header.slice(at + prefix.length, end === -1 ? header.length : end)
  }
  return undefined
}
