import { type Bench, type BenchOptions, type BenchResult, medianRows, type Row, type Target } from './bench.js'
import { latencySeries, loadMeasures, valuesOf } from './load-rows.js'
import { ACKS, type Duration, Groups, type Load, type Measured, measure, ourGroup } from './measurement.js'

const KINDS = ['delta', 'raw'] as const
const FULL: Duration = { ms: 500, warmUpMs: 150, firstWarmUpMs: 2_000 }
const QUICK: Duration = { ms: 60, warmUpMs: 30, firstWarmUpMs: 30 }

/** Our own replication alone, in every combination. */
export const replication: Bench = {
  name: 'replication',
  title: 'Replication',
  describe:
    'One member writes, the others apply; each is a process, over loopback. A delta is the whole way of a session write: ' +
    'find, set, commit, stamp, merge, encode, send, decode, merge. Raw is a message of the channel. Rates count what the ' +
    'slowest member has, draining included. With ack none up to 4,096 writes (4 MiB) are under way at a time.',
  measures: loadMeasures,
  charts: [
    {
      title: 'Session deltas per second by size (2 nodes)',
      kind: 'bars',
      x: 'bytes',
      series: ['ack', 'writers'],
      y: 'perSecond',
      where: { kind: ['delta'], nodes: [2] },
    },
    {
      title: 'CPU per million deltas by number of members (1 KiB, 32 writers)',
      kind: 'lines',
      x: 'nodes',
      series: ['ack'],
      y: 'cpuSecondsPerMillion',
      where: { kind: ['delta'], bytes: [1_024], writers: [32] },
    },
  ],
  run,
}

async function run(options: BenchOptions): Promise<BenchResult> {
  const { quick, passes, progress } = options
  const nodes = options.pickNumbers('nodes') ?? (quick ? [2] : [2, 3, 4])
  const all = loads(options)
  const rows: Row[] = []
  const waits = new Map<string, Measured['waits'][]>()
  for (const count of nodes) {
    const groups = new Groups()
    try {
      const group = await ourGroup(groups, count)
      for (let pass = 1; pass <= passes; pass++) {
        for (const load of all) {
          progress(`replication: pass ${pass} of ${passes}, ${count} nodes, ${describeLoad(load)}`)
          const measured = await measure(group, load, quick ? QUICK : FULL)
          rows.push({ labels: { nodes: count, ...load }, values: valuesOf(measured) })
          if (count === 2 && load.bytes === 1_024 && measured.waits.length > 0) {
            const name = `${load.kind}, ${load.ack}, ${load.writers} writers`
            waits.set(name, [...(waits.get(name) ?? []), measured.waits])
          }
        }
      }
    } finally {
      await groups.end()
    }
  }
  const found = medianRows(rows)
  return {
    rows: found,
    series: latencySeries('Wait of a writer (2 nodes, 1 KiB)', waits),
    targets: [noInversions(found)],
  }
}

function loads(options: BenchOptions): Load[] {
  const { quick } = options
  const kinds = options.pick('kind', KINDS) ?? KINDS
  const sizes = options.pickNumbers('bytes') ?? (quick ? [1_024] : [64, 256, 1_024, 16_384])
  const acks = options.pick('ack', ACKS) ?? ACKS
  const writerCounts = options.pickNumbers('writers') ?? [1, 32]
  return kinds.flatMap(kind =>
    sizes.flatMap(bytes => acks.flatMap(ack => writerCounts.map(writers => ({ kind, bytes, ack, writers })))),
  )
}

function describeLoad({ kind, bytes, ack, writers }: Load): string {
  return `${kind} of ${bytes} B, ack ${ack}, ${writers} writers`
}

function noInversions(rows: readonly Row[]): Target {
  const measured = rows.reduce((sum, { values }) => sum + (values.inversions ?? 0), 0)
  return { what: 'writes behind a later one of the same writer, all rows', wanted: { atMost: 0 }, unit: '', measured }
}
