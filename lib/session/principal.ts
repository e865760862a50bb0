import { Buffer } from 'node:buffer'
import { InvalidOptionError } from '../errors.js'

/** Reserved attribute of a session: whose it is. */
export const PRINCIPAL = '\u0000principal'
/** Reserved attribute of a session or sign-on: when it was logged in, and by what policy. Its stamp is the login's. */
export const LOGIN = '\u0000login'
/** Longest name of a principal, in UTF-8 bytes. */
export const PRINCIPAL_BYTES_MAX = 256

/** @throws {InvalidOptionError} for what is no text of 1 to 256 bytes */
export function checkPrincipal(principal: unknown): asserts principal is string {
  const bytes = typeof principal === 'string' ? Buffer.byteLength(principal) : 0
  if (bytes < 1 || bytes > PRINCIPAL_BYTES_MAX) {
    const got = typeof principal === 'string' ? bytes : principal
    throw new InvalidOptionError('principal', `a string of 1 to ${PRINCIPAL_BYTES_MAX} bytes`, got)
  }
}
