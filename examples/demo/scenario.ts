import { setTimeout as delay } from 'node:timers/promises'
import type { Fleet } from './fleet.js'
import type { Load } from './load.js'
import type { Freeze, Outage } from './summary.js'
import type { View } from './view.js'
import { within } from './within.js'

const STEADY_MS = 4_000
const DETECT_WITHIN_MS = 10_000
const FAILOVER_WITHIN_MS = 10_000
const DOWN_MIN_MS = 3_000
const FREEZE_MS = 12_000

/** Kills a node in the middle of the load and starts it again, `kills` times, one node after the other. */
export async function killAndRestart(fleet: Fleet, load: Load, view: View, kills: number): Promise<readonly Outage[]> {
  const outages: Outage[] = []
  for (let round = 0; round < kills; round++) {
    const node = fleet.nodes[round % fleet.nodes.length]?.name ?? ''
    outages.push(await killOnce(fleet, load, view, node))
    await delay(kills > 1 ? 1_500 : STEADY_MS)
  }
  return outages
}

async function killOnce(fleet: Fleet, load: Load, view: View, node: string): Promise<Outage> {
  view.say(`${node} gets SIGKILL`)
  const since = Date.now()
  const detected = within(DETECT_WITHIN_MS, noticed(fleet, node, since))
  const failedOver = within(FAILOVER_WITHIN_MS, load.failover(node, since))
  fleet.kill(node)
  const [detectMs, failoverMs] = await Promise.all([detected, failedOver, delay(DOWN_MIN_MS)])
  view.say(`${node} starts again`)
  const started = await fleet.start(node)
  view.say(`${node} is back with ${started.sessions} sessions`)
  return { node, detectMs, failoverMs, resyncMs: started.fromJoinMs, resyncFromForkMs: started.fromForkMs }
}

/** Stops a node for 12 seconds and lets it go on. */
export async function freezeAndThaw(fleet: Fleet, load: Load, view: View): Promise<Freeze> {
  const node = fleet.nodes[0]?.name ?? ''
  view.say(`${node} sleeps for ${FREEZE_MS / 1_000} s`)
  load.resetLongest()
  fleet.freeze(node)
  await delay(FREEZE_MS)
  const longestOtherMs = load.figures.longestDirectMs
  fleet.thaw(node)
  view.say(`${node} goes on`)
  await delay(STEADY_MS)
  const { fencedMs = 0, fenceTimeouts = 0 } = fleet.node(node).status ?? {}
  return { longestOtherMs, fencedMs, fenceTimeouts }
}

/** Milliseconds until every other node that is up has told that `node` is gone. */
function noticed(fleet: Fleet, node: string, since: number): Promise<number> {
  const waiting = new Set(fleet.up.filter(name => name !== node))
  return new Promise(resolve => {
    fleet.on('disappeared', function heard(observer, member, at) {
      if (member !== node || at < since) return
      waiting.delete(observer)
      if (waiting.size > 0) return
      fleet.off('disappeared', heard)
      resolve(at - since)
    })
  })
}
