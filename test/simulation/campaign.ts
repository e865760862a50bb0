import { parseArgs } from 'node:util'
import { ALL_RULES, type ReplicationRules } from '../../lib/replication/replication-rules.js'
import { EXPECTED_MARKS } from './marks.js'
import { runSeed, type SeedResult } from './run-seed.js'
import type { StackName } from './sim-node.js'

const RULES = Object.keys(ALL_RULES) as (keyof ReplicationRules)[]
const REPLAY_EVERY = 50

interface Totals {
  seeds: number
  virtualMs: number
  events: number
  lives: number
  expired: number
  ackedChecked: number
  mismatches: number
  readonly faults: Map<string, number>
  readonly operations: Map<string, number>
  readonly marks: Map<string, number>
  readonly violations: Map<string, number>
  readonly healMs: number[]
}

interface Mutant {
  readonly rule: string
  readonly killedBy: number | undefined
  readonly invariant: string | undefined
}

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    hours: { type: 'string' },
    json: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    stack: { type: 'string' },
    rule: { type: 'string' },
    budget: { type: 'string', default: '400' },
  },
})

// Mutants break the replica, which alone costs little; everything else is run on the whole stack.
const stack: StackName =
  (values.stack ?? (values.mutants ? 'replica' : 'channel')) === 'replica' ? 'replica' : 'channel'
const first = Number(values.seed)
const broken: Partial<ReplicationRules> = values.rule === undefined ? {} : { [values.rule]: false }
const totals: Totals = {
  seeds: 0,
  virtualMs: 0,
  events: 0,
  lives: 0,
  expired: 0,
  ackedChecked: 0,
  mismatches: 0,
  faults: new Map(),
  operations: new Map(),
  marks: new Map(),
  violations: new Map(),
  healMs: [],
}
const startedMs = performance.now()
let failed = 0
const mutants: Mutant[] = []
if (values.mutants) for (const rule of RULES) mutants.push(await killMutant(rule))
else await runAll()
report()
process.exitCode = failed > 0 ? 1 : 0

async function runAll(): Promise<void> {
  const endMs = values.hours === undefined ? undefined : startedMs + Number(values.hours) * 3_600_000
  const more = (count: number): boolean =>
    endMs === undefined ? count < Number(values.seeds) : performance.now() < endMs
  for (let i = 0; more(i); i++) {
    const seed = first + i
    const result = await runSeed(seed, stack, broken)
    add(result)
    if (i % REPLAY_EVERY === 0) {
      const again = await runSeed(seed, stack, broken)
      if (again.trace !== result.trace || again.events !== result.events) {
        totals.mismatches++
        failed++
        console.log(`seed ${seed}: traces differ: ${result.trace} and ${again.trace}`)
      }
    }
  }
}

async function killMutant(rule: keyof ReplicationRules): Promise<Mutant> {
  for (let seed = first; seed < first + Number(values.budget); seed++) {
    const { violation } = await runSeed(seed, stack, { [rule]: false })
    totals.seeds++
    // A seed that fails anyway proves nothing about the mutant.
    if (violation === undefined || (await runSeed(seed, stack)).violation !== undefined) continue
    console.log(`mutant ${rule}: killed by seed ${seed}: ${violation.invariant}`)
    return { rule, killedBy: seed, invariant: violation.invariant }
  }
  failed++
  console.log(`mutant ${rule}: survived ${values.budget} seeds`)
  return { rule, killedBy: undefined, invariant: undefined }
}

function add(result: SeedResult): void {
  totals.seeds++
  totals.virtualMs += result.virtualMs
  totals.events += result.events
  totals.lives += result.lives
  totals.expired += result.expired
  totals.ackedChecked += result.ackedChecked
  totals.healMs.push(result.healMs)
  sum(totals.faults, result.faults)
  sum(totals.operations, result.operations)
  sum(totals.marks, result.marks)
  if (result.violation === undefined) return
  failed++
  const { invariant, detail } = result.violation
  totals.violations.set(invariant, (totals.violations.get(invariant) ?? 0) + 1)
  const stackFlag = stack === 'channel' ? '' : ` --stack ${stack}`
  console.log(`seed ${result.seed}: ${detail}`)
  console.log(`  with ${result.settings}, faults ${[...result.faults.keys()].join(', ')}`)
  console.log(`  replay: npm run sim -- --seed ${result.seed} --seeds 1${stackFlag}`)
}

function report(): void {
  const seconds = (performance.now() - startedMs) / 1_000
  const missing = EXPECTED_MARKS[stack].filter(mark => !totals.marks.has(mark))
  const heal = [...totals.healMs].sort((a, b) => a - b)
  const figures = {
    seeds: totals.seeds,
    simulatedHours: Number((totals.virtualMs / 3_600_000).toFixed(2)),
    seconds: Number(seconds.toFixed(1)),
    events: totals.events,
    lives: totals.lives,
    expiries: totals.expired,
    ackedWritesChecked: totals.ackedChecked,
    faults: sorted(totals.faults),
    operations: sorted(totals.operations),
    violations: sorted(totals.violations),
    healMs: { p50: heal[heal.length >> 1], p99: heal[Math.floor(heal.length * 0.99)], max: heal.at(-1) },
    marksHit: `${EXPECTED_MARKS[stack].length - missing.length}/${EXPECTED_MARKS[stack].length}`,
    marksMissing: missing,
    marks: sorted(totals.marks),
    determinismMismatches: totals.mismatches,
    mutants: values.mutants
      ? `${mutants.filter(({ killedBy }) => killedBy !== undefined).length}/${mutants.length}`
      : undefined,
  }
  for (const [name, value] of Object.entries(figures))
    if (value !== undefined) console.log(`${name}: ${typeof value === 'object' ? JSON.stringify(value) : value}`)
  const passed = (values.mutants ? mutants.length : totals.seeds) - failed
  if (values.json)
    console.log(JSON.stringify({ ...figures, mutants: values.mutants ? mutants : undefined, passed, failed }))
  console.log(`${passed} passed, ${failed} failed`)
}

function sum(into: Map<string, number>, from: ReadonlyMap<string, number>): void {
  for (const [name, times] of from) into.set(name, (into.get(name) ?? 0) + times)
}

function sorted(counts: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)))
}
