import { EXPECTED_MARKS } from './marks.js'
import { MUTANT_PACE, type MutantResult } from './mutants.js'
import type { PaceName } from './pace.js'
import type { SeedResult } from './run-seed.js'
import type { StackName } from './sim-node.js'

/** A seed that broke an invariant, and how to see it again. */
interface Failure {
  readonly seed: number
  readonly invariant: string
  readonly replay: string
}

/** So many seeds meet every expected mark. */
const MARKS_FROM_SEEDS = 500

/** Sums up a campaign and prints the figures of the test plan. */
export class CampaignReport {
  readonly #stack: StackName
  readonly #rule: string | undefined
  readonly #pace: PaceName | undefined
  readonly #startedMs = performance.now()
  readonly #faults = new Map<string, number>()
  readonly #operations = new Map<string, number>()
  readonly #marks = new Map<string, number>()
  readonly #violations = new Map<string, number>()
  readonly #healMs: number[] = []
  readonly #failures: Failure[] = []
  readonly #mutants: MutantResult[] = []
  #seeds = 0
  #virtualMs = 0
  #events = 0
  #lives = 0
  #expired = 0
  #ackedChecked = 0
  #repeated = 0
  #mismatches = 0

  constructor(stack: StackName, rule: string | undefined, pace: PaceName | undefined) {
    this.#stack = stack
    this.#pace = pace
    this.#rule = rule
  }

  seed(result: SeedResult): void {
    this.#seeds++
    this.#virtualMs += result.virtualMs
    this.#events += result.events
    this.#lives += result.lives
    this.#expired += result.expired
    this.#ackedChecked += result.ackedChecked
    this.#healMs.push(result.healMs)
    sum(this.#faults, result.faults)
    sum(this.#operations, result.operations)
    sum(this.#marks, result.marks)
    if (result.violation === undefined) return
    const { invariant, detail } = result.violation
    const replay = this.#replay(result.seed, this.#rule, this.#pace)
    this.#violations.set(invariant, (this.#violations.get(invariant) ?? 0) + 1)
    this.#failures.push({ seed: result.seed, invariant, replay })
    console.log(`seed ${result.seed}: ${detail}`)
    console.log(`  with ${result.settings}, faults ${[...result.faults.keys()].join(', ')}`)
    console.log(`  replay: ${replay}`)
  }

  /** The same seed run again. */
  repeated(first: SeedResult, again: SeedResult): void {
    this.#repeated++
    if (first.trace === again.trace && first.events === again.events) return
    this.#mismatches++
    console.log(`seed ${first.seed}: traces differ: ${first.trace} and ${again.trace}`)
  }

  mutant(result: MutantResult): void {
    this.#seeds += result.seeds
    this.#virtualMs += result.virtualMs
    this.#mutants.push(result)
    const { rule, killedBy, invariant, seeds } = result
    if (killedBy === undefined) console.log(`mutant ${rule}: survived ${seeds} seeds`)
    else
      console.log(
        `mutant ${rule}: killed by seed ${killedBy}: ${invariant}; ${this.#replay(killedBy, rule, MUTANT_PACE)}`,
      )
  }

  /** Prints the figures; the number of failures. */
  print(json: boolean): number {
    const heal = this.#healMs.sort((a, b) => a - b)
    const expected = EXPECTED_MARKS[this.#stack]
    const missing = expected.filter(mark => !this.#marks.has(mark))
    const killed = this.#mutants.filter(({ killedBy }) => killedBy !== undefined).length
    const mutating = this.#mutants.length > 0
    const figures = {
      stack: this.#stack,
      seeds: this.#seeds,
      simulatedHours: Number((this.#virtualMs / 3_600_000).toFixed(2)),
      seconds: Number(((performance.now() - this.#startedMs) / 1_000).toFixed(1)),
      ...(mutating
        ? { mutantsKilled: `${killed}/${this.#mutants.length}` }
        : {
            events: this.#events,
            lives: this.#lives,
            expiries: this.#expired,
            ackedWritesChecked: this.#ackedChecked,
            faults: sorted(this.#faults),
            operations: sorted(this.#operations),
            violations: sorted(this.#violations),
            healMs: { p50: heal[heal.length >> 1], p99: heal[Math.floor(heal.length * 0.99)], max: heal.at(-1) },
            marksHit: `${expected.length - missing.length}/${expected.length}`,
            marksMissing: missing,
            marks: sorted(this.#marks),
            determinismChecked: this.#repeated,
            determinismMismatches: this.#mismatches,
          }),
    }
    for (const [name, value] of Object.entries(figures))
      console.log(`${name}: ${typeof value === 'object' ? JSON.stringify(value) : value}`)
    // A mark that never fires is a hole in the workload or the faults; few seeds need not meet all.
    const holes = this.#seeds >= MARKS_FROM_SEEDS ? missing.length : 0
    const failed = mutating ? this.#mutants.length - killed : this.#failures.length + this.#mismatches + holes
    const passed = mutating ? killed : this.#seeds - this.#failures.length
    if (json) {
      const lists = mutating ? { mutants: this.#mutants.map(named) } : { failures: this.#failures }
      console.log(JSON.stringify({ ...figures, ...lists, passed, failed }))
    }
    console.log(`${passed} passed, ${failed} failed`)
    return failed
  }

  #replay(seed: number, rule: string | undefined, pace: PaceName | undefined): string {
    const stack = this.#stack === 'channel' ? '' : ` --stack ${this.#stack}`
    const rest = `${rule === undefined ? '' : ` --rule ${rule}`}${pace === undefined ? '' : ` --pace ${pace}`}`
    return `npm run sim -- --seed ${seed} --seeds 1${stack}${rest}`
  }
}

function named({ rule, killedBy, invariant, seeds, passedOver }: MutantResult): object {
  return { rule, killedBy: killedBy ?? null, invariant: invariant ?? null, seeds, passedOver }
}

function sum(into: Map<string, number>, from: ReadonlyMap<string, number>): void {
  for (const [name, times] of from) into.set(name, (into.get(name) ?? 0) + times)
}

function sorted(counts: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)))
}
