import { Buffer } from 'node:buffer'
import type { Dot } from '../replication/replica-contract.js'

const TOKEN = /^([\w-]{22})\.([1-9a-z][0-9a-z]{0,10})$/
/** Lives whose text was read lately; there are as many as members. */
const ORIGINS_MAX = 1_024
const origins = new Map<string, string>()
/** The origin written last, nearly always this member's own, as text. */
let lastOrigin = ''
let lastText = ''

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
  const parts = TOKEN.exec(token)
  if (parts === null) return undefined
  const origin = origins.get(parts[1]!) ?? readOrigin(parts[1]!)
  const seq = Number.parseInt(parts[2]!, 36)
  return origin !== undefined && Number.isSafeInteger(seq) ? { origin, seq } : undefined
}

function readOrigin(text: string): string | undefined {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text) return undefined
  if (origins.size >= ORIGINS_MAX) origins.clear()
  const origin = bytes.toString('hex')
  origins.set(text, origin)
  return origin
}
