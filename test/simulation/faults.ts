import type { SimRandom } from '../../lib/testing/sim-random.js'
import type { Pace, Span } from './pace.js'
import type { MessageFaults } from './sim-node.js'
import type { World } from './world.js'

/** All kinds of faults a seed may draw. */
export const FAULT_KINDS = [
  'drop',
  'duplicate',
  'reorder',
  'delay',
  'full queue',
  'partition',
  'one-way partition',
  'partial partition',
  'swizzle-clog',
  'crash',
  'power loss',
  'pause',
  'clock offset',
  'clock jump',
  'isolation',
  'absence',
] as const

const CLOCK_OFFSET_MS = 3_000
/** Reordered messages arrive up to so much later than others. */
const HELD_BACK_MAX_MS = 100

export type FaultKind = (typeof FAULT_KINDS)[number]

/**
 * Injects faults: each seed draws a subset of the kinds and its own strength of each (swarm testing), because faults
 * that are all on at once hide each other.
 */
export class Faults {
  readonly messages: MessageFaults = { drop: 0, duplicate: 0, delay: 0, fullQueue: 0 }
  readonly kinds: ReadonlySet<FaultKind>
  readonly injected: Map<FaultKind, number> = new Map()
  readonly #world: World
  readonly #random: SimRandom
  readonly #names: readonly string[]
  readonly #pace: Pace
  readonly #everyMs: number
  readonly #pausedAtMs = new Map<string, number>()
  /** How many faults cut each link now. */
  readonly #cuts = new Map<string, number>()
  readonly #maxDelayMs: number
  #running = false

  constructor(world: World, random: SimRandom, names: readonly string[], pace: Pace) {
    this.#pace = pace
    this.#world = world
    this.#random = random
    this.#names = names
    const share = random.fraction()
    this.kinds = new Set(FAULT_KINDS.filter(() => random.chance(0.2 + 0.6 * share)))
    this.#everyMs = random.between(...pace.faultEveryMs)
    if (this.kinds.has('clock offset'))
      for (const name of names)
        this.#once('clock offset', () =>
          world.cluster.jumpWallClock(name, random.between(-CLOCK_OFFSET_MS, CLOCK_OFFSET_MS)),
        )
    this.#maxDelayMs = random.between(1, 30)
    world.delayMaxMs = this.#maxDelayMs
    world.cluster.network.setQuality({ minDelayMs: 1, maxDelayMs: this.#maxDelayMs })
  }

  start(): void {
    this.#running = true
    const { messages } = this
    const random = this.#random
    const strength = (kind: FaultKind, most: number): number => {
      if (!this.kinds.has(kind)) return 0
      this.#count(kind)
      return random.fraction() * most
    }
    messages.drop = strength('drop', 0.25)
    messages.duplicate = strength('duplicate', 0.2)
    messages.delay = strength('reorder', 0.3)
    messages.fullQueue = strength('full queue', 0.1)
    const slow = strength('delay', 1)
    const maxDelayMs = slow > 0 ? Math.ceil(slow * 200) : this.#maxDelayMs
    this.#world.cluster.network.setQuality({ minDelayMs: 1, maxDelayMs })
    this.#world.delayMaxMs = maxDelayMs + (messages.delay > 0 ? HELD_BACK_MAX_MS : 0)
    this.#world.cluster.network.setQuality({
      loss: messages.drop,
      duplication: messages.duplicate,
      reordering: messages.delay,
    })
    this.#next()
  }

  /** No more faults; everything is restored and everybody runs. */
  stop(): void {
    const { cluster } = this.#world
    this.#running = false
    Object.assign(this.messages, { drop: 0, duplicate: 0, delay: 0, fullQueue: 0 })
    cluster.network.setQuality({ minDelayMs: 1, maxDelayMs: 5, loss: 0, duplication: 0, reordering: 0 })
    this.#cuts.clear()
    cluster.heal()
    for (const name of this.#names) {
      this.#resume(name)
      if (cluster.member(name).state === 'dead') this.#boot(name)
    }
    this.#world.disturbed(this.#names)
  }

  #next(): void {
    this.#world.cluster.sim.schedule(this.#random.between(1, 2 * this.#everyMs), 'fault', '', () => {
      if (!this.#running) return
      const timed = [...this.kinds].filter(kind => this.#actions[kind] !== undefined)
      if (timed.length > 0) {
        const kind = this.#random.pick(timed)
        this.#once(kind, this.#actions[kind] ?? (() => {}))
      }
      this.#next()
    })
  }

  readonly #actions: { readonly [kind in FaultKind]?: () => void } = {
    partition: () => {
      const side = this.#names.filter(() => this.#random.chance(0.5))
      const other = this.#names.filter(name => !side.includes(name))
      this.#cutFor(side, other, true)
    },
    'one-way partition': () => {
      const side = this.#names.filter(() => this.#random.chance(0.5))
      this.#cutFor(
        side,
        this.#names.filter(name => !side.includes(name)),
        false,
      )
    },
    'partial partition': () => {
      const [a = '', b = ''] = this.#random.shuffle(this.#names)
      this.#cutFor([a], [b], true)
    },
    isolation: () => {
      const [alone = '', ...others] = this.#random.shuffle(this.#names)
      this.#cutFor([alone], others, true)
    },
    'swizzle-clog': () => {
      const chosen = this.#random.shuffle(this.#names).slice(0, this.#random.between(1, this.#names.length))
      const rest = (name: string): string[] => this.#names.filter(other => other !== name)
      let atMs = 0
      for (const name of chosen)
        this.#after((atMs += this.#random.between(50, 500)), () => this.#cut([name], rest(name), true))
      for (const name of this.#random.shuffle(chosen))
        this.#after((atMs += this.#random.between(50, 1_000)), () => this.#restore([name], rest(name), true))
    },
    absence: () => {
      const [alone = '', ...others] = this.#random.shuffle(this.#names)
      const idleMs = Math.max(...this.#pace.maxInactiveMs)
      const awayMs = this.#random.between(idleMs, 2 * idleMs)
      this.#cutFor([alone], others, true, awayMs)
      for (const name of others.slice(0, this.#random.between(1, others.length - 1)))
        this.#after(this.#random.between(0, awayMs), () => this.#crash(this.#random.chance(0.3), name))
    },
    crash: () => this.#crash(false),
    'power loss': () => this.#crash(true),
    pause: () => {
      const { cluster } = this.#world
      const name = this.#random.pick(this.#names)
      if (cluster.member(name).state !== 'running') return
      cluster.pause(name)
      this.#world.disturbed([name])
      this.#pausedAtMs.set(name, this.#world.now)
      this.#after(this.#between(this.#random.chance(0.7) ? this.#pace.pauseMs : this.#pace.longPauseMs), () =>
        this.#resume(name),
      )
    },
    'clock jump': () =>
      this.#world.cluster.jumpWallClock(this.#random.pick(this.#names), this.#random.between(-3_600_000, 3_600_000)),
  }

  /** Whoever stood still used nothing meanwhile: what it had in use may rightly expire. */
  #resume(name: string): void {
    const { cluster, pins, now } = this.#world
    const pausedAtMs = this.#pausedAtMs.get(name)
    if (pausedAtMs === undefined) return
    this.#pausedAtMs.delete(name)
    const id = cluster.member(name).node?.id
    if (now - pausedAtMs > this.#pace.useGapMs) for (const [key, user] of [...pins]) if (user === id) pins.delete(key)
    this.#world.disturbed([name])
    this.#world.resumedAtMs.set(name, now)
    cluster.resume(name)
  }

  #crash(powerLoss: boolean, name = this.#random.pick(this.#names)): void {
    const { cluster } = this.#world
    const { state } = cluster.member(name)
    const others = cluster.members.filter(member => member.name !== name && member.node?.replica.ready === true)
    if (state === 'dead' || others.length === 0) return
    cluster.crash(name, { powerLoss })
    this.#after(this.#between(this.#pace.downMs), () => {
      if (cluster.member(name).state === 'dead') this.#boot(name)
    })
  }

  /** A machine that boots sets its clock: a group founded an hour off would rightly be refused by the others. */
  #boot(name: string): void {
    const { cluster } = this.#world
    const host = cluster.host(name)
    host.wallOffsetMs = Math.max(-CLOCK_OFFSET_MS, Math.min(CLOCK_OFFSET_MS, host.wallOffsetMs))
    cluster.start(name)
  }

  #cutFor(
    side: readonly string[],
    other: readonly string[],
    bothWays: boolean,
    forMs: number = this.#between(this.#pace.cutMs),
  ): void {
    this.#cut(side, other, bothWays)
    this.#after(forMs, () => this.#restore(side, other, bothWays))
  }

  #cut(side: readonly string[], other: readonly string[], bothWays: boolean): void {
    this.#world.cluster.cut(side, other)
    for (const link of pairs(side, other)) this.#cuts.set(link, (this.#cuts.get(link) ?? 0) + 1)
    this.#world.disturbed([...side, ...other])
    if (bothWays) this.#cut(other, side, false)
  }

  /** A link that several faults cut is whole again when the last of them ends. */
  #restore(side: readonly string[], other: readonly string[], bothWays: boolean): void {
    for (const from of side) {
      for (const to of other) {
        const [link = ''] = pairs([from], [to])
        const left = (this.#cuts.get(link) ?? 1) - 1
        this.#cuts.set(link, left)
        if (left === 0) this.#world.cluster.restore([from], [to])
      }
    }
    this.#world.disturbed([...side, ...other])
    if (bothWays) this.#restore(other, side, false)
  }

  #between([least, most]: Span): number {
    return this.#random.between(least, most)
  }

  #after(delayMs: number, run: () => void): void {
    this.#world.cluster.sim.schedule(delayMs, 'fault', '', () => {
      if (this.#running) run()
    })
  }

  #once(kind: FaultKind, run: () => void): void {
    this.#count(kind)
    run()
  }

  #count(kind: FaultKind): void {
    this.injected.set(kind, (this.injected.get(kind) ?? 0) + 1)
  }
}

function pairs(side: readonly string[], other: readonly string[]): string[] {
  return side.flatMap(from => other.map(to => `${from}>${to}`))
}
