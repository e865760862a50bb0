import { randomBytes, randomInt } from 'node:crypto'
import type { MemberReply, Order } from './member-process.js'
import { MemberProcess, QUANTILES } from './member-process.js'
import type { EchoMemberConfig } from './peers/echo-member.js'
import type { ReplicationMemberConfig } from './replication-member.js'

/** Processes that replicate among themselves; the first writes, the others are counted. */
export interface Group {
  readonly members: readonly MemberProcess[]
  /** CPU of a process that takes no orders, such as a server. */
  readonly extraCpuMs?: () => number
}

export const KINDS = ['raw', 'delta', 'map', 'set', 'get', 'echo'] as const
export const ACKS = ['none', 'received', 'applied'] as const

/**
 * What is written. `raw`: messages of the channel; `delta`: session deltas; `map`: puts; `set`, `get`: commands; `echo`:
 * messages over a bare socket.
 */
export interface Load {
  readonly kind: (typeof KINDS)[number]
  readonly bytes: number
  readonly ack: (typeof ACKS)[number]
  readonly writers: number
}

/** What one run found. */
export interface Measured {
  readonly perSecond: number
  readonly p50Ms: number | null
  readonly p99Ms: number | null
  readonly p999Ms: number | null
  readonly cpuSecondsPerMillion: number
  readonly peakMiB: number
  readonly inversions: number
  readonly short: number
  /** Waits in ms at QUANTILES. */
  readonly waits: readonly number[]
}

/** How long the measured part and the warm-up before it write; draining comes on top. */
export interface Duration {
  readonly ms: number
  readonly warmUpMs: number
  /** The warm-up before the first load of a kind: all of us run on machines that compile as they go. */
  readonly firstWarmUpMs: number
}

/** One run: warm up, drain, begin to count, write, drain. Rates are of what the slowest receiver has, drain included. */
export async function measure(group: Group, load: Load, duration: Duration): Promise<Measured> {
  const { members, extraCpuMs = () => 0 } = group
  const { ms } = duration
  const warmUpMs = isWarm(group, load) ? duration.warmUpMs : duration.firstWarmUpMs
  const [writer, ...others] = members
  if (!writer) throw new Error('There is no writer')
  const order: Order = { ...load }
  await writer.ask('prepare', { writers: load.writers })
  const settle = async (count: number): Promise<MemberReply[]> =>
    await Promise.all(others.map(member => member.ask('settle', { kind: load.kind, count })))
  const askAll = async (op: string): Promise<MemberReply[]> => await Promise.all(members.map(member => member.ask(op)))
  if (warmUpMs > 0) {
    await askAll('begin')
    const { count = 0 } = await writer.ask('write', { ...order, ms: warmUpMs })
    await settle(count)
  }
  const before = sum((await askAll('begin')).map(({ cpuMs }) => cpuMs)) + extraCpuMs()
  const { startedAt = 0, endedAt = 0, count = 0, short = 0, waits = [] } = await writer.ask('write', { ...order, ms })
  const settled = await settle(count)
  const reports = await askAll('report')
  const cpuMs = sum(reports.map(it => it.cpuMs)) + extraCpuMs() - before
  const applied = Math.min(count, ...settled.map(it => it.count ?? 0))
  const elapsedMs = Math.max(1, Math.max(endedAt, ...settled.map(it => it.endedAt ?? 0)) - startedAt)
  return {
    perSecond: Math.round((applied * 1_000) / elapsedMs),
    p50Ms: waits[QUANTILES.indexOf(0.5)] ?? null,
    p99Ms: waits[QUANTILES.indexOf(0.99)] ?? null,
    p999Ms: waits[QUANTILES.indexOf(0.999)] ?? null,
    cpuSecondsPerMillion: Math.round((cpuMs * 10_000) / Math.max(1, applied)) / 10,
    peakMiB: Math.max(...reports.map(it => it.peakMiB ?? 0)),
    inversions: sum(settled.map(it => it.inversions ?? 0)),
    short: short + sum(settled.map(it => Math.max(0, count - (it.count ?? 0)))),
    waits,
  }
}

/** Our own members in processes of their own, found by multicast on the loopback interface. */
export async function ourGroup(groups: Groups, nodes: number): Promise<Group> {
  const shared = {
    group: `bench-${randomBytes(6).toString('hex')}`,
    multicastPort: randomInt(20_000, 30_000),
    receiverPort: randomInt(25_000, 30_000),
  }
  const members: MemberProcess[] = []
  const group = groups.add({ members })
  for (let index = 0; index < nodes; index++) {
    const config: ReplicationMemberConfig = { name: `bench${index}`, ...shared }
    const member = MemberProcess.node('replication-member', config, config.name)
    members.push(member)
    await member.reply('ready')
  }
  return group
}

/** Two processes with a connection and nothing else: what asking and being answered takes by itself. */
export async function echoGroup(groups: Groups): Promise<Group> {
  const port = randomInt(25_000, 30_000)
  const members: MemberProcess[] = []
  const group = groups.add({ members })
  for (const role of ['answers', 'asks'] as const) {
    const config: EchoMemberConfig = { role, port }
    const member = MemberProcess.node('peers/echo-member', config, role)
    members.unshift(member)
    await member.reply('ready')
  }
  return group
}

/** Groups to be ended together, whatever happened. */
export class Groups {
  readonly #groups: Group[] = []

  add<G extends Group>(group: G): G {
    this.#groups.push(group)
    return group
  }

  async end(): Promise<void> {
    await Promise.all(this.#groups.splice(0).flatMap(({ members }) => members.map(member => member.end())))
  }
}

const warmed = new WeakMap<Group, Set<string>>()

/** Whether this group has carried a load of the kind before; from now on it has. */
function isWarm(group: Group, { kind, ack }: Load): boolean {
  const known = warmed.get(group) ?? new Set()
  warmed.set(group, known)
  const name = `${kind} ${ack === 'none' ? 'unacknowledged' : 'acknowledged'}`
  if (known.has(name)) return true
  known.add(name)
  return false
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
