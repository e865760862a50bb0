import { setTimeout as delay } from 'node:timers/promises'
import { type Bench, type BenchOptions, type BenchResult, percentile, type Row, type Target } from './bench.js'
import { type LoopbackGroup, loopbackGroup } from './loopback.js'
import type { MembershipNews, MembershipOrders } from './membership-member.js'
import { sharedNow, Worker } from './worker.js'

const SERVICES = ['multicast', 'static'] as const
const NODES = [2, 3, 4, 6, 8]
const ROUNDS = 3
const KNOWN_WITHIN_MS = 20_000
/** Between two events, so that each meets an idle group. */
const QUIET_MS = 300

type Event = 'kill' | 'leave' | 'join' | 'ready'
const EVENTS: readonly Event[] = ['kill', 'leave', 'join', 'ready']

/** One group of processes that come and go. */
class Group {
  readonly #group: LoopbackGroup
  readonly #members = new Map<string, Worker<MembershipOrders>>()
  readonly #news: MembershipNews[] = []
  #spare: Worker<MembershipOrders> | undefined
  #next = 0
  #heard: () => void = () => {}

  constructor(group: LoopbackGroup) {
    this.#group = group
  }

  /** Has the next process loaded, so that a join is not the start of a program. */
  prepare(): Promise<void> {
    this.#spare ??= new Worker<MembershipOrders>('membership-member.js')
    return this.#spare.loaded
  }

  /** A process joins: until every other member knows of it, and until it has joined itself. */
  async join(): Promise<{ known: number; ready: number }> {
    await this.prepare()
    const worker = this.#spare as Worker<MembershipOrders>
    this.#spare = undefined
    const name = `member${this.#next++}`
    const others = [...this.#members.keys()]
    worker.onTold = what => {
      this.#news.push(what as MembershipNews)
      this.#heard()
    }
    const before = this.#news.length
    this.#members.set(name, worker)
    const { calledAt, readyAt } = await worker.ask('join', { name, group: this.#group })
    const knownAt = others.length === 0 ? calledAt : await this.#known('added', name, others.length, before)
    await this.#complete()
    return { known: knownAt - calledAt, ready: readyAt - calledAt }
  }

  /** One member ends, by SIGKILL or by leaving: until every other one knows. */
  async end(how: 'kill' | 'leave', index: number): Promise<number> {
    const names = [...this.#members.keys()]
    const name = names[index % names.length] as string
    const worker = this.#members.get(name) as Worker<MembershipOrders>
    this.#members.delete(name)
    const before = this.#news.length
    let startedAt = sharedNow()
    if (how === 'kill') worker.kill()
    else startedAt = (await worker.ask('leave', undefined)).calledAt
    const known = (await this.#known('disappeared', name, this.#members.size, before)) - startedAt
    if (how === 'leave') await worker.stop()
    return known
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#members.values(), ...(this.#spare ? [this.#spare] : [])].map(worker => worker.stop()))
  }

  /** When the last of `count` members told of it. */
  async #known(event: MembershipNews['event'], member: string, count: number, from: number): Promise<number> {
    const told = (): MembershipNews[] =>
      this.#news.slice(from).filter(news => news.event === event && news.member === member)
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(
        () => reject(new Error(`${told().length} of ${count} knew that ${member} ${event}`)),
        KNOWN_WITHIN_MS,
      )
      this.#heard = () => {
        if (told().length >= count) resolve()
      }
      this.#heard()
    })
    clearTimeout(timer)
    this.#heard = () => {}
    return Math.max(...told().map(({ at }) => at))
  }

  /** Resolves when every member sees every other one. */
  async #complete(): Promise<void> {
    const workers = [...this.#members.values()]
    for (;;) {
      const views = await Promise.all(workers.map(worker => worker.ask('members', undefined)))
      if (views.every(view => view.length === workers.length - 1)) return
      await delay(20)
    }
  }
}

/** How long it takes until all know that somebody came or went. */
export const membership: Bench = {
  name: 'membership',
  title: 'Who is there: until every survivor knows',
  describe:
    'Real processes on loopback with the default options, otherwise idle. kill: from SIGKILL, leave: from the call of ' +
    'leave(), join: from the call of createCluster(), each until the last of the other members tells of it; ready: until ' +
    'createCluster() of the newcomer resolves. One sample per event; percentiles over all passes.',
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

async function run({ quick, passes, pick, progress }: BenchOptions): Promise<BenchResult> {
  const sizes = pick('nodes')?.map(Number) ?? (quick ? [2, 3] : NODES)
  const services = SERVICES.filter(service => pick('service')?.includes(service) ?? true)
  const samples = new Map<string, number[]>()
  const add = (service: string, nodes: number, event: Event, ms: number): void => {
    const key = `${service} ${nodes} ${event}`
    samples.set(key, [...(samples.get(key) ?? []), ms])
  }
  for (let pass = 0; pass < passes; pass++) {
    for (const nodes of sizes) {
      for (const service of services) {
        progress(`membership ${service}, ${nodes} nodes, pass ${pass + 1}`)
        const group = new Group(loopbackGroup(nodes, service))
        try {
          for (let i = 0; i < nodes; i++) await group.join()
          for (let round = 0; round < (quick ? 1 : ROUNDS); round++) {
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
  const rows = sizes.flatMap(nodes =>
    services.flatMap(service =>
      EVENTS.map(event => row(service, nodes, event, samples.get(`${service} ${nodes} ${event}`) ?? [])),
    ),
  )
  return { rows, targets: targets(rows) }
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
  const kills = rows.filter(({ labels }) => labels.event === 'kill').map(({ values }) => values.p99Ms ?? null)
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
