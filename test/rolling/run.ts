import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { audit } from '../../examples/demo/audit.js'
import { Fleet } from '../../examples/demo/fleet.js'
import { Load } from '../../examples/demo/load.js'
import { type CartState, ROUTE_COOKIE } from '../../examples/demo/protocol.js'
import type { DrainReport } from '../../lib/index.js'
import { allStarted, LOAD } from '../helpers/demo-clients.js'
import { type Front, startFront } from './front.js'
import { buildOld, NoHistoryError } from './old-build.js'
import { beginVisits, endVisits, held, type Visit } from './sessions.js'

/** The last commit of the wire that `test/golden/0.1` keeps. */
const OLD_COMMIT = '5721073'
const NODES = ['node1', 'node2', 'node3']
const VISITS = 30
/** Two checks of HAProxy, a second each, and what is under way. */
const GRACE_MS = 3_000
const BACK_WITHIN_MS = 10_000

const usage = `npm run rolling -- [--versions] [--balancer haproxy|demo] [--sessions N]
  Restarts three servers one by one, by drain and a new process, under load. One line of JSON; status 1 if a client
  saw an error, or a session or an acknowledged write is missing anywhere.
  --versions  from the build of an earlier release to this one and back, one server at a time
  --balancer  what stands in front (default: HAProxy if it is installed, else the demo's)
  --sessions  clients, each with its own session (default 200)`

/** What a node runs. Undefined: this build. */
type Program = string | undefined

/** What the roll from one build to another looked like from outside. */
interface Roll {
  readonly to: 'this' | 'old'
  readonly ms: number
  /** As the drained nodes reported; nothing from builds that cannot. */
  readonly drains: readonly DrainReport[]
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      versions: { type: 'boolean', default: false },
      balancer: { type: 'string' },
      sessions: { type: 'string', default: '200' },
    },
  })
  const { balancer } = values
  if (balancer !== undefined && balancer !== 'haproxy' && balancer !== 'demo') throw new Error(usage)
  const sessions = Number(values.sessions)
  if (!Number.isInteger(sessions) || sessions < 1 || sessions > 5_000) throw new Error(usage)
  if (!values.versions) return roll([undefined, undefined], sessions, balancer)
  try {
    const old = await buildOld(OLD_COMMIT)
    return await roll([old, undefined, old], sessions, balancer)
  } catch (error) {
    if (!(error instanceof NoHistoryError)) throw error
    console.log(`SKIP ${error.message}`)
    return true
  }
}

/** Starts all nodes with the first program and rolls them to each of the next ones. */
async function roll(
  programs: readonly Program[],
  sessions: number,
  balancer: 'haproxy' | 'demo' | undefined,
): Promise<boolean> {
  const startedAt = Date.now()
  const fleet = new Fleet(NODES, 'applied')
  endWith(fleet)
  let front: Front | undefined
  let load: Load | undefined
  try {
    for (const name of NODES) await fleet.start(name, programs[0])
    front = await startFront(fleet, balancer)
    load = new Load(front.port, sessions, LOAD)
    load.start()
    await allStarted(load)
    const kept: Visit[] = [...(await beginVisits(front.port, VISITS))]
    const ended: Visit[] = []
    const rolls: Roll[] = []
    for (const program of programs.slice(1)) {
      const rolled = await rollTo(program, fleet, front.port, async () => {
        // Begun and ended amid the roll, when both builds are there.
        const visits = await beginVisits((front as Front).port, VISITS)
        kept.push(...visits.slice(VISITS / 2))
        ended.push(...visits.slice(0, VISITS / 2))
        await endVisits((front as Front).port, visits.slice(0, VISITS / 2))
      })
      rolls.push(rolled)
    }
    await load.stop()
    const checked = await audit(fleet.nodes, load.clients)
    const keptHeld = await held(fleet.nodes, kept)
    const endedHeld = await held(fleet.nodes, ended)
    const { figures, reasons } = load
    const violations = found({
      errors: figures.clientErrors,
      staleReads: figures.staleReads,
      lostSessions: figures.lostSessions + checked.lostSessions,
      lostWrites: figures.lostWrites + checked.lostWrites,
      unequalCopies: checked.unequal,
      lostIdleSessions: kept.length - Math.min(...keptHeld),
      revivedSessions: Math.max(...endedHeld),
      undelivered: rolls.flatMap(({ drains }) => drains).reduce((sum, report) => sum + report.undelivered, 0),
      connectionsCut: rolls.flatMap(({ drains }) => drains).reduce((sum, report) => sum + report.connectionsCut, 0),
    })
    const result = {
      balancer: front.name,
      sessions,
      idleSessions: kept.length,
      endedSessions: ended.length,
      requests: figures.requests,
      rolls: rolls.map(({ to, ms, drains }) => ({ to, ms, handOverMs: drains.map(report => report.handOverMs) })),
      ms: Date.now() - startedAt,
      reasons: Object.fromEntries(reasons),
      violations,
    }
    console.log(JSON.stringify(result))
    return Object.keys(violations).length === 0
  } finally {
    await load?.stop()
    await front?.stop()
    await fleet.stop()
  }
}

/** One node after the other: drain, a new process, requests again. `amid` runs when the first has changed. */
async function rollTo(program: Program, fleet: Fleet, port: number, amid: () => Promise<void>): Promise<Roll> {
  const startedAt = Date.now()
  const drains: DrainReport[] = []
  const note = (_name: string, report: DrainReport): void => void drains.push(report)
  fleet.on('drained', note)
  for (const [index, name] of NODES.entries()) {
    fleet.drain(name, GRACE_MS)
    await delay(GRACE_MS)
    // A build of today leaves by itself now; earlier ones wait to be told.
    await fleet.leave(name)
    await fleet.start(name, program)
    await servesAgain(port, name)
    if (index === 0) await amid()
  }
  fleet.off('drained', note)
  return { to: program === undefined ? 'this' : 'old', ms: Date.now() - startedAt, drains }
}

/** Resolves when a request with the node's route reaches it through the balancer. */
async function servesAgain(port: number, name: string): Promise<void> {
  for (const deadline = Date.now() + BACK_WITHIN_MS; ; ) {
    const headers = { cookie: `${ROUTE_COOKIE}=${name}`, connection: 'close' }
    const response = await fetch(`http://127.0.0.1:${port}/session`, { headers })
    const state = response.ok ? ((await response.json()) as CartState) : undefined
    if (state?.node === name) return
    if (Date.now() > deadline) throw new Error(`The balancer does not send anything to ${name}`)
    await delay(100)
  }
}

function found(counts: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0))
}

function endWith(fleet: Fleet): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      fleet.killAll()
      process.exit(1)
    })
  }
}

try {
  process.exitCode = (await main()) ? 0 : 1
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
