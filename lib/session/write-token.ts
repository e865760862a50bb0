import { Buffer } from 'node:buffer'
import type { Dot } from '../replication/replica-contract.js'

/** Characters of an origin, and of a token at most. */
const ORIGIN_LENGTH = 22
const TOKEN_MAX = 34
const ORIGIN = /^[\w-]{22}$/
/** Lives whose text was read lately; there are as many as members. */
const ORIGINS_MAX = 1_024
const origins = new Map<string, string>()
/** The origin written last, nearly always this member's own, as text. */
let lastOrigin = ''
let lastText = ''
/** The same of the origin read last; empty: none yet. */
let lastReadText = ''
let lastReadOrigin = ''

/** How long whoever reads waits for a write that its client has made elsewhere, in milliseconds, unless told otherwise. */
export const CATCH_UP_MS = 250

/** A delta's name as text that fits into a cookie: 24 to 34 letters, digits, `-`, `_` and one `.`. */
export function writeToken({ origin, seq }: Dot): string {
  if (origin !== lastOrigin) {
    lastText = Buffer.from(origin, 'hex').toString('base64url')
    lastOrigin = origin
  }
  return `${lastText}.${seq.toString(36)}`
}

/** The delta a token names; undefined for anything that `writeToken` does not make. */
export function readWriteToken(token: string): Dot | undefined {
  const seq = readSeq(token)
  if (!Number.isSafeInteger(seq)) return undefined
  const isSame = lastReadText !== '' && token.startsWith(lastReadText)
  const origin = isSame ? lastReadOrigin : readOrigin(token.slice(0, ORIGIN_LENGTH))
  return origin === undefined ? undefined : { origin, seq }
}

/** The number behind the dot, or NaN. By hand, for every request reads one, and a pattern would make a list of pieces. */
function readSeq(token: string): number {
  const start = ORIGIN_LENGTH + 1
  if (token[ORIGIN_LENGTH] !== '.' || token.length === start || token.length > TOKEN_MAX) return Number.NaN
  let seq = 0
  for (let at = start; at < token.length; at++) {
    const digit = digitOf(token.charCodeAt(at))
    if (digit === 0 && at === start) return Number.NaN
    seq = seq * 36 + digit
  }
  return seq
}

/** Of a digit or small letter; NaN for others. */
function digitOf(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  return code >= 97 && code <= 122 ? code - 87 : Number.NaN
}

function readOrigin(text: string): string | undefined {
  const origin = origins.get(text) ?? decodeOrigin(text)
  if (origin === undefined) return undefined
  lastReadText = text
  lastReadOrigin = origin
  return origin
}

function decodeOrigin(text: string): string | undefined {
  const bytes = Buffer.from(ORIGIN.test(text) ? text : '', 'base64url')
  // In memory of its own: a piece of a header would keep all of it.
  const own = bytes.toString('base64url')
  if (own !== text) return undefined
  if (origins.size >= ORIGINS_MAX) origins.clear()
  const origin = bytes.toString('hex')
  origins.set(own, origin)
  return origin
}
