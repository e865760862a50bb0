import { setTimeout as delay } from 'node:timers/promises'
import {
  type Bench,
  type BenchOptions,
  type BenchResult,
  find,
  medianRows,
  percentile,
  type Row,
  ratio,
  type Target,
} from './bench.js'
import type { LoadOrders } from './http-load.js'
import type { HttpServerConfig, HttpServerOrders, HttpStack } from './http-server.js'
import { loopbackGroup } from './loopback.js'
import { RedisProcess } from './redis-process.js'
import { Worker } from './worker.js'

type Framework = HttpServerConfig['framework']
const FRAMEWORKS: readonly Framework[] = ['express', 'fastify']
const STACKS: readonly HttpStack[] = ['none', 'memory', 'store', 'middleware', 'redis']
const PATHS = ['read', 'write'] as const
const NODES = [1, 3]
const CONNECTIONS = 32
const SESSIONS = 1_024
const REQUESTS = 6_000
const INSTALL = 'npm install --no-save fastify @fastify/cookie @fastify/session connect-redis redis'
const NO_REDIS = 'not installed: redis-server (Debian: apt-get install redis-server)'

/** The servers that share one kind of session, with a load generator of their own. */
interface Side {
  readonly stack: HttpStack
  readonly servers: readonly Worker<HttpServerOrders>[]
  readonly load: Worker<LoadOrders>
  readonly missing: string | undefined
}

/** What sessions cost a web server. */
export const http: Bench = {
  name: 'http',
  title: 'Sessions over HTTP',
  describe:
    'Keep-alive clients (32 connections, 1,024 sessions of ten strings of 100 characters) in a process of their own; ' +
    'read looks at the session, write counts in it. none: no session at all; memory: express-session or @fastify/session ' +
    'with their MemoryStore; store: the same with our store; redis: the same with connect-redis; middleware: ours. ' +
    'CPU is that of all server processes, without Redis and the clients. On 3 nodes each connection stays with one, and ' +
    'a write waits until another node has applied it. Every answer is checked.',
  measures: [
    { key: 'perSecond', title: 'requests', unit: '1/s', better: 'more' },
    { key: 'cpuUs', title: 'CPU per request', unit: 'µs CPU', better: 'less' },
    { key: 'p50Ms', title: 'p50', unit: 'ms', better: 'less' },
    { key: 'p99Ms', title: 'p99', unit: 'ms', better: 'less' },
  ],
  charts: [
    ...FRAMEWORKS.map(framework => ({
      title: `Server CPU per request, ${framework}`,
      kind: 'bars' as const,
      x: 'stack',
      series: ['nodes', 'request'],
      y: 'cpuUs',
      where: { framework: [framework] },
    })),
    {
      title: 'Requests per second, one node',
      kind: 'bars',
      x: 'stack',
      series: ['framework', 'request'],
      y: 'perSecond',
      where: { nodes: [1] },
    },
  ],
  run,
}

async function run({ quick, passes, pick, pickNumbers, progress }: BenchOptions): Promise<BenchResult> {
  const frameworks = pick('framework', FRAMEWORKS) ?? FRAMEWORKS
  const stacks = pick('stack', STACKS) ?? STACKS
  const sizes = pickNumbers('nodes') ?? (quick ? [1] : NODES)
  const requests = pickNumbers('requests')?.[0] ?? (quick ? 200 : REQUESTS)
  const redis = stacks.includes('redis') ? await RedisProcess.start() : undefined
  const all: Row[] = []
  try {
    for (const nodes of sizes) {
      for (const framework of frameworks) {
        progress(`http ${framework}, ${nodes} nodes: starting`)
        const workers: { stop(): Promise<void> }[] = []
        try {
          const sides = await Promise.all(stacks.map(stack => start({ framework, stack, nodes }, redis?.port, workers)))
          for (const side of sides) await warm(side, requests)
          for (let pass = 0; pass < passes; pass++) {
            progress(`http ${framework}, ${nodes} nodes: pass ${pass + 1}`)
            for (const path of PATHS) {
              for (const side of sides) {
                all.push({
                  labels: { framework, nodes, request: path, stack: side.stack },
                  ...(await measure(side, path, requests)),
                })
              }
            }
          }
        } finally {
          await Promise.all(workers.map(worker => worker.stop()))
        }
      }
    }
  } finally {
    await redis?.stop()
  }
  const rows = medianRows(all)
  return { rows, targets: targets(rows) }
}

/** All processes it starts are in `workers`, also when it fails. */
async function start(
  { framework, stack, nodes }: { framework: Framework; stack: HttpStack; nodes: number },
  redisPort: number | undefined,
  workers: { stop(): Promise<void> }[],
): Promise<Side> {
  const load = new Worker<LoadOrders>('http-load.js')
  workers.push(load)
  if (stack === 'redis' && redisPort === undefined) return { stack, servers: [], load, missing: NO_REDIS }
  const servers = Array.from({ length: nodes }, () => new Worker<HttpServerOrders>('http-server.js'))
  workers.push(...servers)
  const group = loopbackGroup(nodes)
  const ports: number[] = []
  for (const [index, server] of servers.entries()) {
    const config = { framework, stack, name: `node${index}`, group, redisPort: redisPort ?? 0 }
    const started = await server.ask('start', config)
    if ('missing' in started) return { stack, servers, load, missing: `not installed: ${started.missing}; ${INSTALL}` }
    ports.push(started.port)
  }
  await load.ask('prepare', { ports, connections: CONNECTIONS, sessions: SESSIONS })
  if (stack === 'store' || stack === 'middleware') {
    const members = await Promise.all(servers.map(server => server.ask('members', undefined)))
    if (members.some(count => count !== nodes - 1)) throw new Error(`Members see ${members} others of ${nodes - 1}`)
  }
  return { stack, servers, load, missing: undefined }
}

/** In turn, until the code is compiled: what has more of it takes longer. */
const WARM_ROUNDS = 3

async function warm(side: Side, requests: number): Promise<void> {
  if (side.missing !== undefined) return
  for (let round = 0; round < WARM_ROUNDS; round++) {
    for (const path of PATHS) await side.load.ask('run', { path: `/${path}`, requests })
  }
}

async function measure(side: Side, path: string, requests: number): Promise<Omit<Row, 'labels'>> {
  if (side.missing !== undefined) return { values: {}, note: side.missing }
  // What the side before has left behind settles first.
  await delay(50)
  const before = await cpuMs(side)
  const { elapsedMs, wrong, waits } = await side.load.ask('run', { path: `/${path}`, requests })
  const usedMs = (await cpuMs(side)) - before
  return {
    values: {
      perSecond: (requests * 1_000) / elapsedMs,
      cpuUs: (usedMs * 1_000) / requests,
      p50Ms: percentile(waits, 0.5),
      p99Ms: percentile(waits, 0.99),
    },
    ...(wrong > 0 ? { note: `${wrong} wrong answers` } : {}),
  }
}

async function cpuMs(side: Side): Promise<number> {
  const all = await Promise.all(side.servers.map(server => server.cpuMs()))
  return all.reduce((sum, ms) => sum + ms, 0)
}

function targets(rows: readonly Row[]): Target[] {
  const value = (framework: Framework, request: string, stack: HttpStack, key: string): number | null =>
    find(rows, { framework, nodes: 1, request, stack }, key)
  const against = (framework: Framework, request: string, a: HttpStack, b: HttpStack, key: string): number | null =>
    ratio(value(framework, request, a, key), value(framework, request, b, key))
  return [
    ...PATHS.flatMap((path): Target[] => [
      {
        what: `express-session, our store against MemoryStore, CPU, ${path}`,
        wanted: { atMost: 1.1 },
        unit: 'x',
        measured: against('express', path, 'store', 'memory', 'cpuUs'),
      },
      {
        what: `express-session, our store against connect-redis, requests, ${path}`,
        wanted: { atLeast: 1.1 },
        unit: 'x',
        measured: against('express', path, 'store', 'redis', 'perSecond'),
      },
    ]),
    {
      what: 'our middleware on Express against no session, CPU, read',
      wanted: { atMost: 1.4 },
      unit: 'x',
      measured: against('express', 'read', 'middleware', 'none', 'cpuUs'),
    },
    {
      what: 'our middleware on Fastify against no session, CPU, read',
      wanted: { atMost: 2 },
      unit: 'x',
      measured: against('fastify', 'read', 'middleware', 'none', 'cpuUs'),
    },
  ]
}
