import { parseArgs } from 'node:util'
import { Fleet } from '../../examples/demo/fleet.js'
import { apache } from './apache.js'
import type { Balancer } from './balancer.js'
import { haproxy } from './haproxy.js'
import { nginx } from './nginx.js'
import { find, type Installed, RunningBalancer } from './running-balancer.js'
import { killOnly, killRestartAndDrain, roundRobin } from './scenario.js'

const BALANCERS = [haproxy, nginx, apache]
const NODES = ['node1', 'node2', 'node3']
const ROUND_ROBIN_SESSIONS = 20
const ROUND_ROBIN_MS = 5_000

const usage = `npm run balancers -- [haproxy] [nginx] [apache] [--round-robin]
  Runs the named balancers (default: all) with their files in examples/balancers in front of three servers.
  --round-robin  instead: without stickiness, tells how many answers are old; asserts nothing`

const running = new Set<Fleet>()

/** One line for each balancer; true if nothing failed. */
async function main(names: readonly string[], isRoundRobin: boolean): Promise<boolean> {
  const unknown = names.filter(name => !BALANCERS.some(balancer => balancer.name === name))
  if (unknown.length > 0) throw new Error(`Unknown: ${unknown.join(', ')}\n${usage}`)
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
      const said = await (isRoundRobin ? inTurn : sticky)(balancer, installed)
      console.log(`${isRoundRobin ? 'MEASURED' : 'PASS'} ${title}: ${said}`)
    } catch (error) {
      good = false
      console.log(`FAIL ${title}: ${error instanceof Error ? error.message : error}`)
    }
  }
  return good
}

async function sticky(balancer: Balancer, installed: Installed): Promise<string> {
  return withFleet(async fleet => {
    const outcome = await withBalancer(balancer, installed, fleet, [], async front =>
      unharmed(await killRestartAndDrain(fleet, front, balancer)),
    )
    const change = balancer.repeatsWrites
    const repeated =
      change &&
      (await withBalancer(balancer, installed, fleet, [change], async front => unharmed(await killOnly(fleet, front))))
    return [
      `200 sessions, ${outcome.requests} requests, 0 lost`,
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
  if (outcome.wrong.length > 0) throw new Error(`${outcome.wrong.join(', ')} ${JSON.stringify(outcome)}`)
  return outcome
}

async function inTurn(balancer: Balancer, installed: Installed): Promise<string> {
  return withFleet(fleet =>
    withBalancer(balancer, installed, fleet, [], async front => {
      const { requests, errors, ...old } = await roundRobin(front, ROUND_ROBIN_SESSIONS, ROUND_ROBIN_MS)
      return (
        `${ROUND_ROBIN_SESSIONS} sessions in turn over 3 nodes, ${requests} requests, ${errors} errors;` +
        ` ${old.staleReads} stale reads, ${old.lostWrites} writes overwritten, ${old.lostSessions} sessions not found`
      )
    }),
  )
}

async function withFleet<T>(run: (fleet: Fleet) => Promise<T>): Promise<T> {
  const fleet = new Fleet(NODES, 'applied')
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
  fleet: Fleet,
  changes: readonly (readonly [from: string, to: string])[],
  run: (front: RunningBalancer) => Promise<T>,
): Promise<T> {
  const ports = fleet.nodes.map(node => node.httpPort)
  const front = await RunningBalancer.start(balancer, installed, ports, changes)
  try {
    return await run(front)
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error)
    throw new Error(`${said}\n${front.output}`)
  } finally {
    await front.stop()
  }
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
    options: { 'round-robin': { type: 'boolean', default: false } },
  })
  process.exitCode = (await main(positionals, values['round-robin'])) ? 0 : 1
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
