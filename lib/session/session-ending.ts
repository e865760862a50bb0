import { decodeText, encodeText } from '../replication/attribute-text.js'
import type { AttributeWrites, RecordChange } from '../replication/replica-contract.js'
import type { CommitOptions } from './session-manager.js'

/** Reserved attribute of a record's last delta: why it ends. */
const WHY = '\u0000why'

/** What whoever ends a session may say of it; see {@link SessionWhy}. */
export type ToldWhy = 'logout' | 'limit' | 'forced' | 'signOff' | 'expired'

const TOLD: readonly ToldWhy[] = ['logout', 'limit', 'forced', 'signOff', 'expired']

/**
 * Why a session ended. `logout`: its user, or the application with `invalidate`; `limit`: its principal had more logins
 * than it may; `forced`: `end` or `endAll`; `signOff`: the sign-on it belongs to is over; `expired`: nobody used it,
 * or it came to its absolute end (`maxLifetime`).
 * `unknown`: it was invalidated without a word, by an older version, without a principal, or while this member was cut
 * off.
 */
export type SessionWhy = ToldWhy | 'unknown'

const BYTES: ReadonlyMap<ToldWhy, AttributeWrites> = new Map(
  TOLD.map(why => [why, new Map([[WHY, encodeText(why)]])] as const),
)

/** How one session is ended. */
export interface InvalidateOptions extends CommitOptions {
  /** What the others are told. Default: `logout` for a session with a principal, else nothing. */
  readonly why?: ToldWhy
}

/** What the last delta of a record says. */
export function endingOf(why: ToldWhy | undefined): AttributeWrites | undefined {
  return why === undefined ? undefined : BYTES.get(why)
}

/** Why a record was removed. */
export function whyOf({ reason, before }: RecordChange): SessionWhy {
  if (reason === 'expired') return 'expired'
  const bytes = before?.get(WHY)
  const text = bytes === undefined || bytes.length > 16 ? undefined : decodeText(bytes)
  return TOLD.find(why => why === text) ?? 'unknown'
}
