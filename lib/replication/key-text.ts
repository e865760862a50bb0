import { Buffer } from 'node:buffer'
import type { MemberId } from '../membership/member.js'
import type { RecordKey } from './replica-contract.js'

/** An id, `#` and the digits of a safe integer. */
const bytes = Buffer.alloc(64)
const ID_LENGTH = 32
let last: MemberId = ''

/**
 * The key of a record, as `recordKey` makes it, for those who make a hundred thousand: one flat text, where putting
 * pieces together leaves three more to be thrown away, and one to be flattened before any Map finds it.
 */
export function keyText(origin: MemberId, seq: number): RecordKey {
  if (origin.length !== ID_LENGTH) return `${origin}#${seq}`
  if (origin !== last) {
    bytes.write(`${origin}#`, 'latin1')
    last = origin
  }
  let digits = 1
  for (let bound = 10; bound <= seq; bound *= 10) digits++
  const end = ID_LENGTH + 1 + digits
  let rest = seq
  for (let at = end - 1; at > ID_LENGTH; at--) {
    const tenth = Math.floor(rest / 10)
    bytes[at] = 48 + (rest - 10 * tenth)
    rest = tenth
  }
  return bytes.toString('latin1', 0, end)
}
