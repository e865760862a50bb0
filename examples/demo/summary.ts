import type { AuditResult } from './audit.js'
import type { LoadFigures } from './load.js'
import type { DemoOptions } from './options.js'

/** What one kill and restart took, in milliseconds; undefined: it was not seen in time. */
export interface Outage {
  readonly node: string
  /** From the kill to the last survivor's notice. */
  readonly detectMs: number | undefined
  /** From the kill to the first answer for a client of the dead node. */
  readonly failoverMs: number | undefined
  /** From the call of `createCluster` to joined, with the sessions. */
  readonly resyncMs: number | undefined
  /** The same from the start of the process. */
  readonly resyncFromForkMs: number | undefined
}

/** What one freeze and thaw took, in milliseconds. */
export interface Freeze {
  /** The longest answer of the other nodes meanwhile. */
  readonly longestOtherMs: number
  /** How long the thawed node held requests back until it had caught up, and how often it gave up. */
  readonly fencedMs: number
  readonly fenceTimeouts: number
}

/** The summary as `--json` prints it. */
export interface Summary {
  readonly nodes: number
  readonly sessions: number
  readonly requests: number
  readonly clientErrors: number
  readonly lostSessions: number
  readonly lostWrites: number
  readonly detectMs?: number | undefined
  readonly failoverMs?: number | undefined
  readonly resyncMs?: number | undefined
  readonly resyncFromForkMs?: number | undefined
  readonly detect?: { readonly kills: number; readonly p50: number; readonly p99: number; readonly max: number }
  readonly freeze?: Freeze
  readonly unequalCopies: number
  readonly settledMs?: number | undefined
}

/** Puts the figures together. With several outages, the times are the worst ones. */
export function summarize(
  nodes: number,
  sessions: number,
  load: LoadFigures,
  outages: readonly Outage[],
  checked: AuditResult,
  freeze?: Freeze,
): Summary {
  const detects = defined(outages.map(outage => outage.detectMs)).sort((a, b) => a - b)
  return {
    nodes,
    sessions,
    requests: load.requests,
    clientErrors: load.clientErrors,
    // What a client found missing is not looked for again.
    lostSessions: load.lostSessions + checked.lostSessions,
    lostWrites: load.lostWrites + checked.lostWrites,
    detectMs: worst(outages.map(outage => outage.detectMs)),
    failoverMs: worst(outages.map(outage => outage.failoverMs)),
    resyncMs: worst(outages.map(outage => outage.resyncMs)),
    resyncFromForkMs: worst(outages.map(outage => outage.resyncFromForkMs)),
    ...(detects.length > 1 && {
      detect: { kills: outages.length, p50: rank(detects, 0.5), p99: rank(detects, 0.99), max: rank(detects, 1) },
    }),
    ...(freeze && { freeze }),
    unequalCopies: checked.unequal,
    settledMs: checked.settledMs,
  }
}

/** Whether everything the clients were told is there, on every node, and every copy is the same. */
export function allKept(summary: Summary): boolean {
  return summary.lostSessions + summary.lostWrites + summary.unequalCopies === 0
}

/** The summary in plain words. */
export function inWords(summary: Summary, options: DemoOptions, outages: readonly Outage[]): string {
  const kept = allKept(summary)
  const killed = outages.map(outage => outage.node).join(', ')
  return [
    '',
    options.freeze
      ? `${summary.sessions} clients used ${summary.nodes} servers while one slept for 12 seconds.`
      : `${summary.sessions} clients used ${summary.nodes} servers while ${killed} was killed and started again.`,
    `They sent ${summary.requests} requests; ${summary.clientErrors} ended in an error.`,
    kept
      ? 'Every write a client was told is saved is on every server, and all copies are equal.'
      : `LOST: ${summary.lostSessions} sessions, ${summary.lostWrites} acknowledged writes; ${summary.unequalCopies} sessions differ.`,
    ...(options.ack === 'none'
      ? ['With --ack none a write does not wait for a copy: a kill may lose the last ones.']
      : []),
    ...outageWords(summary),
    ...(summary.freeze
      ? [
          `The longest answer of the other servers took ${summary.freeze.longestOtherMs} ms.`,
          `Awake again, it caught up in ${summary.freeze.fencedMs} ms, and only then served its clients.`,
        ]
      : []),
    '',
  ].join('\n')
}

function outageWords(summary: Summary): string[] {
  const words: string[] = []
  const { detectMs, failoverMs, resyncMs, resyncFromForkMs, detect } = summary
  if (detectMs !== undefined) words.push(`The others noticed after ${detectMs} ms.`)
  if (detect)
    words.push(
      `Over ${detect.kills} kills: half within ${detect.p50} ms, 99 % within ${detect.p99} ms, all within ${detect.max} ms.`,
    )
  if (failoverMs !== undefined)
    words.push(`The first client of the dead server was served elsewhere after ${failoverMs} ms.`)
  if (resyncMs !== undefined) {
    words.push(
      `Started again, it had all sessions ${resyncMs} ms after it began to join (${resyncFromForkMs} ms after its start).`,
    )
  }
  return words
}

/** The value below which the share `p` of the sorted values lies (nearest rank). */
function rank(sorted: readonly number[], p: number): number {
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(p * sorted.length) - 1))] ?? 0
}

function worst(values: readonly (number | undefined)[]): number | undefined {
  const known = defined(values)
  return known.length === 0 || known.length < values.length ? undefined : Math.max(...known)
}

function defined(values: readonly (number | undefined)[]): number[] {
  return values.filter(value => value !== undefined)
}
