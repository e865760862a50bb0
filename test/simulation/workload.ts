import type { SendReceipt } from '../../lib/channel/topic.js'
import { MAX_INACTIVE, type RecordKey, type WriteOptions } from '../../lib/replication/replica-contract.js'
import type { SimRandom } from '../../lib/testing/sim-random.js'
import { CAUSE } from './checkers/causality.js'
import type { Pace } from './pace.js'
import type { SimNode } from './sim-node.js'
import { type Checker, dotName, type IssuedWrite, type World } from './world.js'

const RECORDS_MAX = 60
const SHORT_LIFE_MAX_MS = 100
/** Records in use to the end, of members that live. */
const PINS_MAX = 12

/** Users of the members: they create, write, read and write on, remove, log out, stay away, and some stay to the end. */
export class Workload {
  readonly #world: World
  readonly #random: SimRandom
  readonly #checkers: readonly Checker[]
  readonly #everyMs: number
  readonly #pace: Pace
  /** Records that are used once more and then left alone. */
  readonly #left = new Set<RecordKey>()
  #running = true

  constructor(world: World, random: SimRandom, checkers: readonly Checker[], pace: Pace) {
    this.#pace = pace
    this.#world = world
    this.#random = random
    this.#checkers = checkers
    this.#everyMs = random.chance(0.7) ? random.between(5, 60) : random.between(60, 300)
    this.#operate()
    this.#use()
  }

  /** No more operations; records in use stay in use. */
  stop(): void {
    this.#running = false
  }

  #operate(): void {
    const { sim } = this.#world.cluster
    sim.schedule(this.#random.between(1, 2 * this.#everyMs), 'operation', '', () => {
      if (!this.#running) return
      const ready = this.#active()
      if (ready.length > 0) this.#operation(this.#random.pick(ready))
      this.#operate()
    })
  }

  #use(): void {
    this.#world.cluster.sim.schedule(this.#pace.useEveryMs, 'use', '', () => {
      for (const node of this.#active()) {
        for (const [key, id] of this.#world.pins) {
          if (id !== node.id || !node.replica.has(key)) continue
          this.#touch(node, key)
        }
      }
      this.#use()
    })
  }

  #active(): SimNode[] {
    return this.#world.cluster.members.flatMap(({ node, state }) =>
      state === 'running' && node?.replica.ready === true ? [node] : [],
    )
  }

  #operation(node: SimNode): void {
    const { replica } = node
    const random = this.#random
    const keys = [...replica.keys()].filter(key => !this.#left.has(key))
    const roll = random.fraction()
    if (keys.length === 0 || (roll < 0.18 && keys.length < RECORDS_MAX)) return this.#create(node)
    const key = random.pick(keys)
    if (roll < 0.28) {
      this.#world.count('touch')
      return this.#touch(node, key)
    }
    if (roll < 0.36) return this.#invalidate(node, key)
    this.#write(node, key)
  }

  #create(node: SimNode): void {
    const random = this.#random
    const writes = new Map([
      ['a', this.#value()],
      ['b', this.#value()],
    ])
    const expires = random.chance(0.8)
    const seconds = random.between(...this.#pace.maxInactiveMs) / 1_000
    if (expires) writes.set(MAX_INACTIVE, Buffer.from(String(seconds)))
    const names = [...writes.keys()]
    const issued = this.#issue(node, names, 'create', false, send => node.replica.create(writes, send))
    if (issued === undefined) return
    if (expires) this.#world.maxInactiveMs.set(issued.key, 1_000 * seconds)
    if (random.chance(0.15)) return this.#end(issued.key, node)
    if (!expires) return
    const roll = random.fraction()
    if (roll < 0.35) this.#pin(issued.key, node)
    else if (roll < 0.65) this.#leave(issued.key, seconds * 1_000)
  }

  /** Logged out as soon as logged in: others may hear of the end first. */
  #end(key: RecordKey, node: SimNode): void {
    this.#world.cluster.sim.schedule(this.#random.between(0, SHORT_LIFE_MAX_MS), 'use', '', () => {
      const running = this.#world.lifeOf(node)
      if (this.#running && running.node === node && running.state === 'running') this.#invalidate(node, key)
    })
  }

  #pin(key: RecordKey, user: SimNode): void {
    const { pins } = this.#world
    if ([...pins.values()].filter(id => this.#world.isLive(id)).length < PINS_MAX) pins.set(key, user.id)
  }

  /** Read once more somewhere, and then no more: whether it expires too early hangs on that one use. */
  #leave(key: RecordKey, maxInactiveMs: number): void {
    const random = this.#random
    this.#left.add(key)
    this.#world.cluster.sim.schedule(random.between(0, maxInactiveMs), 'use', '', () => {
      const holders = this.#active().filter(({ replica }) => replica.has(key))
      if (!this.#running || holders.length === 0) return
      const reader = random.pick(holders)
      this.#world.count('late use')
      this.#touch(reader, key)
      if (random.chance(0.2)) this.#pin(key, reader)
    })
  }

  #touch(node: SimNode, key: RecordKey): void {
    node.replica.touch(key)
    this.#world.used(key, node.id)
  }

  #write(node: SimNode, key: RecordKey): void {
    const random = this.#random
    const { replica } = node
    const roll = random.fraction()
    const writes = new Map<string, Uint8Array | undefined>()
    const read = replica.stamp(key, 'a')
    if (roll < 0.25 && read !== undefined) writes.set(CAUSE, Buffer.from(dotName(read.origin, read.seq)))
    else if (roll < 0.5) writes.set('a', this.#value()).set('b', this.#value())
    else if (roll < 0.7) writes.set(`x${random.between(0, 2)}`, random.chance(0.5) ? undefined : this.#value())
    else writes.set('a', this.#value())
    this.#issue(node, [...writes.keys()], 'write', false, send => replica.write(key, writes, send))
  }

  #invalidate(node: SimNode, key: RecordKey): void {
    if (this.#world.pins.has(key) || !node.replica.has(key)) return
    this.#world.invalidated.add(key)
    this.#issue(node, [], 'invalidate', true, send => node.replica.invalidate(key, send))
  }

  #issue(
    node: SimNode,
    names: readonly string[],
    kind: string,
    invalidates: boolean,
    run: (send: WriteOptions) => ReturnType<SimNode['replica']['write']>,
  ): IssuedWrite | undefined {
    const world = this.#world
    const random = this.#random
    const ack = random.pick(['none', 'none', 'received', 'applied', 'applied'] as const)
    let write: IssuedWrite | undefined
    let early: SendReceipt | undefined
    const judge = (receipt: SendReceipt): void => {
      if (write === undefined) return void (early = receipt)
      world.count(`${kind} ${ack} ${receipt.outcome}`)
      world.mark(`receipt ${receipt.outcome}`)
      if (ack !== 'applied') return
      for (const checker of this.#checkers) checker.settled?.(write, receipt, node, world)
      if (receipt.outcome !== 'met' || receipt.wanted === 0 || invalidates) return
      const { origin, seq } = write.dot
      const holders = world.nodes.filter(({ replica }) => replica.seen(origin, seq)).map(({ id }) => id)
      world.acked.push({ write, holders: new Set(holders) })
    }
    const copies = random.chance(0.3) ? ('all' as const) : random.between(1, Math.max(1, world.live.length - 1))
    const issued = run(ack === 'none' ? {} : { ack, copies, timeoutMs: random.between(200, 2_000), settled: judge })
    if (ack === 'none') world.count(`${kind} none`)
    if (issued === undefined) return undefined
    if (!invalidates) world.used(issued.key, node.id)
    write = world.issued(issued, names, invalidates)
    if (early !== undefined) judge(early)
    // A local change is told before the delta has a name here: look again now that it has.
    if (!invalidates)
      for (const checker of this.#checkers)
        checker.changed?.(node, { kind: 'changed', key: issued.key, cause: 'local', names: [] }, world)
    return write
  }

  #value(): Uint8Array {
    return this.#random.bytes(this.#random.chance(0.05) ? 600 : 6)
  }
}
