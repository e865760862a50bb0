import { type IntervalHistogram, monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks'
import { type Cluster, createCluster } from '../lib/index.js'
import { type LoopbackGroup, loopbackOptions } from './loopback.js'
import { createSessions, type SessionShape, SteadyWriter } from './sessions.js'
import { serve, sharedNow } from './worker.js'

/** Orders to a member; the replica runs with --expose-gc. */
export interface MemoryOrders {
  join(config: { readonly name: string; readonly group: LoopbackGroup }): Promise<void>
  create(config: { readonly shape: SessionShape; readonly keep: number }): Promise<string[]>
  write(config: { readonly ids: readonly string[]; readonly perSecond: number }): void
  rest(): { short: number; written: number }
  sessions(): number
  /** After a full collection. */
  memory(): MemoryFigures
  /** Watches for pauses from here on. */
  watch(): void
  pauses(): Pauses
}

/** Bytes. */
export interface MemoryFigures {
  readonly heap: number
  readonly external: number
  readonly resident: number
}

/** Since `watch`, in milliseconds. */
export interface Pauses {
  /** The longest the event loop did not turn. */
  readonly longestMs: number
  readonly longestGcMs: number
  readonly gcMs: number
}

/** How finely the event loop is watched. */
const WATCH_MS = 1

let cluster: Cluster | undefined
let writer: SteadyWriter | undefined
let delays: IntervalHistogram | undefined
let gcs: number[] = []
const observer = new PerformanceObserver(list => {
  for (const { duration } of list.getEntries()) gcs.push(duration)
})

serve<MemoryOrders>({
  async join({ name, group }) {
    cluster = await createCluster(loopbackOptions(name, group))
  },
  create: ({ shape, keep }) => createSessions(joined(), shape, keep),
  write({ ids, perSecond }) {
    writer = new SteadyWriter(joined(), ids, perSecond, sharedNow)
  },
  rest() {
    writer?.stop()
    const { short = 0, written = 0 } = writer?.waits(0, Infinity) ?? {}
    return { short, written }
  },
  sessions: () => joined().sessions.size,
  memory() {
    // Twice: what the first collection finalizes, the second frees.
    global.gc?.()
    global.gc?.()
    const { heapUsed, external, rss } = process.memoryUsage()
    return { heap: heapUsed, external, resident: rss }
  },
  watch() {
    delays?.disable()
    delays = monitorEventLoopDelay({ resolution: WATCH_MS })
    delays.enable()
    gcs = []
    observer.observe({ entryTypes: ['gc'] })
  },
  pauses() {
    delays?.disable()
    observer.disconnect()
    return {
      longestMs: (delays?.max ?? 0) / 1_000_000,
      longestGcMs: gcs.reduce((longest, ms) => Math.max(longest, ms), 0),
      gcMs: gcs.reduce((sum, ms) => sum + ms, 0),
    }
  },
})

function joined(): Cluster {
  if (cluster === undefined) throw new Error('Not joined')
  return cluster
}
