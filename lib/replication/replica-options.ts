import { InvalidOptionError } from '../errors.js'
import { flag, type RulesOf, resolve, wholeNumber } from '../options.js'
import { ALL_RULES, type ReplicationRules } from './replication-rules.js'

/**
 * Settings of a replica. All times are milliseconds. Tomcat has none of them: they bound the exchange of deltas and
 * digests (anti-entropy: Demers et al., 1987; seen-sets after DottedDB's server-wide clocks) and the agreement before
 * an expiry, which are not Tribes' way.
 */
export interface ReplicaOptions {
  /** How often timeouts are looked at; what waits is precise to this. Default 100. */
  readonly tickMs: number
  /** Who meets no ready member for so long starts alone; while others wait, too, up to three times it. Default 1,000. */
  readonly joinTimeoutMs: number
  /** A full digest is asked of one peer at most this often. Default 250. */
  readonly digestIntervalMs: number
  /** Memory for recent deltas, in bytes. Default 16 MiB. */
  readonly ringBytes: number
  /**
   * Invalidations and expired records, together, kept until everybody knows; beyond, the oldest invalidations give way,
   * then the oldest expired records. Default 100,000.
   */
  readonly tombstonesMax: number
  /**
   * Ranges of deltas behind gaps per origin; what needs another is left to a state comparison. Default 1,024; a joining
   * member bears 12,288 in any case.
   */
  readonly seenRangesMax: number
  /** Records asked for and not yet here, at most. Default 256. */
  readonly fetchesMax: number
  /** Members served with a state transfer at once. Default 2. */
  readonly donationsMax: number
  /**
   * A request of a state comparison is repeated when no piece of the answer came for so long; later after twice and
   * four times it. Default 500.
   */
  readonly reconcileTimeoutMs: number
  /** Size of one piece of a state transfer, in bytes. Default 49,152, which travels whole. */
  readonly chunkBytes: number
  /** Uses are announced at most this often. Default 1,000. */
  readonly touchFlushMs: number
  /** A tick later than this means the process stood still. Default 1,000. */
  readonly stallFenceMs: number
  /** After a stall this copy counts as fresh again after this, even if nobody helped it to catch up. Default 5,000. */
  readonly stallFenceTimeoutMs: number
  /** After a stall and without peers, expiry waits this long. Default 500. */
  readonly aloneAfterStallMs: number
  /** An unanswered expiry check is repeated after this, and given up after four times as long. Default 500. */
  readonly checkTimeoutMs: number
  /** Added to what announcements of uses may be behind before a record counts as idle. Default 1,000. */
  readonly expirySlackMs: number
  /** How long each further member waits for the ones before it to expire a record. Default 2,000. */
  readonly expiryTurnMs: number
  /** Records kept as objects; those unused for longer are packed into bytes outside the heap. Default 20,000. */
  readonly unpackedRecordsMax: number
  /** Absent members are remembered this long. Default 3,600,000; in a cluster, what `membership` says. */
  readonly forgetMemberAfterMs: number
  /**
   * Each start of a process is a new origin of writes, and what was seen of it is remembered as long as one of its
   * records is held, and for so long after it has left or been replaced. Who was cut off for longer may lose what only
   * lives that started meanwhile had created. Default 86,400,000 (a day).
   */
  readonly retireOriginAfterMs: number
  /** Origins remembered; beyond, those of which no record is held give way at once, the oldest first. Default 4,096. */
  readonly originsMax: number
  /** A use is announced when the last one announced is older than 5 % of the interval, and than this. Default 1,000. */
  readonly granularityMinMs: number
  /** Older than this, it is announced in any case; not below `granularityMinMs`. Default 60,000. */
  readonly granularityMaxMs: number
  /** For tests only: rules to break. */
  readonly rules: ReplicationRules
}

/** What may be given: any part of {@link ReplicaOptions}. A bad value is refused with an InvalidOptionError. */
export type ReplicaOptionsInput = Partial<Omit<ReplicaOptions, 'rules'>> & {
  readonly rules?: Partial<ReplicationRules>
}

/** A day and a week: beyond them a wait is a mistake. */
const DAY_MS = 86_400_000
const WEEK_MS = 7 * DAY_MS

const RULES: RulesOf<ReplicaOptions> = {
  tickMs: wholeNumber(100, 1, 60_000),
  joinTimeoutMs: wholeNumber(1_000, 0, DAY_MS),
  digestIntervalMs: wholeNumber(250, 0, DAY_MS),
  ringBytes: wholeNumber(16 * 1024 * 1024, 0, 1_073_741_824),
  tombstonesMax: wholeNumber(100_000, 0, 10_000_000),
  seenRangesMax: wholeNumber(1_024, 4, 8_192),
  unpackedRecordsMax: wholeNumber(20_000, 1, 10_000_000),
  fetchesMax: wholeNumber(256, 1, 65_536),
  donationsMax: wholeNumber(2, 1, 1_024),
  reconcileTimeoutMs: wholeNumber(500, 1, DAY_MS),
  chunkBytes: wholeNumber(49_152, 1, 16 * 1024 * 1024),
  touchFlushMs: wholeNumber(1_000, 0, DAY_MS),
  stallFenceMs: wholeNumber(1_000, 1, DAY_MS),
  stallFenceTimeoutMs: wholeNumber(5_000, 0, 60_000),
  aloneAfterStallMs: wholeNumber(500, 0, DAY_MS),
  checkTimeoutMs: wholeNumber(500, 1, DAY_MS),
  expirySlackMs: wholeNumber(1_000, 0, DAY_MS),
  expiryTurnMs: wholeNumber(2_000, 0, DAY_MS),
  forgetMemberAfterMs: wholeNumber(3_600_000, 1_000, WEEK_MS),
  retireOriginAfterMs: wholeNumber(DAY_MS, 1_000, 4 * WEEK_MS),
  originsMax: wholeNumber(4_096, 4, 32_768),
  granularityMinMs: wholeNumber(1_000, 0, DAY_MS),
  granularityMaxMs: wholeNumber(60_000, 0, DAY_MS),
  rules: rulesOf(ALL_RULES),
}

/**
 * Checks what is given and fills in the rest.
 *
 * @throws {InvalidOptionError} which option, what is allowed, what came
 */
export function resolveReplicaOptions(input?: ReplicaOptionsInput): ReplicaOptions {
  const options = resolve<ReplicaOptions>(RULES, input, 'replication.')
  const { granularityMinMs, granularityMaxMs } = options
  if (granularityMinMs > granularityMaxMs) {
    const expected = `at most replication.granularityMaxMs (${granularityMaxMs})`
    throw new InvalidOptionError('replication.granularityMinMs', expected, granularityMinMs)
  }
  return options
}

function rulesOf(all: ReplicationRules): RulesOf<ReplicationRules> {
  return Object.fromEntries(Object.entries(all).map(([name, kept]) => [name, flag(kept)])) as RulesOf<ReplicationRules>
}
