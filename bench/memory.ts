import { setTimeout as delay } from 'node:timers/promises'
import { type Bench, type BenchOptions, type BenchResult, find, medianRows, type Row } from './bench.js'
import { loopbackGroup } from './loopback.js'
import type { MemoryOrders } from './memory-member.js'
import type { SessionShape } from './sessions.js'
import { sharedNow, Worker } from './worker.js'

interface Case extends SessionShape {
  /** Measured in the first pass only: it takes a minute. */
  readonly once?: boolean
}

const CASES: readonly Case[] = [
  { sessions: 100_000, bytes: 1_024, attributes: 1 },
  { sessions: 100_000, bytes: 1_024, attributes: 10 },
  { sessions: 1_000_000, bytes: 1_024, attributes: 1, once: true },
]
const QUICK_CASES: readonly Case[] = [{ sessions: 1_000, bytes: 1_024, attributes: 1 }]
const LIVE_PER_SECOND = 2_000
const LIVE_SESSIONS = 1_000
const LIVE_MS = 8_000
const MIB = 1_048_576
/** A million sessions must not end at Node's default limit before they are counted. */
const HEAP_MIB = 12_288

/** What a member pays for sessions it only keeps. */
export const memory: Bench = {
  name: 'memory',
  title: 'Memory of a member that keeps sessions it never reads',
  describe:
    'One process creates sessions and writes 2,000 deltas a second to 1,000 of them; the other one, which is measured, ' +
    'only holds the copies. Growth is against the moment it had joined, after full collections. Pause: the longest the ' +
    'event loop did not turn (watched at 1 ms) in 8 s of deltas, without the collections asked for.',
  measures: [
    { key: 'heapMiB', title: 'heap growth', unit: 'MiB', better: 'less' },
    { key: 'externalMiB', title: 'outside the heap', unit: 'MiB', better: 'less' },
    { key: 'residentMiB', title: 'RSS growth', unit: 'MiB', better: 'less' },
    { key: 'heapBytesEach', title: 'heap per session', unit: 'B', better: 'less' },
    { key: 'bytesEach', title: 'heap and outside per session', unit: 'B', better: 'less' },
    { key: 'pauseMs', title: 'longest pause', unit: 'ms', better: 'less' },
    { key: 'gcPauseMs', title: 'longest collection', unit: 'ms', better: 'less' },
    { key: 'fillPauseMs', title: 'longest pause while filling', unit: 'ms', better: 'less' },
    { key: 'fillPerSecond', title: 'filled', unit: '1/s', better: 'more' },
  ],
  charts: [
    { title: 'Heap per session', kind: 'bars', x: 'sessions', series: ['attributes'], y: 'heapBytesEach' },
    { title: 'Longest pause', kind: 'bars', x: 'sessions', series: ['attributes'], y: 'pauseMs' },
  ],
  run,
}

async function run({ quick, passes, pickNumbers, progress }: BenchOptions): Promise<BenchResult> {
  const sizes = pickNumbers('sessions')
  const cases = (quick ? QUICK_CASES : CASES).filter(shape => sizes?.includes(shape.sessions) ?? true)
  const all: Row[] = []
  for (let pass = 0; pass < passes; pass++) {
    for (const { once = false, ...shape } of cases) {
      if (once && pass > 0) continue
      progress(`memory of ${shape.sessions} sessions in ${shape.attributes} attributes, pass ${pass + 1}`)
      all.push(await measure(shape, quick ? 500 : LIVE_MS))
    }
  }
  const rows = medianRows(all)
  const million = { sessions: 1_000_000, bytes: 1_024, attributes: 1 }
  return {
    rows,
    targets: [
      {
        what: 'heap growth at 1,000,000 sessions of 1 KB',
        wanted: { atMost: 400 },
        unit: 'MiB',
        measured: find(rows, million, 'heapMiB'),
      },
      {
        what: 'longest pause at 1,000,000 sessions of 1 KB',
        wanted: { atMost: 100 },
        unit: 'ms',
        measured: find(rows, million, 'pauseMs'),
      },
    ],
  }
}

async function measure(shape: SessionShape, liveMs: number): Promise<Row> {
  const group = loopbackGroup(2)
  const limit = `--max-old-space-size=${HEAP_MIB}`
  const writer = new Worker<MemoryOrders>('memory-member.js', [limit])
  const keeper = new Worker<MemoryOrders>('memory-member.js', [limit, '--expose-gc'])
  try {
    await writer.ask('join', { name: 'writer', group })
    await keeper.ask('join', { name: 'keeper', group })
    const empty = await keeper.ask('memory', undefined)
    await keeper.ask('watch', undefined)
    const startedAt = sharedNow()
    const ids = await writer.ask('create', { shape, keep: LIVE_SESSIONS }, 900_000)
    const filledMs = sharedNow() - startedAt
    const fill = await keeper.ask('pauses', undefined)
    const full = await keeper.ask('memory', undefined)
    await delay(500)
    await keeper.ask('watch', undefined)
    await writer.ask('write', { ids, perSecond: LIVE_PER_SECOND })
    await delay(liveMs)
    const live = await keeper.ask('pauses', undefined)
    const { short, written } = await writer.ask('rest', undefined)
    const sessions = await keeper.ask('sessions', undefined)
    if (sessions !== shape.sessions) throw new Error(`${sessions} of ${shape.sessions} sessions are here`)
    const heap = full.heap - empty.heap
    const external = full.external - empty.external
    const notes = [
      ...(short > 0 ? [`${short} live deltas not acknowledged`] : []),
      ...(written < (liveMs * LIVE_PER_SECOND * 0.95) / 1_000 ? [`only ${written} live deltas`] : []),
    ]
    return {
      labels: { ...shape },
      values: {
        heapMiB: heap / MIB,
        externalMiB: external / MIB,
        residentMiB: (full.resident - empty.resident) / MIB,
        heapBytesEach: heap / sessions,
        bytesEach: (heap + external) / sessions,
        pauseMs: live.longestMs,
        gcPauseMs: live.longestGcMs,
        fillPauseMs: fill.longestMs,
        fillPerSecond: (sessions * 1_000) / filledMs,
      },
      ...(notes.length > 0 ? { note: notes.join('; ') } : {}),
    }
  } finally {
    await Promise.all([writer.stop(), keeper.stop()])
  }
}
