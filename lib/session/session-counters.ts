import type { SessionStats } from './session-manager.js'

/** What a session manager counts while it runs. */
export type SessionCounters = { -readonly [Name in Exclude<keyof SessionStats, 'sessions' | 'local'>]: number }

/** All of them at zero. */
export function noCounts(): SessionCounters {
  return {
    created: 0,
    invalidated: 0,
    expired: 0,
    replaced: 0,
    committed: 0,
    unchanged: 0,
    discarded: 0,
    overtaken: 0,
    merged: 0,
    shortfalls: 0,
    listenerErrors: 0,
    undecodable: 0,
    largeAttributes: 0,
    localDropped: 0,
  }
}
