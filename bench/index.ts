import { readFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { codec } from './codec.js'
import { fullPlan, type ReplicationPlan, type ReplicationRow, replication } from './replication.js'

/** `npm run bench -- [replication] [codec] [--json] [--nodes 2,3] [--bytes 64,1024] [--ack applied] [--writers 1,32]` */
async function main(args: readonly string[]): Promise<void> {
  const json = args.includes('--json')
  const names = args.filter((arg, index) => !arg.startsWith('--') && !isValue(args[index - 1]))
  const wanted = names.length > 0 ? names : ['replication', 'codec']
  for (const name of wanted) {
    if (name !== 'replication' && name !== 'codec') throw new Error(`There is no benchmark ${name}: replication, codec`)
  }
  const result: Record<string, unknown> = { machine: machine() }
  if (!json) console.log(JSON.stringify(result.machine))
  if (wanted.includes('replication')) {
    if (!json) console.log('replication: deltas per second applied on all peers; waits in ms; CPU s per million deltas')
    result.replication = await replication(plan(args), row => {
      if (!json) console.log(line(row))
    })
  }
  if (wanted.includes('codec')) {
    result.codec = codec()
    if (!json) console.table(result.codec)
  }
  if (json) console.log(JSON.stringify(result))
}

function machine(): Record<string, unknown> {
  const { version } = JSON.parse(readFileSync(findPackage(), 'utf8')) as { version: string }
  const [first] = cpus()
  return {
    tribeline: version,
    node: process.version,
    v8: process.versions.v8,
    platform: `${process.platform} ${process.arch}`,
    cpu: first?.model.trim(),
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
  }
}

/** The nearest package.json above this file, wherever it was compiled to. */
function findPackage(): URL {
  return new URL('../../package.json', import.meta.url)
}

function plan(args: readonly string[]): ReplicationPlan {
  const acks = list(args, 'ack') as ReplicationRow['ack'][] | undefined
  return {
    nodes: list(args, 'nodes')?.map(Number) ?? fullPlan.nodes,
    bytes: list(args, 'bytes')?.map(Number) ?? fullPlan.bytes,
    acks: acks ?? fullPlan.acks,
    writers: list(args, 'writers')?.map(Number) ?? fullPlan.writers,
  }
}

function list(args: readonly string[], name: string): string[] | undefined {
  const at = args.indexOf(`--${name}`)
  return at < 0 ? undefined : args[at + 1]?.split(',')
}

function isValue(before: string | undefined): boolean {
  return before?.startsWith('--') === true && before !== '--json'
}

function line(row: ReplicationRow): string {
  const cells = [
    `${row.nodes} nodes`,
    `${row.bytes} B`,
    row.ack,
    `${row.writers} writers`,
    `${row.deltasPerSecond.toLocaleString('en')}/s`,
    `p50 ${row.p50Ms ?? '-'}`,
    `p99 ${row.p99Ms ?? '-'}`,
    `${row.cpuSecondsPerMillion} CPU s`,
    ...(row.short > 0 ? [`${row.short} receipts not met`] : []),
  ]
  return cells.map((cell, index) => cell.padEnd([8, 9, 9, 11, 14, 12, 12, 12][index] ?? 0)).join(' ')
}

await main(process.argv.slice(2))
