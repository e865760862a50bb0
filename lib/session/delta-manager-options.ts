import type { AckMode } from '../channel/topic.js'
import { custom, flag, oneOf, type RulesOf, resolve, wholeNumber } from '../options.js'
import { MAX_INTERVAL_SECONDS } from './session.js'
import type { ChangeDetection } from './session-delta.js'

/** Options of a DeltaManager; the first three are Tomcat's. */
export interface DeltaManagerOptions {
  /** Seconds without use after which a session expires; 0 or less: never. Default 1800. */
  readonly maxInactiveInterval?: number
  /** Whether stopping this member ends its sessions on every member. Default false. */
  readonly expireSessionsOnShutdown?: boolean
  /** Whether listeners hear of what other members did. Default true. */
  readonly notifyListenersOnReplication?: boolean
  /** What a write's receipt waits for at each member. Default `applied`. */
  readonly ack?: AckMode
  /** How many other members must acknowledge; `all`: everyone there, and at least one. Default 1. */
  readonly copies?: number | 'all'
  /** Milliseconds until a receipt says `unknown`. Default 1,000. */
  readonly ackTimeoutMs?: number
  /**
   * Whether the promise of a write resolves (`report`, the default) or rejects with a SendError (`throw`) when too few
   * members acknowledged. The write stands in both cases, and is told as `shortfall`.
   */
  readonly onShortfall?: 'report' | 'throw'
  /** What counts as a change of an attribute, as JEUS's check-level. Default `modified`. */
  readonly detect?: ChangeDetection
}

const RULES: RulesOf<Required<DeltaManagerOptions>> = {
  maxInactiveInterval: custom(
    1_800,
    `whole seconds up to ${MAX_INTERVAL_SECONDS}; 0 or less: never`,
    value => Number.isSafeInteger(value) && (value as number) <= MAX_INTERVAL_SECONDS,
  ),
  expireSessionsOnShutdown: flag(false),
  notifyListenersOnReplication: flag(true),
  ack: oneOf('applied', 'none', 'received', 'applied'),
  copies: custom<number | 'all'>(
    1,
    "a whole number from 0, or 'all'",
    value => value === 'all' || (Number.isSafeInteger(value) && (value as number) >= 0),
  ),
  ackTimeoutMs: wholeNumber(1_000, 1, 2_147_483_647),
  onShortfall: oneOf('report', 'report', 'throw'),
  detect: oneOf('modified', 'set', 'modified', 'get', 'all'),
}

/**
 * Checks what is given and fills in the rest.
 *
 * @throws {InvalidOptionError} which option, what is allowed, what came
 */
export function resolveDeltaManagerOptions(options?: DeltaManagerOptions): Required<DeltaManagerOptions> {
  return resolve<Required<DeltaManagerOptions>>(RULES, options, 'sessions.')
}
