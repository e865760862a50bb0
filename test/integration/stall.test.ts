import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { createCluster } from '../../lib/index.js'
import type { ScopeStats } from '../../lib/replication/scope.js'
import { until } from '../helpers/loopback-cluster.js'

const COUNTER = fileURLToPath(new URL('../helpers/counter-process.js', import.meta.url))
const SESSIONS = 20
const ROUNDS = 5

interface Node {
  readonly child: ChildProcess
  readonly port: number
}

interface Client {
  /** By name, as they are sent. */
  readonly cookies: Map<string, string>
  /** The last answer: what is known to be saved. */
  count: number
}

/** Two servers in processes of their own, and a member here that watches. */
async function start(t: ExecutionContext, membership: object): Promise<{ a: Node; b: Node; gone: () => boolean }> {
  const group = `test-${randomBytes(6).toString('hex')}`
  const port = randomInt(20_000, 60_000)
  const secret = randomBytes(16).toString('hex')
  const watcher = await createCluster({
    name: 'watcher',
    group,
    membership: { bind: '127.0.0.1', port, ...membership },
    receiver: { address: '127.0.0.1', port: 0 },
  })
  t.teardown(() => watcher.leave())
  let gone = false
  watcher.on('memberDisappeared', member => (gone ||= member.name === 'a'))
  const node = async (name: string): Promise<Node> => {
    const child = fork(COUNTER, [name, group, String(port), secret, JSON.stringify(membership)])
    t.teardown(() => child.kill('SIGKILL'))
    const [message] = (await once(child, 'message')) as [{ port: number }]
    return { child, port: message.port }
  }
  const a = await node('a')
  const b = await node('b')
  await until(() => watcher.members.length === 2)
  return { a, b, gone: () => gone }
}

const agent = new Agent({ keepAlive: true })

function increment({ port }: Node, client: Client): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { cookie: [...client.cookies.values()].join('; '), 'content-length': '0' }
    const req = request({ host: '127.0.0.1', port, method: 'POST', agent, headers }, res => {
      for (const line of res.headers['set-cookie'] ?? []) {
        const [pair = ''] = line.split(';')
        client.cookies.set(pair.slice(0, pair.indexOf('=')), pair)
      }
      let body = ''
      res.setEncoding('utf8')
      res.on('data', (text: string) => (body += text))
      res.on('end', () => (res.statusCode === 200 ? resolve(Number(body)) : reject(new Error(`${res.statusCode}`))))
    })
    req.on('error', reject)
    req.end()
  })
}

async function statsOf({ child }: Node): Promise<ScopeStats> {
  child.send({})
  const [stats] = (await once(child, 'message')) as [ScopeStats]
  return stats
}

/**
 * Stops `a`, increments every session on `b`, leaves a request for each with the stopped `a`, and lets it go on: those
 * requests run first, before any timer, and must count from what `b` wrote.
 */
async function stopAndGoOn(
  t: ExecutionContext,
  nodes: { a: Node; b: Node },
  asleep: () => Promise<void>,
): Promise<void> {
  const { a, b } = nodes
  const clients = Array.from({ length: SESSIONS }, (): Client => ({ cookies: new Map(), count: 0 }))
  await Promise.all(clients.map(async client => (client.count = await increment(a, client))))
  // An acknowledgement says that one other member has it; it may be the watcher.
  while ((await statsOf(b)).records < SESSIONS) await delay(20)

  process.kill(a.child.pid ?? 0, 'SIGSTOP')
  for (let round = 0; round < ROUNDS; round++) {
    await Promise.all(clients.map(async client => (client.count = await increment(b, client))))
  }
  t.true(clients.every(({ count }) => count === 1 + ROUNDS))
  const waiting = clients.map(client => increment(a, client))
  await asleep()
  process.kill(a.child.pid ?? 0, 'SIGCONT')

  const answers = await Promise.all(waiting)
  const stats = await statsOf(a)
  t.log(`${stats.fencedMs.toFixed(0)} ms behind the fence`)
  t.deepEqual(answers, Array(SESSIONS).fill(2 + ROUNDS))
  t.is(stats.fenceTimeouts, 0)
  t.is(stats.stalls, 1)
  const last = await Promise.all(clients.map(client => increment(b, client)))
  t.deepEqual(last, Array(SESSIONS).fill(3 + ROUNDS))
}

test('a member that stood still and is still one counts from what the others wrote meanwhile', async t => {
  const nodes = await start(t, {})
  await stopAndGoOn(t, nodes, () => delay(2_000))
  t.false(nodes.gone())
})

test('a member that was given up while it stood still is readmitted first', async t => {
  const nodes = await start(t, { frequency: 100, dropTime: 500, suspicionMs: 200, hungGraceMs: 1_000 })
  await stopAndGoOn(t, nodes, async () => {
    await until(nodes.gone)
    await delay(1_000)
  })
})
