import { SimNetwork, type SimNetworkOptions } from './sim-network.js'
import type { SimHost } from './sim-process.js'
import { createSimRuntime, type SimRuntime } from './sim-runtime.js'
import { Simulator } from './simulator.js'

/** What a member is started with. */
export interface Launch {
  /** As given to `SimCluster.start`. */
  readonly name: string
  /** Time, randomness and network of this life; hand it on, as option `runtime`. */
  readonly runtime: SimRuntime
  /** 1 at the first start of this name. */
  readonly life: number
}

/** How a simulated cluster is set up. */
export interface SimClusterOptions<Node> {
  /** Everything random follows from it. */
  readonly seed: string | number
  /** Delays, loss and limits of the network. Default: a calm one. */
  readonly network?: SimNetworkOptions
  /** Starts one member on its runtime, for instance `({ name, runtime }) => createCluster({ name, runtime })`. */
  readonly launch: (launch: Launch) => Node | Promise<Node>
}

/** One life of a member. */
export interface SimMember<Node> {
  /** The same in all lives. */
  readonly name: string
  /** The machine, which outlives it. */
  readonly host: SimHost
  /** What `launch` was given. */
  readonly runtime: SimRuntime
  /** 1 at the first start of this name. */
  readonly life: number
  /** What `launch` made; undefined until it is done. */
  readonly node: Node | undefined
  /** What became of its process; dead ones stay so. */
  readonly state: 'running' | 'paused' | 'dead'
}

class Life<Node> implements SimMember<Node> {
  readonly name: string
  readonly host: SimHost
  readonly runtime: SimRuntime
  readonly life: number
  node: Node | undefined

  constructor(name: string, host: SimHost, runtime: SimRuntime, life: number) {
    this.name = name
    this.host = host
    this.runtime = runtime
    this.life = life
  }

  get state(): 'running' | 'paused' | 'dead' {
    return this.runtime.process.state
  }
}

/**
 * Several members in one process, on virtual time, from one seed: started, killed, paused, cut off from each other,
 * and with clocks that disagree. Time moves only in `run` and `runUntil`.
 *
 * ```ts
 * const cluster = new SimCluster({ seed: 1, launch: ({ name, runtime }) => createCluster({ name, runtime }) })
 * await cluster.started('a', 'b', 'c')
 * cluster.partition(['a'], ['b', 'c'])
 * await cluster.run(30_000)
 * cluster.heal()
 * ```
 */
export class SimCluster<Node> {
  /** The virtual time under it. */
  readonly sim: Simulator
  /** The hosts and links; for faults finer than those below. */
  readonly network: SimNetwork
  readonly #launch: SimClusterOptions<Node>['launch']
  readonly #hosts = new Map<string, SimHost>()
  readonly #current = new Map<string, Life<Node>>()
  readonly #lives: Life<Node>[] = []

  constructor(options: SimClusterOptions<Node>) {
    this.sim = new Simulator({ seed: options.seed })
    this.network = new SimNetwork(this.sim, options.network)
    this.#launch = options.launch
  }

  /** Every life so far, dead ones included, in the order of their starts. */
  get lives(): readonly SimMember<Node>[] {
    return this.#lives
  }

  /** The present life of every name that is not dead. */
  get members(): readonly SimMember<Node>[] {
    return [...this.#current.values()].filter(life => life.state !== 'dead')
  }

  /** The present or last life of a name. @throws {RangeError} when it was never started */
  member(name: string): SimMember<Node> {
    const life = this.#current.get(name)
    if (life === undefined) throw new RangeError(`No member ${name} was started`)
    return life
  }

  /** What `launch` made for a name's present or last life. @throws {RangeError} when it was not, or not yet, started */
  node(name: string): Node {
    const { node } = this.member(name)
    if (node === undefined) throw new RangeError(`Member ${name} is still starting`)
    return node
  }

  /** The machine of a name; made when first asked for. */
  host(name: string): SimHost {
    let host = this.#hosts.get(name)
    if (host === undefined) this.#hosts.set(name, (host = this.network.addHost(name)))
    return host
  }

  /**
   * Starts a new life of a name. Its node is there once time has moved on; see `started`. When `launch` rejects, `run`
   * does.
   *
   * @throws {RangeError} when the name's last life is not dead
   */
  start(name: string): SimMember<Node> {
    const before = this.#current.get(name)
    if (before !== undefined && before.state !== 'dead') throw new RangeError(`Member ${name} is running`)
    const host = this.host(name)
    if (host.dark) this.network.setDark(host, false)
    const runtime = createSimRuntime(this.sim, this.network, host)
    const life = new Life<Node>(name, host, runtime, (before?.life ?? 0) + 1)
    this.#current.set(name, life)
    this.#lives.push(life)
    const launched = this.#launch({ name, runtime, life: life.life })
    if (launched instanceof Promise) {
      launched.then(
        node => void (life.node = node),
        error => {
          if (life.state !== 'dead') this.sim.fail(error)
        },
      )
    } else life.node = launched
    return life
  }

  /** Starts members and runs until all have been launched; rejects when that takes over 60,000 ms of virtual time. */
  async started(...names: readonly string[]): Promise<Node[]> {
    const lives = names.map(name => this.start(name))
    await this.sim.runUntil(() => lives.every(life => life.node !== undefined), {
      within: 60_000,
      what: 'members start',
    })
    return names.map(name => this.node(name))
  }

  /** kill -9. With `powerLoss` the whole machine goes and nobody is told. */
  crash(name: string, options: { readonly powerLoss?: boolean } = {}): void {
    const life = this.member(name)
    if (options.powerLoss === true) this.network.setDark(life.host, true)
    life.runtime.process.kill()
  }

  /** SIGSTOP: timers and input wait; the system still accepts connections and bytes. */
  pause(name: string): void {
    this.member(name).runtime.process.pause()
  }

  /** SIGCONT: everything that piled up runs at once. */
  resume(name: string): void {
    this.member(name).runtime.process.resume()
  }

  /** Cuts both ways between the two sides; names on neither side keep all their links. */
  partition(side: readonly string[], other: readonly string[]): void {
    this.cut(side, other)
    this.cut(other, side)
  }

  /** Cuts one way only. */
  cut(from: readonly string[], to: readonly string[]): void {
    this.network.cut(
      from.map(name => this.host(name)),
      to.map(name => this.host(name)),
    )
  }

  /** Undoes `cut`. */
  restore(from: readonly string[], to: readonly string[]): void {
    this.network.restore(
      from.map(name => this.host(name)),
      to.map(name => this.host(name)),
    )
  }

  /** Restores every link. */
  heal(): void {
    this.network.heal()
  }

  /** Sets a machine's wall clock off by so much; its monotonic clock does not notice. */
  jumpWallClock(name: string, byMs: number): void {
    this.host(name).wallOffsetMs += byMs
  }

  /** Runs `durationMs` of virtual time. */
  run(durationMs: number): Promise<void> {
    return this.sim.run(durationMs)
  }

  /** Runs until the predicate holds; see `Simulator.runUntil`. */
  runUntil(predicate: () => boolean, options: { readonly within: number; readonly what?: string }): Promise<number> {
    return this.sim.runUntil(predicate, options)
  }
}
