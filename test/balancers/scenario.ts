import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { audit } from '../../examples/demo/audit.js'
import type { Fleet, NodeHandle } from '../../examples/demo/fleet.js'
import { Load } from '../../examples/demo/load.js'
import { type CartState, ROUTE_COOKIE } from '../../examples/demo/protocol.js'
import { within } from '../../examples/demo/within.js'
import { allStarted, LOAD } from '../helpers/demo-clients.js'
import type { Balancer } from './balancer.js'
import type { RunningBalancer } from './running-balancer.js'

const SESSIONS = 200
const STEADY_MS = 1_500
/** So long the node gets requests and answers none, before it is killed: there is something under way to be lost. */
const FROZEN_MS = 150
const DOWN_MS = 2_000
const BACK_WITHIN_MS = 15_000
const MOVED_WITHIN_MS = 10_000
/** Two checks of a second each, and what is under way. */
const DRAIN_MS = 3_000
const FAILOVER_WITHIN_MS = 10_000

/** What happened to the clients while their node died, came back and was stopped as planned. */
export interface Outcome {
  readonly requests: number
  /**
   * The longest answer before the kill, in milliseconds. Beyond a balancer's patience with a check, about a second, it sends
   * clients of a node that lives elsewhere, to the one that is killed too: then the machine was too busy to tell anything.
   */
  readonly longestMs: number
  /** Clients of the killed node, and their requests under way when it died. */
  readonly owned: number
  readonly doomed: number
  readonly writeErrors: number
  readonly readErrors: number
  /** From the kill to the first answer for one of its clients. */
  readonly failoverMs: number | undefined
  /** From its new start's end to the balancer's first request for it. */
  readonly backMs: number
  /** Clients that were served by the restarted node. */
  readonly movedBack: number
  /** Errors while a node drained, left and came back. */
  readonly plannedErrors: number
  /** Why requests failed, and how often. */
  readonly reasons: Readonly<Record<string, number>>
  /** The first of them, one by one. */
  readonly failures: readonly string[]
  /** What must not be; empty if all is well. */
  readonly wrong: readonly string[]
}

/** Three nodes that run, with a load on them; one is killed and started again, then another is stopped as planned. */
export async function killRestartAndDrain(fleet: Fleet, front: RunningBalancer, balancer: Balancer): Promise<Outcome> {
  const load = new Load(front.port, SESSIONS, LOAD)
  load.start()
  try {
    await allStarted(load)
    await delay(STEADY_MS)
    const victim = busiest(fleet, load)
    const owned = ownedBy(load, victim)
    const before = load.figures.clientErrors
    const longestMs = load.figures.longestDirectMs
    const failoverMs = await killInMidLoad(fleet, load, victim)
    await delay(DOWN_MS)
    await fleet.start(victim.name)
    const backMs = await servesAgain(front.port, victim.name)
    const { doomed, doomedWriteErrors, doomedReadErrors, clientErrors } = load.figures
    const staleBefore = load.figures.staleReads
    const movedBack = await movedTo(load, victim)
    const errorsBefore = load.figures.clientErrors
    const stillThere = await plannedStop(fleet, front, load, victim)
    await fleet.start(victim.name)
    await front.putBack()
    await delay(STEADY_MS / 2)
    await load.stop()
    const checked = await audit(fleet.nodes, load.clients)
    const figures = load.figures
    const plannedErrors = figures.clientErrors - errorsBefore
    return {
      requests: figures.requests,
      longestMs,
      owned,
      doomed,
      writeErrors: doomedWriteErrors,
      readErrors: doomedReadErrors,
      failoverMs,
      backMs,
      movedBack,
      plannedErrors,
      reasons: Object.fromEntries(load.reasons),
      failures: load.failures,
      wrong: found({
        'errors before the kill': before,
        'errors beside the requests at the dead node': clientErrors - before - doomedWriteErrors - doomedReadErrors,
        'reads lost with the dead node': balancer.repeatsReads ? doomedReadErrors : 0,
        'errors while all went to the restarted node': errorsBefore - clientErrors,
        'clients left at the node that was to be stopped': balancer.learnsByRefusal ? 0 : stillThere,
        'errors while a node was stopped as planned': plannedErrors,
        'answers of an old state while a node was down': staleBefore,
        'answers of an old state by the restarted node': figures.staleReads - staleBefore,
        'sessions lost': figures.lostSessions + checked.lostSessions,
        'acknowledged writes lost': figures.lostWrites + checked.lostWrites,
        'sessions whose copies differ': checked.unequal,
        'clients that were not moved to the restarted node': movedBack < SESSIONS * 0.9 ? SESSIONS - movedBack : 0,
        'clients of the dead node that nobody served in time': failoverMs === undefined ? owned : 0,
        'requests too few at the dead node to mean anything': doomed === 0 ? 1 : 0,
      }),
    }
  } finally {
    await load.stop()
  }
}

/** Kills the busiest node once, with the balancer changed to repeat writes: no client may notice. */
export async function killOnly(
  fleet: Fleet,
  { port }: RunningBalancer,
): Promise<Pick<Outcome, 'doomed' | 'failures' | 'wrong'>> {
  const load = new Load(port, SESSIONS, LOAD)
  load.start()
  try {
    await allStarted(load)
    await delay(STEADY_MS / 2)
    const victim = busiest(fleet, load)
    await killInMidLoad(fleet, load, victim)
    await delay(DOWN_MS / 2)
    await load.stop()
    const survivors = fleet.up.map(name => fleet.node(name))
    const checked = await audit(survivors, load.clients)
    const { doomed, clientErrors, staleReads, lostSessions, lostWrites } = load.figures
    return {
      doomed,
      failures: load.failures,
      wrong: found({
        'errors although writes are repeated': clientErrors,
        'answers of an old state': staleReads,
        'sessions lost': lostSessions + checked.lostSessions,
        'acknowledged writes lost': lostWrites + checked.lostWrites,
        'sessions whose copies differ': checked.unequal,
      }),
    }
  } finally {
    await load.stop()
  }
}

async function killInMidLoad(fleet: Fleet, load: Load, victim: NodeHandle): Promise<number | undefined> {
  const { child } = victim
  if (!child) throw new Error(`${victim.name} does not run`)
  fleet.freeze(victim.name)
  await delay(FROZEN_MS)
  load.doom(victim.name)
  const exit = once(child, 'exit')
  const killedAt = fleet.kill(victim.name)
  const failover = load.failover(victim.name, killedAt)
  await exit
  load.spare()
  return within(FAILOVER_WITHIN_MS, failover)
}

/**
 * As a rolling restart does it: not ready first, then time for the balancer to notice, then the end.
 *
 * @returns How many clients the balancer had not moved away in time.
 */
async function plannedStop(fleet: Fleet, front: RunningBalancer, load: Load, node: NodeHandle): Promise<number> {
  fleet.drain(node.name)
  await front.takeOut(node.httpPort)
  await delay(DRAIN_MS)
  const stillThere = ownedBy(load, node)
  await fleet.leave(node.name)
  await delay(STEADY_MS / 2)
  return stillThere
}

/** Milliseconds until a request with the node's route reaches it through the balancer. */
async function servesAgain(port: number, name: string): Promise<number> {
  for (const startedAt = Date.now(); ; ) {
    const headers = { cookie: `${ROUTE_COOKIE}=${name}` }
    const response = await fetch(`http://127.0.0.1:${port}/session`, { headers })
    const state = response.ok ? ((await response.json()) as CartState) : undefined
    if (state?.node === name) return Date.now() - startedAt
    if (Date.now() - startedAt > BACK_WITHIN_MS) throw new Error(`The balancer does not send anything to ${name}`)
    await delay(100)
  }
}

/**
 * Has all clients served by this node, but does not wait for ever; how many were. Said more than once: a node that has
 * just started may keep the balancer waiting for so long that it sends some elsewhere, where they are bound anew.
 */
async function movedTo(load: Load, node: NodeHandle): Promise<number> {
  for (const deadline = Date.now() + MOVED_WITHIN_MS; Date.now() < deadline; await delay(100)) {
    load.moveTo(node.name)
    if (ownedBy(load, node) === load.clients.length) break
  }
  return ownedBy(load, node)
}

function busiest(fleet: Fleet, load: Load): NodeHandle {
  return fleet.nodes.reduce((most, node) => (ownedBy(load, node) > ownedBy(load, most) ? node : most))
}

function ownedBy(load: Load, node: NodeHandle): number {
  return load.clients.filter(client => client.lastNode === node.name).length
}

function found(counts: Readonly<Record<string, number>>): string[] {
  return Object.entries(counts).flatMap(([what, count]) => (count > 0 ? [`${count} ${what}`] : []))
}
