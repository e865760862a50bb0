import { InvalidOptionError } from './errors.js'
import { type EndableServer, ServerEnd } from './http/service/server-end.js'
import { checkNames, type RulesOf, resolve, wholeNumber } from './options.js'
import type { HandOverReport } from './replication/hand-over.js'
import type { Clock } from './runtime/runtime.js'

/** How a member is taken out of service. Times are milliseconds. */
export interface DrainOptions {
  /**
   * The application's HTTP servers, or none. From the beginning their replies say `Connection: close`; after the grace
   * they are closed, idle connections first, and what is under way is waited for. Left out: closing them is the
   * application's, and what it writes after this member has left is stored nowhere.
   */
  readonly server?: EndableServer | readonly EndableServer[]
  /**
   * How long to go on serving after readiness has become 503, because balancers notice later than this process.
   * 0 to 600,000; default 5,000.
   */
  readonly graceMs?: number
  /** How long requests under way may take after that, before they are cut. 0 to 600,000; default 10,000. */
  readonly requestTimeoutMs?: number
  /** How long the others may take to get all that is here. 0 to 600,000; default 5,000. */
  readonly handOverTimeoutMs?: number
  /** Cuts all the waiting short when aborted: requests are cut off, what was not handed over is not, and it leaves. */
  readonly signal?: AbortSignal
}

/** How a drain went. Durations are milliseconds. */
export interface DrainReport {
  /** It went on serving. */
  readonly graceMs: number
  /** It waited for requests under way. */
  readonly requestsMs: number
  /** It waited for the others to get what they lacked. */
  readonly handOverMs: number
  /** It said goodbye and stopped. */
  readonly leaveMs: number
  /** Connections still open when `requestTimeoutMs` were over, upgraded ones included. */
  readonly connectionsCut: number
  /** Sessions and map entries (and ends of such) whose newest state no other member is known to have. */
  readonly undelivered: number
  /** Members, by name, that are not known to have everything this one wrote. The others give it to them later. */
  readonly behind: readonly string[]
  /** Whether `signal`, or a `leave` meanwhile, cut the waiting short. */
  readonly aborted: boolean
}

/** Complete and checked. */
export interface ResolvedDrainOptions {
  readonly servers: readonly EndableServer[]
  readonly graceMs: number
  readonly requestTimeoutMs: number
  readonly handOverTimeoutMs: number
  readonly signal: AbortSignal | undefined
}

/** What a drain needs of its cluster. */
export interface DrainParts {
  readonly clock: Clock
  /** Aborted when the member leaves, whoever asked for that. */
  readonly left: AbortSignal
  /** The time of those who would never end by themselves is over. */
  endConnections(): void
  handOver(timeoutMs: number, signal: AbortSignal): Promise<readonly HandOverReport[]>
  leave(): Promise<void>
}

type Times = Pick<ResolvedDrainOptions, 'graceMs' | 'requestTimeoutMs' | 'handOverTimeoutMs'>

const RULES: RulesOf<Times> = {
  graceMs: wholeNumber(5_000, 0, 600_000),
  requestTimeoutMs: wholeNumber(10_000, 0, 600_000),
  handOverTimeoutMs: wholeNumber(5_000, 0, 600_000),
}

/** @throws {InvalidOptionError} which option, what is allowed, what came */
export function resolveDrainOptions(options: DrainOptions = {}): ResolvedDrainOptions {
  checkNames(options, ['server', ...Object.keys(RULES), 'signal'])
  const { server, signal, ...times } = options
  const servers = server === undefined ? [] : Array.isArray(server) ? server : [server]
  for (const each of servers) {
    if (typeof each?.close !== 'function') throw new InvalidOptionError('server', 'an HTTP server, or a list', each)
  }
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') {
    throw new InvalidOptionError('signal', 'an AbortSignal', signal)
  }
  return { ...resolve<Times>(RULES, times), servers, signal }
}

/**
 * Takes a member out of service in the order in which nobody notices. The servers end before the hand-over, and not
 * last, because what a request writes after this member has left would be stored nowhere.
 */
export async function drain(parts: DrainParts, options: ResolvedDrainOptions): Promise<DrainReport> {
  const { clock } = parts
  const cut = AbortSignal.any([parts.left, ...(options.signal === undefined ? [] : [options.signal])])
  const ends = options.servers.map(server => new ServerEnd(server, clock))
  const graceMs = await timed(clock, () => pause(clock, options.graceMs, cut))
  parts.endConnections()
  let connectionsCut = 0
  const requestsMs = await timed(clock, async () => {
    const counts = await Promise.all(ends.map(end => end.close(options.requestTimeoutMs, cut)))
    connectionsCut = counts.reduce((sum, count) => sum + count, 0)
  })
  let reports: readonly HandOverReport[] = []
  const handOverMs = await timed(clock, async () => {
    reports = await parts.handOver(options.handOverTimeoutMs, cut)
  })
  const aborted = cut.aborted
  const leaveMs = await timed(clock, () => parts.leave())
  return {
    graceMs,
    requestsMs,
    handOverMs,
    leaveMs,
    connectionsCut,
    undelivered: reports.reduce((sum, report) => sum + report.undelivered, 0),
    behind: [...new Set(reports.flatMap(report => report.behind))].sort(),
    aborted,
  }
}

async function timed(clock: Clock, run: () => Promise<void>): Promise<number> {
  const startedAt = clock.monotonic()
  await run()
  return Math.round(clock.monotonic() - startedAt)
}

function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (ms === 0 || signal.aborted) return Promise.resolve()
  return new Promise(resolve => {
    const end = (): void => {
      timer.cancel()
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = clock.setTimer(ms, end)
    signal.addEventListener('abort', end, { once: true })
  })
}
