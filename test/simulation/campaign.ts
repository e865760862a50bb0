import { parseArgs } from 'node:util'
import { runTasks, type Task } from './campaign-pool.js'
import { CampaignReport } from './campaign-report.js'
import { type MutantResult, RULES } from './mutants.js'
import { PACES } from './pace.js'
import type { SeedResult } from './run-seed.js'

/** Of so many seeds one is run twice, and both runs must take the same steps. */
const REPEAT_EVERY = 50

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    hours: { type: 'string' },
    json: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    stack: { type: 'string' },
    rule: { type: 'string' },
    pace: { type: 'string' },
    budget: { type: 'string', default: '400' },
    workers: { type: 'string', default: '1' },
  },
})

// Mutants break the replica, which alone costs little; everything else is run on the whole stack.
const stack = oneOf('stack', ['replica', 'channel'] as const, values.stack ?? (values.mutants ? 'replica' : 'channel'))
const rule = values.rule === undefined ? undefined : oneOf('rule', RULES, values.rule)
const pace = values.pace === undefined ? undefined : oneOf('pace', PACES, values.pace)
const report = new CampaignReport(stack, rule, pace)
const startedMs = performance.now()
for (const name of ['seeds', 'seed', 'hours', 'budget', 'workers'] as const) {
  const value = values[name]
  if (value !== undefined && !(Number(value) > 0)) throw new Error(`--${name} must be a positive number; got ${value}`)
}

if (values.mutants) await runTasks(mutants(), Number(values.workers), outcome => report.mutant(outcome as MutantResult))
else {
  let before: SeedResult | undefined
  await runTasks(seeds(), Number(values.workers), outcome => {
    const result = outcome as SeedResult
    if (before?.seed === result.seed) report.repeated(before, result)
    else report.seed(result)
    before = result
  })
}
process.exitCode = report.print(values.json) > 0 ? 1 : 0

function* mutants(): Generator<Task> {
  const [firstSeed, budget] = [Number(values.seed), Number(values.budget)]
  for (const name of rule === undefined ? RULES : [rule]) yield { kind: 'mutant', rule: name, stack, firstSeed, budget }
}

function* seeds(): Generator<Task> {
  const endMs = values.hours === undefined ? undefined : startedMs + Number(values.hours) * 3_600_000
  for (let i = 0; endMs === undefined ? i < Number(values.seeds) : performance.now() < endMs; i++) {
    const task: Task = { kind: 'seed', seed: Number(values.seed) + i, stack, rule, pace }
    yield task
    if (i % REPEAT_EVERY === 0) yield task
  }
}

function oneOf<T extends string>(option: string, allowed: readonly T[], value: string): T {
  const found = allowed.find(name => name === value)
  if (found === undefined) throw new RangeError(`--${option} is one of ${allowed.join(', ')}`)
  return found
}
