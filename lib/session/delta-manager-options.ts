import { COPIES_RULE, RECEIPT_TIMEOUT_RULE } from '../channel/receipt-rules.js'
import type { AckMode } from '../channel/topic.js'
import {
  accepted,
  custom,
  flag,
  type Given,
  oneOf,
  pick,
  type RulesOf,
  resolve,
  text,
  wholeNumber,
} from '../options.js'
import type { AttributeScopeOptions } from './attribute-scope.js'
import { type AttributeFilter, isAttributeFilter } from './local-rule.js'
import { isMergeStrategy, MERGE_EXPECTED, type MergeStrategy } from './merge.js'
import { MAX_INTERVAL_SECONDS } from './session.js'
import type { ChangeDetection } from './session-delta.js'

/** Options of a DeltaManager; the first three are Tomcat's. */
export interface DeltaManagerOptions extends AttributeScopeOptions {
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
  /** What becomes of attributes that others wrote since a view was loaded. Default `attribute`. */
  readonly merge?: MergeStrategy
  /**
   * Seconds after which a session ends however much it is used, up to 3,153,600,000; 0: never. Default 0. Decided when
   * it is created, for all members, and counted on cluster time, so that no step of a host's clock matters. It is gone
   * when somebody next looks for it, and told as `expired`; one that nobody looks for goes by the ordinary expiry.
   */
  readonly maxLifetime?: number
  /**
   * Attributes that stay on the member where they are set, as they are: by name, by pattern, or by a test. The values
   * are neither encoded nor sent; all requests on that member get the same object, others find none, and with the member
   * it is lost. Values of up to 100,000 sessions are kept so; beyond, those of the session that was first give way.
   * Default: none.
   */
  readonly exclude?: AttributeFilter
  /** Values whose encoding has more bytes stay on their member too, up to 1,048,576; 0: none does. Default 0. */
  readonly maxAttributeBytes?: number
  /**
   * Bytes above which a value is warned of, by the event `largeAttribute` and a process warning
   * `TRIBELINE_LARGE_ATTRIBUTE`, once for each name, of 1,000 names at most; 0: never. Default 65,536.
   */
  readonly warnAttributeBytes?: number
}

/** Options that an application, a store or a single commit may decide otherwise. */
export type OverridableOptions = Required<
  Pick<DeltaManagerOptions, 'ack' | 'copies' | 'ackTimeoutMs' | 'detect' | 'merge' | 'maxLifetime'>
>

const OVERRIDABLE_RULES: RulesOf<OverridableOptions> = {
  ack: oneOf('applied', 'none', 'received', 'applied'),
  copies: COPIES_RULE,
  ackTimeoutMs: RECEIPT_TIMEOUT_RULE,
  detect: oneOf('modified', 'set', 'modified', 'get', 'all'),
  merge: custom<MergeStrategy>('attribute', MERGE_EXPECTED, isMergeStrategy),
  maxLifetime: wholeNumber(0, 0, MAX_INTERVAL_SECONDS),
}

const RULES: RulesOf<Required<DeltaManagerOptions>> = {
  ...OVERRIDABLE_RULES,
  maxInactiveInterval: custom(
    1_800,
    `whole seconds up to ${MAX_INTERVAL_SECONDS}; 0 or less: never`,
    value => Number.isSafeInteger(value) && (value as number) <= MAX_INTERVAL_SECONDS,
  ),
  expireSessionsOnShutdown: flag(false),
  notifyListenersOnReplication: flag(true),
  onShortfall: oneOf('report', 'report', 'throw'),
  exclude: custom<AttributeFilter>([], 'a name, a pattern, a list of them, or a function', isAttributeFilter),
  maxAttributeBytes: wholeNumber(0, 0, 1_048_576),
  warnAttributeBytes: wholeNumber(65_536, 0, 1_048_576),
  application: text('', /^[\w-]{0,64}$/, '1 to 64 letters, digits, - or _'),
  shared: custom<readonly string[] | RegExp>([], 'a list of names, or a pattern', isNames),
}

/**
 * Checks what is given and fills in the rest.
 *
 * @throws {InvalidOptionError} which option, what is allowed, what came
 */
export function resolveDeltaManagerOptions(options?: DeltaManagerOptions): Required<DeltaManagerOptions> {
  return resolve<Required<DeltaManagerOptions>>(RULES, options, 'sessions.')
}

/**
 * Those of the overridable options that are given, checked.
 *
 * @throws {InvalidOptionError} which option, what is allowed, what came
 */
export function overridesOf(options: Given<OverridableOptions>): Partial<OverridableOptions> {
  return pick<OverridableOptions>(OVERRIDABLE_RULES, options)
}

/**
 * Checks how one write is to be acknowledged.
 *
 * @throws {InvalidOptionError} which option, what is allowed, what came
 */
export function checkReceiptOptions({ ack, copies, ackTimeoutMs }: Given<OverridableOptions>): void {
  if (ack !== undefined) accepted(OVERRIDABLE_RULES.ack, ack, 'ack')
  if (copies !== undefined) accepted(OVERRIDABLE_RULES.copies, copies, 'copies')
  if (ackTimeoutMs !== undefined) accepted(OVERRIDABLE_RULES.ackTimeoutMs, ackTimeoutMs, 'ackTimeoutMs')
}

/**
 * Checks what one commit takes for a change, and what becomes of others' changes.
 *
 * @throws {InvalidOptionError} which option, what is allowed, what came
 */
export function checkChangeOptions({ detect, merge }: Given<OverridableOptions>): void {
  if (detect !== undefined) accepted(OVERRIDABLE_RULES.detect, detect, 'detect')
  if (merge !== undefined) accepted(OVERRIDABLE_RULES.merge, merge, 'merge')
}

function isNames(value: unknown): boolean {
  return value instanceof RegExp || (Array.isArray(value) && value.every(name => typeof name === 'string'))
}
