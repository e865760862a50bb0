import { cpus } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type Bench,
  type BenchOptions,
  type BenchResult,
  find,
  medianRows,
  percentile,
  type Row,
  ratio,
  type Target,
} from './bench.js'
import type { LoopWatched } from './loop-watch.js'
import { type LoopbackGroup, loopbackGroup } from './loopback.js'
import type { SessionShape, SteadyWriter } from './sessions.js'
import type { Joined, Pouring, TransferOrders } from './transfer-member.js'
import { Worker } from './worker.js'

const SHAPES: readonly SessionShape[] = [
  { sessions: 10_000, bytes: 1_024, attributes: 1 },
  { sessions: 10_000, bytes: 1_024, attributes: 10 },
  { sessions: 100_000, bytes: 1_024, attributes: 1 },
  { sessions: 1_000, bytes: 65_536, attributes: 1 },
]
const QUICK_SHAPES: readonly SessionShape[] = [{ sessions: 500, bytes: 1_024, attributes: 10 }]
const LIVE_PER_SECOND = 2_000
const LIVE_SESSIONS = 100
const BEFORE_MS = 2_000
/** A bare socket is over before it has begun with less. */
const BARE_BYTES = 268_435_456
const MIB = 1_048_576
/** A newcomer draws its donor; so many try until it is the one that does not write. */
const DRAWS_MAX = 20

type Member = Worker<TransferOrders>
type Waits = ReturnType<SteadyWriter['waits']>

/** How fast a newcomer gets the sessions, and what the others notice of it. */
export const transfer: Bench = {
  name: 'transfer',
  title: 'State transfer to a newcomer while 2,000 deltas/s go on',
  describe:
    'Two members hold the sessions, one of them writes 2,000 acknowledged deltas a second to 100 of them, and a third ' +
    'process joins and takes the state from the one that does not write. transfer: from the first piece of state read ' +
    'until ready; join: from the call of createCluster() ' +
    'until it resolves. bare: one Node socket between the same two processes in writes as large as a piece of state, at ' +
    'least 256 MiB, the deltas going on. floor: over such a socket, into a Map in a freshly started process: the least ' +
    'that still is a copy of these sessions. MiB are those of the attribute values. CPU per session: of the newcomer ' +
    'during the transfer, of the floor while it received, of the others during the whole join, live deltas included. ' +
    'p99 before and during: the wait for a live delta that one member has applied, and for one that all have received, ' +
    'the newcomer among them. late: how late timers fire in the donor and the newcomer (event loop, p99), and pauses of ' +
    'their garbage collectors. CPU share: of the three members during the transfer, of the cores there are.',
  measures: [
    { key: 'mibPerSecond', title: 'transfer', unit: 'MiB/s', better: 'more' },
    { key: 'perSecond', title: 'sessions', unit: '1/s', better: 'more' },
    { key: 'bareMibPerSecond', title: 'bare socket', unit: 'MiB/s', better: 'more' },
    { key: 'share', title: 'of bare', unit: 'x', better: 'more' },
    { key: 'floorMibPerSecond', title: 'floor', unit: 'MiB/s', better: 'more' },
    { key: 'floorShare', title: 'of floor', unit: 'x', better: 'more' },
    { key: 'floorCpuUs', title: 'floor per session', unit: 'µs CPU', better: 'less' },
    { key: 'newcomerCpuUs', title: 'newcomer per session', unit: 'µs CPU', better: 'less' },
    { key: 'holdersCpuUs', title: 'the others per session', unit: 'µs CPU', better: 'less' },
    { key: 'transferMs', title: 'transfer', unit: 'ms', better: 'less' },
    { key: 'joinMs', title: 'join', unit: 'ms', better: 'less' },
    { key: 'wireRatio', title: 'read / values', unit: 'x', better: 'less' },
    { key: 'beforeP99Ms', title: 'live p99 before', unit: 'ms', better: 'less' },
    { key: 'duringP99Ms', title: 'live p99 during', unit: 'ms', better: 'less' },
    { key: 'floorP99Ms', title: 'live p99 during floor', unit: 'ms' },
    { key: 'duringMaxMs', title: 'live max during', unit: 'ms', better: 'less' },
    { key: 'beforeAllP99Ms', title: 'to all p99 before', unit: 'ms', better: 'less' },
    { key: 'duringAllP99Ms', title: 'to all p99 during', unit: 'ms', better: 'less' },
    { key: 'donorBeforeP99Ms', title: 'donor late before', unit: 'ms', better: 'less' },
    { key: 'donorP99Ms', title: 'donor late', unit: 'ms', better: 'less' },
    { key: 'newcomerP99Ms', title: 'newcomer late', unit: 'ms', better: 'less' },
    { key: 'donorGcMs', title: 'donor GC', unit: 'ms', better: 'less' },
    { key: 'newcomerGcMs', title: 'newcomer GC', unit: 'ms', better: 'less' },
    { key: 'donorFullGcs', title: 'donor full GCs', unit: '', better: 'less' },
    { key: 'newcomerFullGcs', title: 'newcomer full GCs', unit: '', better: 'less' },
    { key: 'cpuShare', title: 'CPU share', unit: 'x' },
  ],
  charts: [
    {
      title: 'Sessions taken over per second',
      kind: 'bars',
      x: 'sessions',
      series: ['bytes', 'attributes'],
      y: 'perSecond',
    },
  ],
  run,
}

async function run({ quick, passes, pickNumbers, progress }: BenchOptions): Promise<BenchResult> {
  const sizes = pickNumbers('sessions')
  const shapes = (quick ? QUICK_SHAPES : SHAPES).filter(shape => sizes?.includes(shape.sessions) ?? true)
  const all: Row[] = []
  for (let pass = 0; pass < passes; pass++) {
    for (const shape of shapes) {
      progress(`transfer of ${shape.sessions} sessions of ${shape.bytes} B, pass ${pass + 1}`)
      all.push(await measure(shape, quick ? 300 : BEFORE_MS, quick ? BARE_BYTES / 16 : BARE_BYTES))
    }
  }
  const rows = medianRows(all)
  return { rows, targets: targets(rows) }
}

async function measure(shape: SessionShape, beforeMs: number, bareBytes: number): Promise<Row> {
  const group = loopbackGroup(2 + DRAWS_MAX)
  const workers = [0, 1, 2].map(() => new Worker<TransferOrders>('transfer-member.js'))
  const [holder, writer, first] = workers as [Member, Member, Member]
  let newcomer = first
  try {
    await join(holder, 'holder', group)
    await join(writer, 'writer', group)
    const ids = await holder.ask('create', { shape, keep: LIVE_SESSIONS })
    await newcomer.loaded
    await writer.ask('write', { ids, perSecond: LIVE_PER_SECOND })
    await delay(beforeMs)
    const bareMibPerSecond = await bare(holder, newcomer, Math.max(bareBytes, shape.sessions * shape.bytes))
    const { floorMibPerSecond, floorCpuUs, floored } = await floor(holder, shape)
    for (let draw = 1; draw <= DRAWS_MAX; draw++) {
      await holder.ask('watched', undefined)
      await delay(beforeMs / 2)
      const donorBefore = await holder.ask('watched', undefined)
      await writer.ask('watched', undefined)
      const joined = await join(newcomer, `newcomer${draw}`, group)
      const [donor, other] = await Promise.all([holder.ask('watched', undefined), writer.ask('watched', undefined)])
      if (other.writtenBytes < donor.writtenBytes) {
        await writer.ask('rest', undefined)
        await delay(200)
        const { calledAt, pouringAt, readyAt } = joined
        const before = await writer.ask('waits', { from: calledAt - beforeMs / 2, to: calledAt })
        const during = await writer.ask('waits', { from: pouringAt, to: readyAt })
        const measured = { joined, donorBefore, donor, other, before, during }
        const floorP99Ms = percentile((await writer.ask('waits', floored)).waits, 0.99)
        return rowOf(shape, measured, { bareMibPerSecond, floorMibPerSecond, floorCpuUs, floorP99Ms })
      }
      // The newcomer drew the writer, whose own pauses would count as waits.
      await newcomer.stop()
      newcomer = new Worker<TransferOrders>('transfer-member.js')
      workers.push(newcomer)
      await newcomer.loaded
    }
    throw new Error(`The writer was drawn ${DRAWS_MAX} times`)
  } finally {
    await Promise.all(workers.map(worker => worker.stop()))
  }
}

interface Measured {
  readonly joined: Joined
  readonly donorBefore: LoopWatched
  /** During the whole join. */
  readonly donor: LoopWatched
  readonly other: LoopWatched
  readonly before: Waits
  readonly during: Waits
}

/** Shared milliseconds. */
interface Window {
  readonly from: number
  readonly to: number
}

interface Sockets {
  readonly bareMibPerSecond: number
  readonly floorMibPerSecond: number
  readonly floorCpuUs: number
  readonly floorP99Ms: number | null
}

function rowOf(shape: SessionShape, measured: Measured, sockets: Sockets): Row {
  const { joined, donorBefore, donor, other, before, during } = measured
  const { calledAt, pouringAt, readyAt, sessions, bytes, watched } = joined
  if (sessions < shape.sessions) throw new Error(`${sessions} of ${shape.sessions} sessions came over`)
  const transferMs = readyAt - pouringAt
  const joinMs = readyAt - calledAt
  const values = sessions * shape.bytes
  const mibPerSecond = (values / MIB / transferMs) * 1_000
  return {
    labels: { ...shape },
    values: {
      ...sockets,
      mibPerSecond,
      perSecond: (sessions / transferMs) * 1_000,
      share: ratio(mibPerSecond, sockets.bareMibPerSecond),
      floorShare: ratio(mibPerSecond, sockets.floorMibPerSecond),
      newcomerCpuUs: (watched.cpuMs * 1_000) / sessions,
      holdersCpuUs: ((donor.cpuMs + other.cpuMs) * 1_000) / sessions,
      transferMs,
      joinMs,
      wireRatio: bytes / values,
      beforeP99Ms: percentile(before.waits, 0.99),
      duringP99Ms: percentile(during.waits, 0.99),
      duringMaxMs: during.waits.at(-1) ?? null,
      beforeAllP99Ms: percentile(before.waitsForAll, 0.99),
      duringAllP99Ms: percentile(during.waitsForAll, 0.99),
      donorBeforeP99Ms: donorBefore.loopP99Ms,
      donorP99Ms: donor.loopP99Ms,
      newcomerP99Ms: watched.loopP99Ms,
      donorGcMs: donor.gcMs,
      newcomerGcMs: watched.gcMs,
      donorFullGcs: donor.fullGcs,
      newcomerFullGcs: watched.fullGcs,
      cpuShare: (watched.cpuMs / transferMs + (donor.cpuMs + other.cpuMs) / joinMs) / cpus().length,
    },
    ...(during.short > 0 ? { note: `${during.short} live deltas not acknowledged` } : {}),
  }
}

function join(member: Member, name: string, group: LoopbackGroup): ReturnType<TransferOrders['join']> {
  return member.ask('join', { name, group })
}

/** MiB per second over a plain socket. */
async function bare(from: Member, to: Member, bytes: number): Promise<number> {
  const poured = await pour(from, to, { bytes })
  return (bytes / MIB / (poured.to - poured.from)) * 1_000
}

/** The least that still is a copy of sessions, in a process as cold as a newcomer. */
async function floor(
  from: Member,
  { sessions, bytes }: SessionShape,
): Promise<{ floorMibPerSecond: number; floorCpuUs: number; floored: Window }> {
  const to: Member = new Worker<TransferOrders>('transfer-member.js')
  try {
    await to.loaded
    const cpuBefore = await to.cpuMs()
    const floored = await pour(from, to, { bytes, sessions })
    const cpuMs = (await to.cpuMs()) - cpuBefore
    const floorMibPerSecond = ((sessions * bytes) / MIB / (floored.to - floored.from)) * 1_000
    return { floorMibPerSecond, floorCpuUs: (cpuMs * 1_000) / sessions, floored }
  } finally {
    await to.stop()
  }
}

/** From the first byte until all is there. */
async function pour(from: Member, to: Member, what: Pouring): Promise<Window> {
  const port = await to.ask('listen', what)
  const ended = to.ask('received', undefined)
  const { startedAt } = await from.ask('send', { ...what, port })
  return { from: startedAt, to: (await ended).endedAt }
}

function targets(rows: readonly Row[]): Target[] {
  return rows.flatMap(({ labels, values }): Target[] => {
    const what = `${labels.sessions} sessions of ${labels.bytes} B in ${labels.attributes} attributes`
    const slower = ratio(values.duringP99Ms ?? null, values.beforeP99Ms ?? null)
    const floorSlower = ratio(values.floorP99Ms ?? null, values.beforeP99Ms ?? null)
    const atLeast = labels.bytes === 65_536 ? 0.6 : 0.25
    const most = ratio(values.floorMibPerSecond ?? null, values.bareMibPerSecond ?? null)
    return [
      {
        what: `transfer against a bare socket, ${what}`,
        wanted: { atLeast },
        unit: 'x',
        measured: find(rows, labels, 'share'),
        ...(most !== null && { note: `the floor: ${most.toFixed(2)}` }),
      },
      {
        what: `transfer against the floor, ${what}`,
        wanted: { atLeast },
        unit: 'x',
        measured: find(rows, labels, 'floorShare'),
      },
      {
        what: `p99 of live deltas during against before, ${what}`,
        wanted: { atMost: 2 },
        unit: 'x',
        measured: slower,
        ...(floorSlower !== null && { note: `the floor: ${floorSlower.toFixed(2)}` }),
      },
    ]
  })
}
