import type { Dot } from '../replication/replica-contract.js'

const TOKEN = /^([\w-]{22})\.([0-9a-z]{1,11})$/

/** A delta's name as text that fits into a cookie: 24 to 34 letters, digits, `-`, `_` and one `.`. */
export function writeToken({ origin, seq }: Dot): string {
  return `${Buffer.from(origin, 'hex').toString('base64url')}.${seq.toString(36)}`
}

/** The delta a token names; undefined for anything that `writeToken` does not make. */
export function readWriteToken(token: string): Dot | undefined {
  const parts = TOKEN.exec(token)
  if (parts === null) return undefined
  const dot = { origin: Buffer.from(parts[1]!, 'base64url').toString('hex'), seq: Number.parseInt(parts[2]!, 36) }
  return Number.isSafeInteger(dot.seq) && dot.seq > 0 && writeToken(dot) === token ? dot : undefined
}
