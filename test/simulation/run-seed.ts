import type { RecordKey } from '../../lib/replication/replica-contract.js'
import type { ReplicationRules } from '../../lib/replication/replication-rules.js'
import { type Launch, SimCluster } from '../../lib/testing/sim-cluster.js'
import { frames } from '../../lib/wire/frame-space.js'
import { channelStack } from './channel-stack.js'
import { ackedLoss } from './checkers/acked-loss.js'
import { atomicDelta } from './checkers/atomic-delta.js'
import { bounded } from './checkers/bounded.js'
import { causality } from './checkers/causality.js'
import { convergence, disagreement } from './checkers/convergence.js'
import { expiryHappens } from './checkers/expiry-happens.js'
import { expiryInUse } from './checkers/expiry-in-use.js'
import { honestEvidence } from './checkers/honest-evidence.js'
import { membership, wrongView } from './checkers/membership.js'
import { monotonicReads } from './checkers/monotonic-reads.js'
import { resurrection } from './checkers/resurrection.js'
import { vanish } from './checkers/vanish.js'
import { Faults } from './faults.js'
import { markCounters } from './marks.js'
import { drawPace, drawWindowBytes, type Pace, type PaceName } from './pace.js'
import { replicaStack } from './replica-stack.js'
import type { NodeSetup, NodeStack, SimNode, StackName } from './sim-node.js'
import { Workload } from './workload.js'
import { type Checker, Violation, World } from './world.js'

/** What one seed came to. */
export interface SeedResult {
  readonly seed: number
  readonly virtualMs: number
  readonly events: number
  readonly trace: string
  readonly lives: number
  readonly healMs: number
  /** What the seed drew for the replicas. */
  readonly settings: string
  readonly faults: ReadonlyMap<string, number>
  readonly operations: ReadonlyMap<string, number>
  readonly marks: ReadonlyMap<string, number>
  readonly expired: number
  readonly ackedChecked: number
  readonly violation: { readonly invariant: string; readonly detail: string } | undefined
}

// Memory of frames is written over all the time, so that whoever sends what is no longer there is noticed.
frames.chunkBytes = 4_096

const HEAL_LIMIT_MS = 30_000
/** Longest maxInactive of the workload, slack, the wait of every rank, and rounds that are repeated. */
const IDLE_LIMIT_MS = 60_000

/** Runs one seed to its end or its first violation. `broken`: replication rules switched off. `pace`: drawn if left out. */
export async function runSeed(
  seed: number,
  stack: StackName,
  broken: Partial<ReplicationRules> = {},
  pace?: PaceName,
): Promise<SeedResult> {
  const run = new SeedRun(seed, stack, broken, pace)
  return run.result()
}

/** Invariant 14: what a member writes now, whatever befell it, reaches all others. */
function lost(written: readonly RecordKey[], { live }: World): string | undefined {
  for (const key of written) {
    for (const { name, replica } of live) if (!replica.has(key)) return `${name} lacks ${key}, written at the end`
  }
  return undefined
}

class SeedRun {
  readonly #seed: number
  readonly #world: World
  readonly #checkers: readonly Checker[]
  readonly #faults: Faults
  readonly #names: readonly string[]
  readonly #faultsMs: number
  readonly #pace: Pace
  readonly #settings: string
  #healMs = 0

  constructor(seed: number, stack: StackName, broken: Partial<ReplicationRules>, wanted: PaceName | undefined) {
    this.#seed = seed
    const windowBytes = drawWindowBytes(seed)
    const cluster: SimCluster<SimNode> = new SimCluster<SimNode>({
      seed,
      network: { limits: { windowBytes } },
      launch: launch => this.#launch(launch, setup),
    })
    const world = new World(cluster)
    const random = cluster.sim.random.fork('run')
    this.#world = world
    this.#names = ['a', 'b', 'c', 'd', 'e'].slice(0, random.between(3, 5))
    const pace = drawPace(random, wanted)
    this.#pace = pace
    this.#faultsMs = random.between(...pace.faultsMs)
    const replica = { ...pace.replica, rules: broken }
    world.retires = replica.retireOriginAfterMs! < 10_000 && replica.forgetMemberAfterMs! > 10_000
    this.#settings = JSON.stringify({ pace: pace.name, members: this.#names.length, windowBytes, ...replica })
    this.#checkers = [
      convergence(),
      ackedLoss(),
      resurrection(),
      vanish(),
      atomicDelta(),
      causality(),
      honestEvidence(),
      monotonicReads(),
      expiryInUse(pace),
      expiryHappens(),
      membership(),
      bounded(replica),
    ]
    this.#faults = new Faults(world, cluster.sim.random.fork('faults'), this.#names, pace)
    const setup: NodeSetup = {
      replica,
      pace,
      now: () => cluster.sim.now,
      messages: this.#faults.messages,
      random: cluster.sim.random.fork('messages'),
      mark: (name, times) => cluster.sim.mark(name, times),
      changed: (node, change) => {
        const { kind, reason, cause, key } = change
        const isIssued = kind === 'removed' && reason === 'expired' && cause === 'local'
        if (isIssued) world.expires(key, node)
        for (const checker of this.#checkers) checker.changed?.(node, change, world)
      },
    }
    const ground = { sim: cluster.sim, network: cluster.network, nodes: new Map() }
    this.#stack = stack === 'replica' ? replicaStack(ground) : channelStack()
  }

  readonly #stack: NodeStack

  #launch(launch: Launch, setup: NodeSetup): SimNode | Promise<SimNode> {
    const launched = this.#stack(launch, setup)
    if (launched instanceof Promise) {
      return launched.then(node => {
        this.#world.nodes.push(node)
        return node
      })
    }
    this.#world.nodes.push(launched)
    return launched
  }

  async result(): Promise<SeedResult> {
    let violation: SeedResult['violation']
    try {
      await this.#run()
    } catch (error) {
      const invariant = error instanceof Violation ? error.invariant : 'error'
      violation = { invariant, detail: error instanceof Violation ? error.message : String((error as Error).stack) }
    }
    const world = this.#world
    const { sim } = world.cluster
    markCounters(world)
    return {
      seed: this.#seed,
      virtualMs: sim.now,
      events: sim.events,
      trace: sim.trace,
      lives: world.nodes.length,
      healMs: this.#healMs,
      settings: this.#settings,
      faults: this.#faults.injected,
      operations: world.operations,
      marks: sim.marks,
      expired: world.expired.size,
      ackedChecked: world.acked.length,
      violation,
    }
  }

  async #run(): Promise<void> {
    const world = this.#world
    const { cluster } = world
    const { sim } = cluster
    for (const name of this.#names) cluster.start(name)
    await sim.runUntil(() => world.live.length === this.#names.length && world.live.every(node => node.replica.ready), {
      within: 30_000,
      what: 'everybody is ready',
    })
    const workload = new Workload(world, sim.random.fork('workload'), this.#checkers, this.#pace)
    this.#sample()
    await sim.run(1_000)
    this.#faults.start()
    await sim.run(this.#faultsMs)
    this.#faults.stop()
    await sim.run(sim.random.between(0, 2_000))
    workload.stop()
    this.#healMs = await this.#agreed(() => wrongView(world) ?? disagreement(world), '1 convergence')
    for (const checker of this.#checkers) checker.quiet?.(world)
    await this.#agreed(() => this.#notIdle(), '10 expiry happens')
    await this.#agreed(() => disagreement(world), '1 convergence')
    for (const checker of this.#checkers) checker.quiet?.(world)
    const written = world.live.map(({ replica }) => replica.create(new Map()).key)
    await this.#agreed(() => lost(written, world), '14 writable')
  }

  async #agreed(problem: () => string | undefined, invariant: string): Promise<number> {
    const { sim } = this.#world.cluster
    const startMs = sim.now
    const limitMs = invariant.startsWith('10') ? IDLE_LIMIT_MS : HEAL_LIMIT_MS
    for (;;) {
      const found = problem()
      if (found === undefined) return sim.now - startMs
      if (sim.now - startMs > limitMs) throw new Violation(invariant, `${found} after ${limitMs} ms of quiet`)
      await sim.run(250)
    }
  }

  #notIdle(): string | undefined {
    try {
      for (const checker of this.#checkers) checker.idle?.(this.#world)
      return undefined
    } catch (error) {
      if (error instanceof Violation && /^(10|13) /.test(error.invariant)) return error.message
      throw error
    }
  }

  #sample(): void {
    this.#world.cluster.sim.schedule(this.#pace.sampleMs, 'sample', '', () => {
      const { live, now, absences, closings } = this.#world
      absences.observe(live, now, this.#pace.replica.forgetMemberAfterMs!)
      closings.observe(live, now)
      for (const checker of this.#checkers) checker.sample?.(this.#world)
      this.#sample()
    })
  }
}
