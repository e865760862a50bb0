import type { Endpoint } from '../runtime/runtime.js'
import type { Heartbeat } from '../wire/messages.js'

/** Counters of a MembershipService. */
export interface MembershipCounts {
  readonly sent: number
  readonly heard: number
  /** Well-formed heartbeats of other groups. */
  readonly foreign: number
  /** Datagrams that are no heartbeat of ours: another protocol, another version, garbage. */
  readonly garbage: number
}

/** What a MembershipService tells its owner. */
export interface MembershipServiceHandlers {
  /** A heartbeat of the group; our own included. */
  heartbeat(heartbeat: Heartbeat): void
}

/** How members hear of each other. What it finds are hints; only handshakes make members. */
export interface MembershipService {
  /** Whether `broadcast` reaches members we are not connected to; if not, heartbeats travel over connections only. */
  readonly broadcasts: boolean
  /** Addresses where members may be. */
  readonly seeds: readonly Endpoint[]
  readonly counts: MembershipCounts
  /**
   * @throws {ListenError} when the port is taken or the interface does not exist
   */
  start(handlers: MembershipServiceHandlers): Promise<void>
  /** Best effort. */
  broadcast(heartbeat: Heartbeat): void
  stop(): void
}
