import { parseArgs } from 'node:util'
import { Fleet } from '../../examples/demo/fleet.js'
import type { CookieRouting } from '../../lib/http/index.js'
import { apache } from './apache.js'
import type { Balancer } from './balancer.js'
import { CounterNodes } from './counter-nodes.js'
import { haproxy } from './haproxy.js'
import { modJk } from './mod-jk.js'
import { nginx } from './nginx.js'
import { roundRobin } from './round-robin.js'
import { keepsRoutes } from './routes.js'
import { find, type Installed, RunningBalancer } from './running-balancer.js'
import { killOnly, killRestartAndDrain } from './scenario.js'

const BALANCERS = [haproxy, nginx, apache, modJk]
const NODES = ['node1', 'node2', 'node3']

const usage = `npm run balancers -- [haproxy] [nginx] [apache] [mod_jk] [--round-robin [--sessions N] [--requests N] [--ack MODE]
    [--delay MS] [--catch-up MS] [--no-token]]
  Runs the named balancers (default: all) with their files in examples/balancers in front of three servers.
  --round-robin  instead: without stickiness, each client goes from node to node with every request, through the named
                 balancers, or, without a name, straight to the nodes in turn. Prints a line of JSON for each, and ends
                 with 1 if an answer was old, or a write lost, without saying so.
    --sessions   so many clients, default 1000
    --requests   of all of them together, default 100000
    --ack        none (default), received or applied
    --delay      milliseconds between the nodes, default 0
    --catch-up   milliseconds that a request waits for its client's last write, default 250
    --no-token   without the cookie that names the last write: shows what it is for, and fails`

/** What is read from the command line for `--round-robin`. */
interface RoundRobinSettings {
  readonly sessions: number
  readonly requests: number
  readonly ack: 'none' | 'received' | 'applied'
  readonly delayMs: number
  readonly catchUpMs: number
  readonly hasToken: boolean
}

const running = new Set<Fleet>()

/** One line for each balancer; true if nothing failed. */
async function main(names: readonly string[], settings: RoundRobinSettings | undefined): Promise<boolean> {
  const unknown = names.filter(name => !BALANCERS.some(balancer => balancer.name === name))
  if (unknown.length > 0) throw new Error(`Unknown: ${unknown.join(', ')}\n${usage}`)
  if (settings !== undefined) return inTurn(names, settings)
  let good = true
  for (const balancer of BALANCERS) {
    if (names.length > 0 && !names.includes(balancer.name)) continue
    const installed = find(balancer)
    if (!installed) {
      console.log(`SKIPPED ${balancer.name}: not installed (${balancer.install})`)
      continue
    }
    const title = `${balancer.name} ${installed.version}`
    try {
      console.log(`PASS ${title}: ${await sticky(balancer, installed)}`)
      for (const [routing, change] of Object.entries(balancer.routings ?? {})) {
        const said = await inTheSession(balancer, installed, routing as CookieRouting, change)
        console.log(`PASS ${title}, routing ${routing}: ${said}`)
      }
    } catch (error) {
      good = false
      console.log(`FAIL ${title}: ${error instanceof Error ? error.message : error}`)
    }
  }
  return good
}

async function sticky(balancer: Balancer, installed: Installed): Promise<string> {
  return withFleet(balancer, async fleet => {
    const outcome = await withBalancer(balancer, installed, portsOf(fleet, balancer), [], async front =>
      unharmed(await killRestartAndDrain(fleet, front, balancer)),
    )
    const change = balancer.repeatsWrites
    const repeated =
      change &&
      (await withBalancer(balancer, installed, portsOf(fleet, balancer), [change], async front =>
        unharmed(await killOnly(fleet, front)),
      ))
    return [
      `200 sessions, ${outcome.requests} requests in up to ${outcome.longestMs} ms, 0 lost`,
      `killed the node of ${outcome.owned} with ${outcome.doomed} requests under way:` +
        ` ${outcome.writeErrors} writes and ${outcome.readErrors} reads failed, no others`,
      ...(repeated ? [`none of ${repeated.doomed} when writes are repeated`] : []),
      `served elsewhere after ${outcome.failoverMs} ms`,
      `restarted: back after ${outcome.backMs} ms, ${outcome.movedBack} clients moved to it, nothing old`,
      `planned stop: ${outcome.plannedErrors} errors`,
    ].join('; ')
  })
}

function unharmed<T extends { readonly wrong: readonly string[] }>(outcome: T): T {
  if (outcome.wrong.length > 0) throw new Error(`${outcome.wrong.join(', ')} ${JSON.stringify(outcome, undefined, 1)}`)
  return outcome
}

/** The route in the session cookie. */
async function inTheSession(
  balancer: Balancer,
  installed: Installed,
  routing: CookieRouting,
  change: readonly [from: string, to: string],
): Promise<string> {
  const nodes = await CounterNodes.start(NODES, {
    ...{ ack: 'applied', delayMs: 0, catchUpMs: 250, hasToken: true, routing },
    speaksAjp: balancer.speaksAjp,
  })
  try {
    return await withBalancer(balancer, installed, nodes.ports, [change], async front => {
      const moved = await keepsRoutes(front.port, nodes)
      return `every client stays with its node; the ${moved} of one that was killed went on with another, and stayed there`
    })
  } finally {
    await nodes.stop()
  }
}

/** One line of JSON; true if nothing was wrong that did not say so. */
async function inTurn(names: readonly string[], settings: RoundRobinSettings): Promise<boolean> {
  const { ack, delayMs, catchUpMs, hasToken } = settings
  let good = true
  for (const name of names.length === 0 ? ['direct'] : names) {
    const balancer = BALANCERS.find(candidate => candidate.name === name)
    const installed = balancer && find(balancer)
    if (balancer && !installed) {
      console.log(`SKIPPED ${name}: not installed (${balancer.install})`)
      continue
    }
    const nodes = await CounterNodes.start(NODES, { ack, delayMs, catchUpMs, hasToken, speaksAjp: balancer?.speaksAjp })
    const front = balancer && installed && (await RunningBalancer.start(balancer, installed, nodes.ports))
    try {
      const ports = front ? [front.port] : nodes.ports
      const outcome = await roundRobin({ ...settings, ports, nodePorts: nodes.ports })
      const { waits, waitMs, stale, refusedTokens, deltas, bytes } = await nodes.stats()
      const ok = Object.values(outcome.wrong).every(count => count === 0)
      const counted = { waits, waitMs, stale, refusedTokens, deltas, bytes }
      console.log(JSON.stringify({ ok, through: name, ...settings, ...outcome, counted }))
      good &&= ok
    } finally {
      await front?.stop()
      await nodes.stop()
    }
  }
  return good
}

function portsOf(fleet: Fleet, { speaksAjp }: Balancer): readonly number[] {
  return fleet.nodes.map(node => (speaksAjp ? (node.ajpPort ?? 0) : node.httpPort))
}

async function withFleet<T>({ speaksAjp = false }: Balancer, run: (fleet: Fleet) => Promise<T>): Promise<T> {
  const fleet = new Fleet(NODES, 'applied', { servesAjp: speaksAjp })
  running.add(fleet)
  try {
    for (const name of NODES) await fleet.start(name)
    return await run(fleet)
  } finally {
    await fleet.stop()
    running.delete(fleet)
  }
}

async function withBalancer<T>(
  balancer: Balancer,
  installed: Installed,
  ports: readonly number[],
  changes: readonly (readonly [from: string, to: string])[],
  run: (front: RunningBalancer) => Promise<T>,
): Promise<T> {
  const front = await RunningBalancer.start(balancer, installed, ports, changes)
  try {
    return await run(front)
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error)
    throw new Error(`${said}\n${await front.output()}`)
  } finally {
    await front.stop()
  }
}

function wholeNumber(text: string, least: number): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < least) throw new Error(`Not a number: ${text}\n${usage}`)
  return number
}

function ackOf(text: string): RoundRobinSettings['ack'] {
  if (text === 'none' || text === 'received' || text === 'applied') return text
  throw new Error(`Unknown: ${text}\n${usage}`)
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    for (const fleet of running) fleet.killAll()
    process.exit(1)
  })
}
try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'round-robin': { type: 'boolean', default: false },
      sessions: { type: 'string', default: '1000' },
      requests: { type: 'string', default: '100000' },
      ack: { type: 'string', default: 'none' },
      delay: { type: 'string', default: '0' },
      'catch-up': { type: 'string', default: '250' },
      'no-token': { type: 'boolean', default: false },
    },
  })
  const settings = {
    sessions: wholeNumber(values.sessions, 1),
    requests: wholeNumber(values.requests, 1),
    ack: ackOf(values.ack),
    delayMs: wholeNumber(values.delay, 0),
    catchUpMs: wholeNumber(values['catch-up'], 0),
    hasToken: !values['no-token'],
  }
  process.exitCode = (await main(positionals, values['round-robin'] ? settings : undefined)) ? 0 : 1
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
