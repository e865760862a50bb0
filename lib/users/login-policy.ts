import { custom, oneOf, type RulesOf, resolve } from '../options.js'
import { decodeText, encodeText } from '../replication/attribute-text.js'
import type { Stamp } from '../replication/replica-contract.js'
import { compareStamps } from '../replication/stamp.js'

const SESSIONS_MAX = 1_000_000

/**
 * What a login does where its principal has as many as it may: `refuse`, it fails and the older ones stay; `endOldest`,
 * the older ones end.
 */
export type WhenFull = 'refuse' | 'endOldest'

/** How many logins a principal may have at a time (KHAN: duplicate-login prevention). */
export interface LoginPolicy {
  /** 1 to 1,000,000; 0: as many as it likes. */
  readonly maxSessions: number
  readonly whenFull: WhenFull
}

/** The policy of logins that name none of their own. Members may differ: each login goes by what it was made with. */
export interface UsersOptions {
  /** Logins a principal may have at a time, 1 to 1,000,000; 0: as many as it likes. Default 0. */
  readonly maxSessions?: number
  /** What happens to one too many. Default `endOldest`. */
  readonly whenFull?: WhenFull
}

const RULES: RulesOf<LoginPolicy> = {
  maxSessions: custom(
    0,
    `a whole number from 0 to ${SESSIONS_MAX}; 0: no limit`,
    value => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= SESSIONS_MAX,
  ),
  whenFull: oneOf('endOldest', 'refuse', 'endOldest') as RulesOf<LoginPolicy>['whenFull'],
}

/**
 * Checks what is given and fills in the rest.
 *
 * @throws {InvalidOptionError} which option, what is allowed, what came
 */
export function resolveLoginPolicy(options: UsersOptions | undefined, path: string): LoginPolicy {
  return resolve<LoginPolicy>(RULES, options, path)
}

/** A login's note in its record: when it was made, by this host's clock, and by what policy. */
export interface LoginNote {
  readonly atMs: number
  readonly policy: LoginPolicy
}

/** A note as an attribute's bytes. */
export function encodeLogin({ atMs, policy }: LoginNote): Uint8Array {
  return encodeText(`${Math.round(atMs)} ${policy.maxSessions} ${policy.whenFull}`)
}

/** The note in `bytes`; undefined when there is none: bytes from the network may be anything. */
export function decodeLogin(bytes: Uint8Array | undefined): LoginNote | undefined {
  if (bytes === undefined || bytes.length > 64) return undefined
  const match = /^(\d{1,15}) (\d{1,7}) (refuse|endOldest)$/.exec(decodeText(bytes))
  if (match === null) return undefined
  return { atMs: Number(match[1]), policy: { maxSessions: Number(match[2]), whenFull: match[3] as WhenFull } }
}

/** A login as the policy sees it. */
export interface Login {
  /** Its place among the others. */
  readonly stamp: Stamp
  readonly policy: LoginPolicy | undefined
}

/**
 * The logins of one principal that must end, so that no member's order of hearing of them matters: those that would
 * have been refused or ended, had they all been made one after the other in the order of their stamps. Where all have
 * one policy, exactly `maxSessions` stay: the newest (`endOldest`) or the oldest (`refuse`).
 *
 * A member that has not heard of all of them finds fewer, and none of which this is not true.
 */
export function surplusOf<L extends Login>(logins: readonly L[]): L[] {
  const surplus: L[] = []
  const standing: L[] = []
  for (const login of [...logins].sort((a, b) => compareStamps(a.stamp, b.stamp))) {
    const { maxSessions: max, whenFull } = login.policy ?? NO_LIMIT
    if (max > 0 && whenFull === 'refuse' && standing.length >= max) {
      surplus.push(login)
      continue
    }
    standing.push(login)
    if (max > 0 && whenFull === 'endOldest') surplus.push(...standing.splice(0, Math.max(0, standing.length - max)))
  }
  return surplus
}

const NO_LIMIT: LoginPolicy = { maxSessions: 0, whenFull: 'endOldest' }
