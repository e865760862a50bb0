import { setTimeout as delay } from 'node:timers/promises'
import { type Bench, type BenchOptions, type BenchResult, percentile, type Row, type Target } from './bench.js'
import { loopbackGroup } from './loopback.js'
import { type Candidate, MembershipGroup, OurCandidate } from './membership-group.js'
import { TribesPeer } from './peers/tribes.js'

const SERVICES = ['multicast', 'static', 'tribes'] as const
const NODES = [2, 3, 4, 6, 8]
/** What Tribes needs are its timers: few samples say it. */
const ROUNDS = { multicast: 3, static: 3, tribes: 1 }
/** Between two events, so that each meets an idle group. */
const QUIET_MS = 300

type Service = (typeof SERVICES)[number]
type Event = 'kill' | 'leave' | 'join' | 'ready'
const EVENTS: readonly Event[] = ['kill', 'leave', 'join', 'ready']

/** How long it takes until all know that somebody came or went. */
export const membership: Bench = {
  name: 'membership',
  title: 'Who is there: until every survivor knows',
  describe:
    'Real processes on loopback with the default options, otherwise idle. kill: from SIGKILL, leave: from the call of ' +
    'leave(), join: from the call of createCluster(), each until the last of the other members tells of it; ready: until ' +
    'createCluster() of the newcomer resolves. tribes: Tomcat Tribes with McastService and TcpFailureDetector, from and ' +
    'to the start() of its channel. One sample per event; percentiles over all passes.',
  measures: [
    { key: 'p50Ms', title: 'p50', unit: 'ms', better: 'less' },
    { key: 'p99Ms', title: 'p99', unit: 'ms', better: 'less' },
    { key: 'maxMs', title: 'max', unit: 'ms', better: 'less' },
    { key: 'events', title: 'events', unit: '' },
  ],
  charts: [
    { title: 'Until all know, p50', kind: 'lines', x: 'nodes', series: ['service', 'event'], y: 'p50Ms', log: true },
    {
      title: 'Until all know of a kill, max',
      kind: 'bars',
      x: 'nodes',
      series: ['service'],
      y: 'maxMs',
      where: { event: ['kill'] },
    },
  ],
  run,
}

async function run({ quick, passes, pick, pickNumbers, progress }: BenchOptions): Promise<BenchResult> {
  const sizes = pickNumbers('nodes') ?? (quick ? [2, 3] : NODES)
  const services = pick('service', SERVICES) ?? SERVICES
  const missing = services.includes('tribes') ? TribesPeer.missing() : undefined
  const tribes = services.includes('tribes') && missing === undefined ? new TribesPeer() : undefined
  const measured = services.filter(service => service !== 'tribes' || tribes !== undefined)
  const samples = new Map<string, number[]>()
  const add = (service: string, nodes: number, event: Event, ms: number): void => {
    const key = `${service} ${nodes} ${event}`
    samples.set(key, [...(samples.get(key) ?? []), ms])
  }
  try {
    for (let pass = 0; pass < passes; pass++) {
      for (const nodes of sizes) {
        for (const service of measured) {
          progress(`membership ${service}, ${nodes} nodes, pass ${pass + 1}`)
          const group = new MembershipGroup(candidates(service, nodes, tribes))
          try {
            for (let i = 0; i < nodes; i++) await group.join()
            for (let round = 0; round < (quick ? 1 : ROUNDS[service]); round++) {
              for (const how of ['kill', 'leave'] as const) {
                await group.prepare()
                await delay(QUIET_MS)
                add(service, nodes, how, await group.end(how, pass + round))
                const { known, ready } = await group.join()
                add(service, nodes, 'join', known)
                add(service, nodes, 'ready', ready)
              }
            }
          } finally {
            await group.stop()
          }
        }
      }
    }
  } finally {
    await tribes?.end()
  }
  const rows = sizes.flatMap(nodes =>
    services.flatMap(service =>
      EVENTS.map(event => {
        if (service === 'tribes' && missing !== undefined) {
          return { labels: { event, service, nodes }, values: {}, note: missing }
        }
        return row(service, nodes, event, samples.get(`${service} ${nodes} ${event}`) ?? [])
      }),
    ),
  )
  return { rows, targets: targets(rows), versions: { tribes: tribes?.version ?? missing ?? '' } }
}

/** How processes of one group are begun. */
function candidates(service: Service, nodes: number, tribes: TribesPeer | undefined): () => Candidate {
  if (service !== 'tribes') {
    const group = loopbackGroup(nodes, service)
    return () => new OurCandidate(group)
  }
  const group = loopbackGroup(nodes)
  return () => (tribes as TribesPeer).candidate(group)
}

function row(service: string, nodes: number, event: Event, values: readonly number[]): Row {
  const sorted = [...values].sort((a, b) => a - b)
  return {
    labels: { event, service, nodes },
    values: {
      p50Ms: percentile(sorted, 0.5),
      p99Ms: percentile(sorted, 0.99),
      maxMs: sorted.at(-1) ?? null,
      events: sorted.length,
    },
  }
}

function targets(rows: readonly Row[]): Target[] {
  const ours = rows.filter(({ labels }) => labels.event === 'kill' && labels.service !== 'tribes')
  const kills = ours.map(({ values }) => values.p99Ms ?? null)
  const known = kills.filter(value => value !== null)
  return [
    {
      what: 'kill noticed by all, p99, worst of all sizes',
      wanted: { atMost: 250 },
      unit: 'ms',
      measured: known.length === 0 ? null : Math.max(...known),
    },
  ]
}
