import { InvalidOptionError } from '../errors.js'
import { ALL_RULES, type ReplicationRules } from './replication-rules.js'

/** Settings of a replica. All times are milliseconds. */
export interface ReplicaOptions {
  /** How often `tick` is called. Default 100. */
  readonly tickMs: number
  /** A replica that met no ready peer for so long starts alone. Default 1,000. */
  readonly joinTimeoutMs: number
  /** A full digest is asked of one peer at most this often. Default 250. */
  readonly digestIntervalMs: number
  /** Memory for recent deltas, in bytes. Default 16 MiB. */
  readonly ringBytes: number
  /** Removals remembered. Default 100,000. */
  readonly tombstonesMax: number
  /** Records asked for and not yet here. Default 256. */
  readonly fetchesMax: number
  /** Members served with a state transfer at once. Default 2. */
  readonly donationsMax: number
  /** An unanswered reconcile request is repeated after this. Default 500. */
  readonly reconcileTimeoutMs: number
  /** Size of one piece of a state transfer, in bytes. Default 65,536. */
  readonly chunkBytes: number
  /** Uses are announced at most this often. Default 1,000. */
  readonly touchFlushMs: number
  /** A tick later than this means the process stood still. Default 2,000. */
  readonly stallFenceMs: number
  /** After a stall and without peers, expiry waits this long. Default 500. */
  readonly aloneAfterStallMs: number
  /** An unanswered expiry check is repeated after this, and given up after four times as long. Default 500. */
  readonly checkTimeoutMs: number
  /** Absent members are remembered this long. Default 3,600,000. */
  readonly forgetMemberAfterMs: number
  /** Bounds of the touch granularity, 5 % of maxInactive otherwise. Default 1,000 and 60,000. */
  readonly granularityMinMs: number
  readonly granularityMaxMs: number
  /** For tests only: rules to break. */
  readonly rules: ReplicationRules
}

/** Defaults, overridden. */
export type ReplicaOptionsInput = Partial<Omit<ReplicaOptions, 'rules'>> & {
  readonly rules?: Partial<ReplicationRules>
}

const DEFAULTS: ReplicaOptions = {
  tickMs: 100,
  joinTimeoutMs: 1_000,
  digestIntervalMs: 250,
  ringBytes: 16 * 1024 * 1024,
  tombstonesMax: 100_000,
  fetchesMax: 256,
  donationsMax: 2,
  reconcileTimeoutMs: 500,
  chunkBytes: 65_536,
  touchFlushMs: 1_000,
  stallFenceMs: 2_000,
  aloneAfterStallMs: 500,
  checkTimeoutMs: 500,
  forgetMemberAfterMs: 3_600_000,
  granularityMinMs: 1_000,
  granularityMaxMs: 60_000,
  rules: ALL_RULES,
}

/** @throws {InvalidOptionError} for unknown names and for numbers that are none or negative. */
export function resolveReplicaOptions(input: ReplicaOptionsInput = {}): ReplicaOptions {
  for (const [name, value] of Object.entries(input)) {
    if (!(name in DEFAULTS)) throw new InvalidOptionError(`replication.${name}`, 'a known option', value)
    if (name !== 'rules' && !(typeof value === 'number' && value >= 0)) {
      throw new InvalidOptionError(`replication.${name}`, 'a number from 0', value)
    }
  }
  return Object.freeze({ ...DEFAULTS, ...input, rules: { ...ALL_RULES, ...input.rules } })
}
