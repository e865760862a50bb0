import { readFileSync, writeFileSync } from 'node:fs'
import type { Bench, BenchOptions } from './bench.js'
import { codec } from './codec.js'
import { CommandLine } from './command-line.js'
import { comparison } from './compare.js'
import { pageOf } from './html.js'
import { http } from './http.js'
import { membership } from './membership.js'
import { memory } from './memory.js'
import { peers } from './peers.js'
import { replication } from './replication.js'
import { headOf, load, machine, type Report, type ReportPart, reportPart, textOf } from './report.js'
import { scale } from './scale.js'
import { transfer } from './transfer.js'

const benches: readonly Bench[] = [replication, peers, http, membership, transfer, memory, scale, codec]

const USAGE = `npm run bench -- [NAME ...] [options]
  --quick          every part once, small and short: to see that it runs
  --passes N       how often each case is measured; the median is shown (default 3)
  --json           the report as JSON on stdout instead of tables
  --compare FILE   ratios to an earlier report (the output of --json)
  --html FILE      a page with charts
  --nodes 2,4      and --bytes, --ack, --writers, --kind, ...: only these cases, where the bench has them
benches:
${benches.map(({ name, title }) => `  ${name.padEnd(16)} ${title}`).join('\n')}`

async function main(args: readonly string[]): Promise<void> {
  const line = new CommandLine(args)
  if (line.has('help')) return console.log(USAGE)
  const unknown = line.names.find(name => !benches.some(bench => bench.name === name))
  if (unknown !== undefined) throw new Error(`There is no bench ${unknown}\n${USAGE}`)
  const wanted = line.names.length === 0 ? benches : benches.filter(({ name }) => line.names.includes(name))
  const before = line.text('compare')
  // Read first: a mistyped file must not cost a whole run.
  const earlier = before === undefined ? undefined : (JSON.parse(readFileSync(before, 'utf8')) as Report)
  const report = await measure(wanted, line, `npm run bench -- ${args.join(' ')}`.trim())
  if (line.has('json')) console.log(JSON.stringify(report))
  if (earlier !== undefined) (line.has('json') ? console.error : console.log)(comparison(report, earlier))
  const page = line.text('html')
  if (page !== undefined) writeFileSync(page, pageOf(report))
}

async function measure(wanted: readonly Bench[], line: CommandLine, command: string): Promise<Report> {
  const quick = line.has('quick')
  const options: BenchOptions = {
    quick,
    passes: line.pickNumbers('passes')?.[0] ?? (quick ? 1 : 3),
    pick: (name, among) => line.pick(name, among),
    pickNumbers: name => line.pickNumbers(name),
    progress: what => console.error(`${new Date().toISOString().slice(11, 19)} ${what}`),
  }
  const parts: ReportPart[] = []
  const report = {
    format: 1,
    date: new Date().toISOString(),
    command,
    quick,
    passes: options.passes,
    load: load(),
    machine: machine(),
    benches: parts,
  } as const
  if (!line.has('json')) console.log(headOf(report))
  for (const bench of wanted) {
    try {
      const part = reportPart(bench, await bench.run(options))
      parts.push(part)
      if (!line.has('json')) console.log(textOf(part))
    } catch (error) {
      // What the others found is not thrown away.
      console.error(`${bench.name} failed:`, error)
      process.exitCode = 1
    }
  }
  return report
}

// Members end with their input; a server that reads none is ended by an exit handler.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

try {
  await main(process.argv.slice(2))
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
}
