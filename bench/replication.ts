import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { BenchCommand, BenchMemberConfig, BenchReply } from './replication-member.js'

/** One line of the result. */
export interface ReplicationRow {
  readonly nodes: number
  readonly bytes: number
  readonly ack: 'none' | 'received' | 'applied'
  readonly writers: number
  /** Deltas per second, counted when the slowest peer has applied them. */
  readonly deltasPerSecond: number
  /** What a writer waited, in milliseconds; undefined for `none`. */
  readonly p50Ms: number | undefined
  readonly p99Ms: number | undefined
  /** CPU seconds of all processes for a million deltas. */
  readonly cpuSecondsPerMillion: number
  /** Receipts that were not met. */
  readonly short: number
}

const RUN_MS = 1_000
const REPLY_WITHIN_MS = 30_000

/** How much is measured. */
export interface ReplicationPlan {
  readonly nodes: readonly number[]
  readonly bytes: readonly number[]
  readonly acks: readonly ReplicationRow['ack'][]
  readonly writers: readonly number[]
}

/** Everything the benchmark covers: about two minutes. */
export const fullPlan: ReplicationPlan = {
  nodes: [2, 3, 4],
  bytes: [64, 1_024, 16_384],
  acks: ['none', 'received', 'applied'],
  writers: [1, 32],
}

/** One process of the cluster under test. */
class Peer {
  readonly #child: ChildProcess
  cpuMs = 0

  constructor(config: BenchMemberConfig) {
    this.#child = fork(fileURLToPath(new URL('replication-member.js', import.meta.url)), [JSON.stringify(config)])
    process.once('exit', () => this.end())
  }

  async reply(): Promise<BenchReply> {
    const [reply] = (await once(this.#child, 'message', { signal: AbortSignal.timeout(REPLY_WITHIN_MS) })) as [
      BenchReply,
    ]
    this.cpuMs = reply.cpuMs
    return reply
  }

  ask(command: BenchCommand): Promise<BenchReply> {
    this.#child.send(command)
    return this.reply()
  }

  end(): void {
    this.#child.kill('SIGKILL')
  }
}

/** Measures real processes on the loopback interface, one after the other, each for about a second. */
export async function replication(
  plan: ReplicationPlan,
  told: (row: ReplicationRow) => void,
): Promise<ReplicationRow[]> {
  const rows: ReplicationRow[] = []
  for (const nodes of plan.nodes) {
    const peers = await cluster(nodes)
    try {
      for (const bytes of plan.bytes) {
        for (const ack of plan.acks) {
          for (const writers of plan.writers) {
            const row = await measure(peers, { nodes, bytes, ack, writers })
            rows.push(row)
            told(row)
          }
        }
      }
    } finally {
      for (const peer of peers) peer.end()
    }
  }
  return rows
}

async function cluster(nodes: number): Promise<Peer[]> {
  const shared = {
    group: `bench-${randomBytes(6).toString('hex')}`,
    multicastPort: randomInt(20_000, 30_000),
    receiverPort: randomInt(20_000, 30_000),
  }
  const peers: Peer[] = []
  for (let index = 0; index < nodes; index++) {
    const peer = new Peer({ name: `bench${index}`, ...shared })
    peers.push(peer)
    await peer.reply()
  }
  return peers
}

type Case = Pick<ReplicationRow, 'nodes' | 'bytes' | 'ack' | 'writers'>

async function measure(peers: readonly Peer[], wanted: Case): Promise<ReplicationRow> {
  const [writer, ...others] = peers
  if (!writer) throw new Error('There is no writer')
  const { ids = [] } = await writer.ask({ op: 'create', sessions: wanted.writers })
  await writer.ask({ op: 'write', ids, bytes: wanted.bytes, ack: 'applied', ms: 200 })
  await delay(50)
  await Promise.all(peers.map(peer => peer.ask({ op: 'begin' })))
  const cpuBefore = sum(peers.map(peer => peer.cpuMs))
  const written = await writer.ask({ op: 'write', ids, bytes: wanted.bytes, ack: wanted.ack, ms: RUN_MS })
  const { startedAt = 0, last = [], waits = [], short = 0 } = written
  const settled = await Promise.all(others.map(peer => peer.ask({ op: 'settle', last })))
  await writer.ask({ op: 'create', sessions: 0 })
  const applied = Math.min(...settled.map(reply => reply.applied ?? 0))
  const elapsedMs = Math.max(...settled.map(reply => reply.settledAt ?? 0)) - startedAt
  const cpuMs = sum(peers.map(peer => peer.cpuMs)) - cpuBefore
  return {
    ...wanted,
    deltasPerSecond: Math.round((applied * 1_000) / elapsedMs),
    p50Ms: rank(waits, 0.5),
    p99Ms: rank(waits, 0.99),
    cpuSecondsPerMillion: Math.round((cpuMs * 1_000) / Math.max(1, applied)),
    short,
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

function rank(sorted: readonly number[], p: number): number | undefined {
  const value = sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)]
  return value === undefined ? undefined : Math.round(value * 1_000) / 1_000
}
