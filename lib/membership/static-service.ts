import { InvalidOptionError } from '../errors.js'
import type { Endpoint } from '../runtime/runtime.js'
import type { MembershipCounts, MembershipService } from './membership-service.js'

/** A fixed list of addresses, for networks without multicast. Heartbeats travel over the control connections. */
export class StaticService implements MembershipService {
  readonly broadcasts = false
  readonly seeds: readonly Endpoint[]
  readonly counts: MembershipCounts = { sent: 0, heard: 0, foreign: 0, garbage: 0 }

  /**
   * @param members addresses as `host:port` or `[IPv6]:port`
   * @throws {InvalidOptionError} for anything else
   */
  constructor(members: readonly string[]) {
    this.seeds = members.map(parseEndpoint)
  }

  async start(): Promise<void> {}

  broadcast(): void {}

  stop(): void {}
}

/**
 * Reads `host:port` or `[IPv6]:port`, which stands at `place` in the list of members.
 *
 * @throws {InvalidOptionError} for anything else
 */
export function parseEndpoint(text: unknown, place: number): Endpoint {
  const match = typeof text === 'string' ? /^(?:\[([0-9a-fA-F:.%]+)\]|([^\s:/[\]]{1,255})):(\d{1,5})$/.exec(text) : null
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || !(port >= 1 && port <= 65_535)) {
    throw new InvalidOptionError(`membership.members[${place}]`, "'host:port' (of IPv6 '[address]:port')", text)
  }
  return { host, port }
}
