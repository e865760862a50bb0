import { randomBytes } from 'node:crypto'
import { createCluster } from '../lib/index.js'

/** What a member of the benchmark's cluster joins with. */
export interface BenchMemberConfig {
  readonly name: string
  readonly group: string
  readonly multicastPort: number
  readonly receiverPort: number
}

/** One order to a member. */
export type BenchCommand =
  | { readonly op: 'create'; readonly sessions: number }
  | { readonly op: 'begin' }
  | {
      readonly op: 'write'
      readonly ids: readonly string[]
      readonly bytes: number
      readonly ack: 'none' | 'received' | 'applied'
      readonly ms: number
    }
  | { readonly op: 'settle'; readonly last: readonly (readonly [id: string, n: number])[] }

/** One answer. Times are `Date.now()`, CPU is milliseconds since the process began. */
export interface BenchReply {
  readonly op: BenchCommand['op'] | 'ready'
  readonly cpuMs: number
  readonly ids?: readonly string[]
  readonly startedAt?: number
  readonly deltas?: number
  readonly last?: readonly (readonly [id: string, n: number])[]
  /** Milliseconds a writer waited, sorted. */
  readonly waits?: readonly number[]
  readonly settledAt?: number
  readonly applied?: number
  /** Receipts that were not met. */
  readonly short?: number
}

/** What all writers may have under way with `none`; then each waits for one write, so that queues do not overflow. */
const BURST_DELTAS = 1_024
const BURST_BYTES = 2_097_152
const WAITS_MAX = 200_000

type Cluster = Awaited<ReturnType<typeof createCluster>>

/** One process of the benchmark. */
class Member {
  readonly #cluster: Cluster
  #applied = 0
  #check: () => void = () => {}

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    cluster.sessions.on('changed', event => {
      if (event.cause !== 'remote') return
      this.#applied++
      this.#check()
    })
  }

  async run(command: BenchCommand): Promise<Omit<BenchReply, 'op' | 'cpuMs'>> {
    switch (command.op) {
      case 'create':
        return { ids: Array.from({ length: command.sessions }, () => this.#cluster.sessions.create().id) }
      case 'begin':
        this.#applied = 0
        return {}
      case 'write':
        return this.#write(command)
      case 'settle':
        await this.#settle(command.last)
        return { settledAt: Date.now(), applied: this.#applied }
    }
  }

  async #write(command: Extract<BenchCommand, { op: 'write' }>): Promise<Omit<BenchReply, 'op' | 'cpuMs'>> {
    const startedAt = Date.now()
    const until = performance.now() + command.ms
    const value = randomBytes(command.bytes)
    const waits: number[] = []
    const burst = Math.max(1, Math.floor(Math.min(BURST_DELTAS, BURST_BYTES / command.bytes) / command.ids.length))
    let short = 0
    const writer = async (id: string): Promise<readonly [string, number]> => {
      let n = 0
      while (performance.now() < until) {
        n++
        const session = this.#cluster.sessions.find(id)
        if (!session) throw new Error(`Session ${id} is gone`)
        session.set('v', value).set('n', n)
        const pace = command.ack === 'none' && n % burst === 0
        const begun = performance.now()
        const receipt = this.#cluster.sessions.commit(session, {
          ack: pace ? 'applied' : command.ack,
          copies: 'all',
          ackTimeoutMs: 10_000,
        })
        if (command.ack === 'none' && !pace) continue
        const { outcome } = (await receipt) ?? { outcome: 'short' }
        if (outcome !== 'met') short++
        if (command.ack !== 'none' && waits.length < WAITS_MAX) waits.push(performance.now() - begun)
      }
      return [id, n]
    }
    const last = await Promise.all(command.ids.map(writer))
    const deltas = last.reduce((sum, [, n]) => sum + n, 0)
    return { startedAt, deltas, last, waits: waits.sort((a, b) => a - b), short }
  }

  /** Resolves when this member has the last write of every session. */
  #settle(last: readonly (readonly [string, number])[]): Promise<void> {
    const has = ([id, n]: readonly [string, number]): boolean => this.#cluster.sessions.find(id)?.get('n') === n
    return new Promise(resolve => {
      this.#check = () => {
        if (!last.every(has)) return
        this.#check = () => {}
        resolve()
      }
      this.#check()
    })
  }
}

async function main(config: BenchMemberConfig): Promise<void> {
  const cluster = await createCluster({
    name: config.name,
    group: config.group,
    membership: {
      service: 'multicast',
      bind: '127.0.0.1',
      port: config.multicastPort,
      frequency: 200,
      dropTime: 5_000,
    },
    receiver: { address: '127.0.0.1', port: config.receiverPort, autoBind: 100 },
  })
  const member = new Member(cluster)
  const reply = (op: BenchReply['op'], more: Omit<BenchReply, 'op' | 'cpuMs'> = {}): void => {
    const { user, system } = process.cpuUsage()
    process.send?.({ op, cpuMs: (user + system) / 1_000, ...more } satisfies BenchReply)
  }
  process.on('message', (command: BenchCommand) => {
    member.run(command).then(
      more => reply(command.op, more),
      (error: unknown) => {
        console.error(error)
        process.exit(1)
      },
    )
  })
  reply('ready')
}

process.on('disconnect', () => process.exit(0))
await main(JSON.parse(process.argv[2] ?? '{}') as BenchMemberConfig)
