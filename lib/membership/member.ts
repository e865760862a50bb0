import { Buffer } from 'node:buffer'

/**
 * 16 bytes as 32 hex digits, drawn at every start: a restarted process is a new member with an old name. The first six
 * say when it started, so that ids sort by their start; the rest is random.
 */
export type MemberId = string

/** Random bytes in a member id. */
export const MEMBER_ID_RANDOM_BYTES = 10

const START_DIGITS = 12
const START_MAX_MS = 2 ** 48 - 1

/** The id of a life that starts at `startMs` (milliseconds since the epoch). `random`: MEMBER_ID_RANDOM_BYTES of them. */
export function memberId(startMs: number, random: Uint8Array): MemberId {
  return startDigits(startMs) + Buffer.from(random).toString('hex')
}

/** When a life says it started, in milliseconds since the epoch. Builds up to 0.1 drew ids that say nothing true. */
export function startedAtMs(id: MemberId): number {
  const startMs = Number.parseInt(id.slice(0, START_DIGITS), 16)
  return Number.isNaN(startMs) ? START_MAX_MS : startMs
}

/** Sorts before every id that starts at `startMs` or later, and after all others; `''` for 0. */
export function firstIdAt(startMs: number): MemberId {
  return startMs === 0 ? '' : startDigits(startMs)
}

function startDigits(startMs: number): string {
  const ms = Math.min(Math.max(0, Math.floor(startMs)), START_MAX_MS)
  return ms.toString(16).padStart(START_DIGITS, '0')
}

/** A process in the group. */
export interface Member {
  /** This life of it. */
  readonly id: MemberId
  /** Configured and stable over restarts: letters, digits, `-`, `_`. */
  readonly name: string
  /** Where its ChannelReceiver listens. */
  readonly host: string
  /** 1 to 65,535; of the local member before it listens: the one configured. */
  readonly port: number
}

/** Orders members by name, then id: the same on every member. */
export function compareMembers(a: Member, b: Member): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1
  if (a.id !== b.id) return a.id < b.id ? -1 : 1
  return 0
}
