import { setTimeout as delay } from 'node:timers/promises'
import { CLIENTS_AT_ONCE, CounterClient, disconnect } from './counter-client.js'

const RETRIES_MAX = 20
const CONVERGED_WITHIN_MS = 10_000

/** What to do, and with how many. */
export interface RoundRobinOptions {
  readonly sessions: number
  readonly requests: number
  /** Where to send requests, one after the other, on 127.0.0.1. */
  readonly ports: readonly number[]
  /** The nodes themselves, for the look at the end. */
  readonly nodePorts: readonly number[]
}

/** What the clients saw. All of `wrong` must be 0. */
export interface RoundRobinOutcome {
  readonly requests: number
  readonly writes: number
  readonly seconds: number
  /** Answers that said themselves that they are stale; the clients asked again. */
  readonly flagged: number
  readonly wrong: {
    /** Reads that showed less, or more, than their client had written, and did not say so. */
    readonly staleReads: number
    /** Writes that were based on anything but their client's last write, and did not say so. */
    readonly lostUpdates: number
    /** Requests that failed, or were stale again and again. */
    readonly errors: number
    /** Sessions of which some node shows, in the end, anything but the clients' own counts. */
    readonly sessionsThatDiffer: number
  }
}

/**
 * Clients that go from node to node with every request, without a pause and with their cookies, each with a session in
 * which it counts: a write reads n and writes n + 1. So whoever is shown an old state sees it at once.
 */
export async function roundRobin(options: RoundRobinOptions): Promise<RoundRobinOutcome> {
  const { sessions, requests, ports, nodePorts } = options
  const each = Math.ceil(requests / sessions)
  const clients = Array.from({ length: sessions }, (_, index) => new Counter(ports, index))
  const waiting = [...clients]
  const startedAt = performance.now()
  const work = async (): Promise<void> => {
    for (let client = waiting.pop(); client !== undefined; client = waiting.pop()) await client.run(each)
  }
  await Promise.all(Array.from({ length: CLIENTS_AT_ONCE }, work))
  const seconds = (performance.now() - startedAt) / 1_000
  const sessionsThatDiffer = await differing(clients, nodePorts)
  const sum = (of: (client: Counter) => number): number => clients.reduce((total, client) => total + of(client), 0)
  disconnect()
  return {
    requests: sum(client => client.requests),
    writes: sum(client => client.written),
    seconds: Math.round(seconds * 10) / 10,
    flagged: sum(client => client.flagged),
    wrong: {
      staleReads: sum(client => client.staleReads),
      lostUpdates: sum(client => client.lostUpdates),
      errors: sum(client => client.errors),
      sessionsThatDiffer,
    },
  }
}

class Counter {
  requests = 0
  written = 0
  flagged = 0
  staleReads = 0
  lostUpdates = 0
  errors = 0
  readonly #client = new CounterClient()
  readonly #ports: readonly number[]
  #turn: number

  constructor(ports: readonly number[], turn: number) {
    this.#ports = ports
    this.#turn = turn
  }

  async run(requests: number): Promise<void> {
    for (let index = 0; index < requests; index++) {
      try {
        await this.#step(index % 2 === 0)
      } catch {
        this.errors++
      }
    }
  }

  /** The counter as a node shows it that is told the session and nothing else. */
  async look(port: number): Promise<number> {
    return (await this.#client.stranger().ask(port, 'GET')).n
  }

  async #step(writes: boolean): Promise<void> {
    for (let tries = 0; tries < RETRIES_MAX; tries++) {
      const port = this.#ports[this.#turn++ % this.#ports.length] as number
      this.requests++
      const { n, stale } = await this.#client.ask(port, writes ? 'POST' : 'GET')
      if (stale) {
        this.flagged++
        continue
      }
      const expected = this.written + (writes ? 1 : 0)
      if (n !== expected && writes) this.lostUpdates++
      else if (n !== expected) this.staleReads++
      if (writes) this.written++
      return
    }
    throw new Error('Stale again and again')
  }
}

/** How many sessions some node shows otherwise than their client counted, once they had time to converge. */
async function differing(clients: readonly Counter[], ports: readonly number[]): Promise<number> {
  let left = [...clients]
  for (const deadline = performance.now() + CONVERGED_WITHIN_MS; ; await delay(200)) {
    const still: Counter[] = []
    for (const client of left) {
      const shown = await Promise.all(ports.map(port => client.look(port)))
      if (shown.some(n => n !== client.written)) still.push(client)
    }
    left = still
    if (left.length === 0 || performance.now() > deadline) return left.length
  }
}
