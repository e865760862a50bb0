import { ALL_RULES, type ReplicationRules } from '../../lib/replication/replication-rules.js'
import type { PaceName } from './pace.js'
import { runSeed } from './run-seed.js'
import type { StackName } from './sim-node.js'

/** A rule that can be broken. */
export type RuleName = keyof ReplicationRules

/** What a broken rule does harm to; a run that fails in any other way proves nothing about the mutant. */
const HARM: { readonly [rule in RuleName]: readonly string[] } = {
  claimV0Last: ['4 vanish', '2 acked loss', '1 convergence'],
  checkDeps: ['5 atomic delta', '6 causality'],
  ruleR: ['3 resurrection', '1 convergence'],
  keepTombstoneUntilSeen: ['3 resurrection'],
  digestRanges: ['1 convergence', '2 acked loss', '3 resurrection'],
  markRecordDots: ['3 resurrection', '1 convergence'],
  checkBeforeExpire: ['9 expiry in use'],
  inheritAbsent: ['9 expiry in use', '1 convergence'],
  expiredTombstoneNeedsAgreement: ['9 expiry in use', '1 convergence'],
  renewAsDelta: ['9 expiry in use', '1 convergence'],
  removalAsDelta: ['1 convergence'],
  absorbingInvalidate: ['3 resurrection', '1 convergence'],
  ackAfterMerge: ['7 honest evidence', '2 acked loss'],
  closeUnheldOnly: ['4 vanish', '2 acked loss', '9 expiry in use'],
  closeAsOthers: ['1 convergence'],
  renewOrigin: ['14 writable'],
}

/** Every rule there is. */
export const RULES: readonly RuleName[] = Object.keys(ALL_RULES) as RuleName[]

/** Mutants are run at this pace: what they break hardly ever shows at the usual one. */
export const MUTANT_PACE: PaceName = 'quick'

/** How a mutant fared. */
export interface MutantResult {
  readonly rule: RuleName
  /** The first seed that shows the harm, and passes with the rule kept. */
  readonly killedBy: number | undefined
  readonly invariant: string | undefined
  readonly detail: string | undefined
  /** Seeds run with the rule broken. */
  readonly seeds: number
  /** Seeds that failed in a way that proves nothing, or with the rule kept as well. */
  readonly passedOver: number
  readonly virtualMs: number
}

/** Looks for a seed that catches a broken rule. */
export async function killMutant(
  rule: RuleName,
  stack: StackName,
  firstSeed: number,
  budget: number,
): Promise<MutantResult> {
  let passedOver = 0
  let virtualMs = 0
  for (let seed = firstSeed; seed < firstSeed + budget; seed++) {
    const result = await runSeed(seed, stack, { [rule]: false }, MUTANT_PACE)
    virtualMs += result.virtualMs
    const { violation } = result
    if (violation === undefined) continue
    if (HARM[rule].includes(violation.invariant) && (await passes(seed, stack))) {
      const seeds = seed - firstSeed + 1
      return {
        rule,
        killedBy: seed,
        invariant: violation.invariant,
        detail: violation.detail,
        seeds,
        passedOver,
        virtualMs,
      }
    }
    passedOver++
  }
  const nothing = { killedBy: undefined, invariant: undefined, detail: undefined }
  return { rule, ...nothing, seeds: budget, passedOver, virtualMs }
}

async function passes(seed: number, stack: StackName): Promise<boolean> {
  const { violation } = await runSeed(seed, stack, {}, MUTANT_PACE)
  return violation === undefined
}
