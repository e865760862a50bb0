import type { ReplicaOptionsInput } from '../../lib/replication/replica-options.js'
import { SimRandom } from '../../lib/testing/sim-random.js'

/** A span of milliseconds, both ends included. */
export type Span = readonly [least: number, most: number]

/** The paces there are. */
export const PACES = ['usual', 'quick'] as const

export type PaceName = (typeof PACES)[number]

/** How fast everything goes in a run: the replica's times, the users' and the faults' belong together. */
export interface Pace {
  readonly name: PaceName
  readonly replica: ReplicaOptionsInput
  /** Heartbeat of the replica stack; four missed ones are an absence. */
  readonly heartbeatMs: number
  /** How far clocks that agree may be off, on the replica stack. */
  readonly skewMaxMs: number
  readonly maxInactiveMs: Span
  /** Records in use are used so often; a user who pauses for longer than the gap no longer counts as one. */
  readonly useEveryMs: number
  readonly useGapMs: number
  readonly faultEveryMs: Span
  readonly faultsMs: Span
  readonly cutMs: Span
  readonly downMs: Span
  readonly pauseMs: Span
  readonly longPauseMs: Span
  readonly sampleMs: number
  /** What a judgement of an expiry allows for, beside what the messages take. */
  readonly marginMs: number
}

const USUAL: Pace = {
  name: 'usual',
  replica: { tickMs: 100, touchFlushMs: 500 },
  heartbeatMs: 250,
  skewMaxMs: 500,
  maxInactiveMs: [3_000, 6_000],
  useEveryMs: 400,
  useGapMs: 1_000,
  faultEveryMs: [300, 3_000],
  faultsMs: [8_000, 25_000],
  cutMs: [200, 8_000],
  downMs: [100, 5_000],
  pauseMs: [100, 3_000],
  longPauseMs: [3_000, 12_000],
  sampleMs: 500,
  marginMs: 600,
}

/**
 * Records expire within a partition's time and the reserves are small, so that it matters who asked whom and which
 * tombstones are still there; with the usual reserves a wrong expiry takes more chance than a few hundred seeds have.
 */
const QUICK: Pace = {
  name: 'quick',
  replica: {
    tickMs: 20,
    joinTimeoutMs: 300,
    digestIntervalMs: 50,
    reconcileTimeoutMs: 100,
    touchFlushMs: 50,
    granularityMinMs: 20,
    stallFenceMs: 150,
    aloneAfterStallMs: 100,
    checkTimeoutMs: 50,
    expirySlackMs: 100,
    expiryTurnMs: 100,
  },
  heartbeatMs: 50,
  skewMaxMs: 50,
  maxInactiveMs: [500, 2_000],
  useEveryMs: 60,
  useGapMs: 300,
  faultEveryMs: [100, 1_500],
  faultsMs: [4_000, 10_000],
  cutMs: [50, 3_000],
  downMs: [50, 1_000],
  pauseMs: [20, 400],
  longPauseMs: [400, 3_000],
  sampleMs: 100,
  marginMs: 100,
}

/** Half of the seeds are quick, unless a pace is asked for. */
export function drawPace(random: SimRandom, wanted?: PaceName): Pace {
  const drawn = random.chance(0.5) ? 'quick' : 'usual'
  const pace = (wanted ?? drawn) === 'quick' ? QUICK : USUAL
  const replica: ReplicaOptionsInput = {
    ringBytes: random.pick([1_000, 4_000, 20_000, 1_000_000]),
    granularityMinMs: random.pick([300, 1_000]),
    chunkBytes: random.pick([500, 4_000, 65_536]),
    tombstonesMax: random.pick([20, 100_000, 100_000]),
    seenRangesMax: random.pick([8, 64, 1_024]),
    unpackedRecordsMax: random.pick([1, 8, 20_000]),
    retireOriginAfterMs: random.pick([1_000, 2_000, 86_400_000]),
    originsMax: random.pick([4, 4_096, 4_096]),
    forgetMemberAfterMs: random.chance(0.2) ? 1_000 : 3_600_000,
    ...pace.replica,
  }
  return { ...pace, replica }
}

/**
 * What a system takes of a stream before its reader has read it; in half of the seeds so little that messages wait behind
 * each other. From a stream of lots of its own: all else a seed draws stays as it was.
 */
export function drawWindowBytes(seed: number): number {
  return new SimRandom(`${seed}/windows`).pick([1_024, 4_096, 262_144, 262_144])
}
