import { setTimeout as delay } from 'node:timers/promises'
import { audit } from './audit.js'
import { Fleet } from './fleet.js'
import { Load } from './load.js'
import { type DemoOptions, parseOptions, usage } from './options.js'
import { freezeAndThaw, killAndRestart } from './scenario.js'
import { allKept, type Freeze, inWords, type Outage, type Summary, summarize } from './summary.js'
import { View } from './view.js'

const NODES = ['node1', 'node2', 'node3']
const STARTED_WITHIN_MS = 15_000
const WARM_MS = 3_000

/** Three servers, a balancer, many clients; one server dies and comes back. */
async function main(options: DemoOptions): Promise<void> {
  const fleet = new Fleet(NODES, options.ack)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      fleet.killAll()
      process.exit(signal === 'SIGINT' ? 130 : 143)
    })
  }
  try {
    const summary = await run(fleet, options)
    if (options.exit) process.exitCode = allKept(summary) ? 0 : 1
    else await stayUp(fleet)
  } finally {
    await fleet.stop()
  }
}

async function run(fleet: Fleet, options: DemoOptions): Promise<Summary> {
  await fleet.startBalancer()
  for (const name of NODES) await fleet.start(name)
  const load = new Load(fleet.balancerPort, options.sessions)
  const view = new View(fleet, load)
  view.say(`http://127.0.0.1:${fleet.balancerPort}/ - ${options.sessions} clients begin`)
  load.start()
  let outages: readonly Outage[] = []
  let freeze: Freeze | undefined
  try {
    await allStarted(load)
    await delay(WARM_MS)
    if (options.freeze) freeze = await freezeAndThaw(fleet, load, view)
    else outages = await killAndRestart(fleet, load, view, options.kills)
    view.say('The clients stop')
    await load.stop()
    view.say('Every server is asked for every session')
    const checked = await audit(fleet.nodes, load.clients)
    const summary = summarize(NODES.length, options.sessions, load.figures, outages, checked, freeze)
    view.stop()
    console.log(inWords(summary, options, outages))
    for (const [reason, count] of load.reasons) console.log(`Errors: ${count} x ${reason}`)
    if (options.json) console.log(JSON.stringify(summary, (_, value) => value ?? null))
    return summary
  } finally {
    // Also when something failed: clients that go on asking would keep the process alive for ever.
    await load.stop()
    view.stop()
  }
}

async function allStarted(load: Load): Promise<void> {
  const deadline = Date.now() + STARTED_WITHIN_MS
  while (load.started < load.clients.length) {
    if (Date.now() > deadline) throw new Error(`Only ${load.started} clients got a session in ${STARTED_WITHIN_MS} ms`)
    await delay(100)
  }
}

/** Keeps the page alive and does what its buttons ask for, until Ctrl-C. */
async function stayUp(fleet: Fleet): Promise<void> {
  console.log(`The page: http://127.0.0.1:${fleet.balancerPort}/ (Ctrl-C ends everything)`)
  const isNode = (name: string): boolean => NODES.includes(name)
  fleet.on('kill', name => {
    if (isNode(name)) fleet.kill(name)
  })
  fleet.on('start', name => {
    if (!isNode(name)) return
    fleet.start(name).catch((error: unknown) => console.error(error instanceof Error ? error.message : error))
  })
  await new Promise(() => {})
}

// Whoever read our output is gone, and so nobody is left to end us.
process.stdout.once('error', () => process.exit(1))

try {
  await main(parseOptions(process.argv.slice(2)))
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  console.error(usage)
  process.exitCode = 1
}
