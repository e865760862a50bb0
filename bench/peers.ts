import { type Bench, type BenchOptions, type BenchResult, find, medianRows, type Row } from './bench.js'
import { latencySeries, loadMeasures, valuesOf } from './load-rows.js'
import {
  ACKS,
  type Duration,
  echoGroup,
  type Group,
  Groups,
  KINDS,
  type Load,
  type Measured,
  measure,
  ourGroup,
} from './measurement.js'
import { RedisPeer } from './peers/redis.js'
import { peerTargets } from './peers/targets.js'
import { TribesPeer } from './peers/tribes.js'

type Side = 'tribeline' | 'socket' | 'tribes' | 'redis' | 'ioredis' | 'ioredis-auto'

interface PeerCase {
  readonly side: Side
  readonly nodes: number
  readonly load: Load
}

const FULL: Duration = { ms: 700, warmUpMs: 300, firstWarmUpMs: 2_500 }
const QUICK: Duration = { ms: 100, warmUpMs: 50, firstWarmUpMs: 50 }
const SIZES = [64, 256, 1_024, 16_384]
const REDIS_CLIENTS = ['redis', 'ioredis', 'ioredis-auto'] as const

/** Us beside Tomcat Tribes and Redis, in turn, in one run. */
export const peers: Bench = {
  name: 'peers',
  title: 'Beside Tomcat Tribes and Redis',
  describe:
    'The same loads on all sides, case by case in turn, each process its own, over loopback. Our acknowledgements none ' +
    'and applied stand beside Tribes’ asynchronous and synchronized-acknowledged sends, our session deltas beside puts ' +
    'into its ReplicatedMap (map) and SET commands. Read ratios, not figures: the targets compare medians of this run.',
  measures: loadMeasures,
  charts: [
    {
      title: 'Messages and deltas per second without acknowledgement (2 nodes)',
      kind: 'bars',
      x: 'bytes',
      series: ['side', 'kind'],
      y: 'perSecond',
      where: { nodes: [2], ack: ['none'], writers: [1], kind: ['raw', 'delta'] },
    },
    {
      title: 'Acknowledged by all, 32 at a time (2 nodes; Redis: one server)',
      kind: 'bars',
      x: 'bytes',
      series: ['side', 'kind'],
      y: 'perSecond',
      where: { nodes: [1, 2], ack: ['applied'], writers: [32], kind: ['raw', 'delta', 'set'] },
    },
    {
      title: 'One put or session write of 1 KiB after the other, by members',
      kind: 'bars',
      x: 'nodes',
      series: ['side', 'ack', 'writers'],
      y: 'perSecond',
      where: { nodes: [2, 3], bytes: [1_024], kind: ['map', 'delta'], ack: ['none', 'applied'], writers: [1, 8] },
    },
    {
      title: 'CPU per million without acknowledgement, by members (1 KiB)',
      kind: 'lines',
      x: 'nodes',
      series: ['side', 'kind'],
      y: 'cpuSecondsPerMillion',
      where: { ack: ['none'], bytes: [1_024], writers: [1], kind: ['raw', 'delta'] },
    },
  ],
  run,
}

/** What is compared: by the number of nodes, so that no more processes run than must. */
function cases({ quick, pick, pickNumbers }: BenchOptions): Map<number, PeerCase[]> {
  const sizes = pickNumbers('bytes') ?? (quick ? [1_024] : SIZES)
  const all: PeerCase[] = []
  for (const nodes of pickNumbers('nodes') ?? (quick ? [2] : [2, 3, 4])) {
    for (const bytes of sizes) {
      const none = { bytes, ack: 'none', writers: 1 } as const
      const all32 = { bytes, ack: 'applied', writers: 32 } as const
      const one = { bytes, ack: 'applied', writers: 1 } as const
      for (const load of nodes === 2 ? [none, all32, one] : [none]) {
        for (const kind of load === none ? (['raw', 'delta'] as const) : (['delta'] as const)) {
          all.push({ side: 'tribeline', nodes, load: { kind, ...load } })
        }
        all.push({ side: 'tribes', nodes, load: { kind: 'raw', ...load } })
        if (load === none) continue
        if (load === one) all.push({ side: 'socket', nodes, load: { kind: 'echo', ...load } })
        all.push({ side: 'ioredis', nodes: 1, load: { kind: 'set', ...load } })
        all.push({ side: 'redis', nodes: 1, load: { kind: 'set', ...load } })
      }
    }
    if (nodes <= 3) all.push(...mapCases(nodes, quick))
    if (nodes === 2) all.push(...redisCases(quick))
  }
  const acks = pick('ack', ACKS)
  const kinds = pick('kind', KINDS)
  const writerCounts = pickNumbers('writers')
  const isPicked = ({ load: { ack, kind, writers } }: PeerCase): boolean =>
    (acks?.includes(ack) ?? true) && (kinds?.includes(kind) ?? true) && (writerCounts?.includes(writers) ?? true)
  return groupBy(unique(all).filter(isPicked), ({ nodes }) => nodes)
}

/** Like for like: a put of 1 KiB over an older one and a session write. */
function mapCases(nodes: number, quick: boolean): PeerCase[] {
  const acks = ['none', 'applied'] as const
  return acks.flatMap(ack =>
    (quick ? [8] : [1, 8]).flatMap(writers => {
      const load = { bytes: 1_024, ack, writers }
      return [
        { side: 'tribeline', nodes, load: { kind: 'delta', ...load } },
        { side: 'tribes', nodes, load: { kind: 'map', ...load } },
      ] satisfies PeerCase[]
    }),
  )
}

function redisCases(quick: boolean): PeerCase[] {
  return (['set', 'get'] as const).flatMap(kind =>
    (quick ? [32] : [1, 32, 1_000]).flatMap(writers =>
      REDIS_CLIENTS.map(side => ({ side, nodes: 1, load: { kind, bytes: 1_024, ack: 'applied', writers } as const })),
    ),
  )
}

function unique(all: readonly PeerCase[]): PeerCase[] {
  return [...new Map(all.map(it => [JSON.stringify(it), it])).values()]
}

async function run(options: BenchOptions): Promise<BenchResult> {
  const { quick, passes, progress } = options
  const duration: Duration = quick ? QUICK : FULL
  const byNodes = cases(options)
  const missing = { tribes: TribesPeer.missing(), redis: RedisPeer.missing() }
  const rows: Row[] = []
  const waits = new Map<string, Measured['waits'][]>()
  const tribes = missing.tribes === undefined ? new TribesPeer() : undefined
  const redis = missing.redis === undefined ? await RedisPeer.start() : undefined
  // One server serves all: its cases are measured next to those of two members.
  const withServer = byNodes.get(1) ?? []
  byNodes.delete(1)
  try {
    for (const [nodes, own] of byNodes) {
      const groups = new Groups()
      try {
        const sides = new Map<Side, Group>([['tribeline', await ourGroup(groups, nodes)]])
        if (tribes) sides.set('tribes', await tribes.group(nodes))
        if (own.some(({ side }) => side === 'socket')) sides.set('socket', await echoGroup(groups))
        const wanted = nodes === Math.min(...byNodes.keys()) ? [...own, ...withServer] : own
        if (redis && wanted.length > own.length) {
          for (const client of REDIS_CLIENTS) sides.set(client, groups.add(await redis.client(client)))
        }
        for (let pass = 1; pass <= passes; pass++) {
          for (const { side, nodes: members, load } of inTurn(wanted)) {
            const labels = { side, nodes: members, ...load }
            const group = sides.get(side)
            if (group === undefined) {
              const note = (side === 'tribes' ? missing.tribes : missing.redis) ?? ''
              rows.push({ labels, values: {}, note })
              continue
            }
            progress(`peers: pass ${pass} of ${passes}, ${Object.values(labels).join(' ')}`)
            const measured = await measure(group, load, duration)
            rows.push({ labels, values: valuesOf(measured) })
            remember(waits, labels, measured)
          }
        }
      } finally {
        await groups.end()
        await tribes?.endGroups()
      }
    }
  } finally {
    await tribes?.end()
    await redis?.end()
  }
  const found = medianRows(rows)
  const versions = { tribes: tribes?.version ?? missing.tribes ?? '', redis: redis?.version ?? missing.redis ?? '' }
  return {
    rows: found,
    versions,
    series: [1, 8, 32].flatMap(writers => {
      const shown = new Map([...waits].filter(([name]) => name.endsWith(`, ${writers}`)))
      const title = writers === 1 ? 'one at a time' : `${writers} at a time`
      return latencySeries(`Wait of an acknowledged write of 1 KiB, ${title} (2 nodes)`, shown)
    }),
    targets: peerTargets((labels, key) => find(found, labels, key)),
  }
}

/** Cases with the same load stand next to each other, whoever's they are. */
function inTurn(wanted: readonly PeerCase[]): PeerCase[] {
  const key = ({ load }: PeerCase): string => `${load.ack} ${load.writers} ${load.bytes}`
  return [...groupBy(wanted, key).values()].flat()
}

function remember(waits: Map<string, Measured['waits'][]>, labels: Row['labels'], { waits: found }: Measured): void {
  const isShown = labels.bytes === 1_024 && Number(labels.nodes) <= 2 && labels.kind !== 'get'
  if (!isShown || found.length === 0 || labels.ack !== 'applied' || Number(labels.writers) > 32) return
  const name = `${labels.side}, ${labels.kind}, ${labels.writers}`
  waits.set(name, [...(waits.get(name) ?? []), found])
}

function groupBy<T, K>(values: readonly T[], keyOf: (value: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>()
  for (const value of values) groups.set(keyOf(value), [...(groups.get(keyOf(value)) ?? []), value])
  return groups
}
