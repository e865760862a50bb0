import type { SendReceipt } from '../../lib/channel/topic.js'
import type { MemberId } from '../../lib/membership/member.js'
import type { IssuedDelta, RecordChange, RecordKey } from '../../lib/replication/replica-contract.js'
import type { SimCluster, SimMember } from '../../lib/testing/sim-cluster.js'
import type { SimNode } from './sim-node.js'

/** A delta as its writer issued it. */
export interface IssuedWrite extends IssuedDelta {
  readonly names: readonly string[]
  readonly invalidates: boolean
}

/** A write whose receipt promised that so many had applied it. */
export interface AckedWrite {
  readonly write: IssuedWrite
  readonly holders: ReadonlySet<MemberId>
}

/** Stops the run: an invariant does not hold. */
export class Violation extends Error {
  readonly invariant: string
  constructor(invariant: string, detail: string) {
    super(`${invariant}: ${detail}`)
    this.invariant = invariant
  }
}

/** What a run knows that no member knows: everything issued, removed, acknowledged and used. */
export class World {
  readonly cluster: SimCluster<SimNode>
  readonly writes: Map<string, IssuedWrite> = new Map()
  readonly names: Map<RecordKey, Set<string>> = new Map()
  readonly invalidated: Set<RecordKey> = new Set()
  readonly expired: Set<RecordKey> = new Set()
  readonly acked: AckedWrite[] = []
  /** Records in use to the very end, and the life that uses each. */
  readonly pins: Map<RecordKey, MemberId> = new Map()
  /** Milliseconds of idleness after which a record expires; absent: never. */
  readonly maxInactiveMs: Map<RecordKey, number> = new Map()
  readonly operations: Map<string, number> = new Map()
  /** All nodes ever launched; a dead one stays as it was. */
  readonly nodes: SimNode[] = []
  lastDisturbanceMs = 0

  constructor(cluster: SimCluster<SimNode>) {
    this.cluster = cluster
  }

  get now(): number {
    return this.cluster.sim.now
  }

  /** The members that live, paused ones included. */
  get live(): readonly SimNode[] {
    return this.cluster.members.flatMap(({ node }) => (node === undefined ? [] : [node]))
  }

  lifeOf(node: SimNode): SimMember<SimNode> {
    return this.cluster.member(node.name)
  }

  isLive(id: MemberId): boolean {
    return this.live.some(node => node.id === id)
  }

  count(operation: string): void {
    this.operations.set(operation, (this.operations.get(operation) ?? 0) + 1)
  }

  mark(name: string, times = 1): void {
    this.cluster.sim.mark(name, times)
  }

  disturbed(): void {
    this.lastDisturbanceMs = this.now
  }

  issued(delta: IssuedDelta, names: readonly string[], invalidates: boolean): IssuedWrite {
    const write = { ...delta, names, invalidates }
    this.writes.set(dotName(delta.dot.origin, delta.dot.seq), write)
    let known = this.names.get(delta.key)
    if (known === undefined) this.names.set(delta.key, (known = new Set()))
    for (const name of names) known.add(name)
    return write
  }
}

export function dotName(origin: MemberId, seq: number): string {
  return `${origin}#${seq}`
}

/** Watches one invariant; throws a `Violation`. */
export interface Checker {
  readonly invariant: string
  changed?(node: SimNode, change: RecordChange, world: World): void
  settled?(write: IssuedWrite, receipt: SendReceipt, writer: SimNode, world: World): void
  /** Twice a second. */
  sample?(world: World): void
  /** Faults and operations are over and everybody agrees. */
  quiet?(world: World): void
  /** Long after that: all that was idle has expired. */
  idle?(world: World): void
}
