/** 16 random bytes drawn at every start, as 32 hex digits: a restarted process is a new member with an old name. */
export type MemberId = string

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
