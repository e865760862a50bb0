import type { SendReceipt } from '../../lib/channel/topic.js'
import type { MemberId } from '../../lib/membership/member.js'
import type { Dot, IssuedDelta, RecordChange, RecordKey } from '../../lib/replication/replica-contract.js'
import { creationDot } from '../../lib/replication/stamp.js'
import type { SimCluster, SimMember } from '../../lib/testing/sim-cluster.js'
import { Absences } from './absences.js'
import { type Closing, Closings } from './closings.js'
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
  /** The deltas that invalidated a record. */
  readonly ends: Map<RecordKey, Dot[]> = new Map()
  /** Records that some member let expire, and when absences were last looked at before the first time. */
  readonly expired: Map<RecordKey, number> = new Map()
  /** The deltas that expired a record. */
  readonly expiries: Map<RecordKey, Dot[]> = new Map()
  readonly acked: AckedWrite[] = []
  /** Records in use to the very end, and the life that uses each. */
  readonly pins: Map<RecordKey, MemberId> = new Map()
  /** Milliseconds of idleness after which a record expires; absent: never. */
  readonly maxInactiveMs: Map<RecordKey, number> = new Map()
  readonly operations: Map<string, number> = new Map()
  /** All nodes ever launched; a dead one stays as it was. */
  readonly nodes: SimNode[] = []
  readonly absences: Absences = new Absences()
  readonly closings: Closings = new Closings(this.absences)
  /** The longest a message may take that is not lost. */
  delayMaxMs = 0
  /** Whether lives that are over are soon forgotten in this run, and nobody is before it is known whether it is over. */
  retires = false
  /** When a member last went on after a pause, by name. */
  readonly resumedAtMs: Map<string, number> = new Map()
  /** When a fault last began or ended at a member, by name. */
  readonly #disturbedAtMs = new Map<string, number>()
  readonly #excused = new Set<string>()
  /** When each life last used a record. */
  readonly #uses = new Map<RecordKey, Map<MemberId, number>>()

  constructor(cluster: SimCluster<SimNode>) {
    this.cluster = cluster
  }

  get now(): number {
    return this.cluster.sim.now
  }

  /**
   * Why an expired record may be gone for good although a member uses it: it gave way where there was no room left, or
   * that member had been away for so long that nobody waited for its objection. Undefined: it may not.
   */
  forgettable(key: RecordKey, user: MemberId): string | undefined {
    const sinceMs = this.expired.get(key)
    if (sinceMs === undefined) return undefined
    if (this.nodes.some(({ replica }) => replica.stats().expiriesOverflowed > 0)) return 'no room'
    return this.absences.isForgotten(user, sinceMs) ? 'user forgotten' : undefined
  }

  /** A member lets a record expire now. */
  expires(key: RecordKey, { replica }: SimNode): void {
    if (!this.expired.has(key)) this.expired.set(key, this.absences.observedAtMs)
    const { origin } = replica
    // It has seen all of its own, this one included.
    const seq = replica.digest().find(entry => entry.origin === origin)!.base
    this.expiries.set(key, [...(this.expiries.get(key) ?? []), { origin, seq }])
  }

  /** Why a record may be gone with its origin. Undefined: it may not. */
  closable(key: RecordKey): string | undefined {
    return this.wronglyClosed(creationDot(key).origin)
  }

  /** How an origin was closed by those who could not know what others still had of it. */
  wronglyClosed(origin: MemberId): Exclude<Closing, 'rightly'> | undefined {
    const closing = this.closings.of(origin, this.live, this.now)
    return closing === 'rightly' ? undefined : closing
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

  /** A violation that is none because of an excuse: counted once a record and reason, for one that is too wide hides bugs. */
  excuse(invariant: string, key: RecordKey, why: string): void {
    const excuse = `${invariant} ${key} ${why}`
    if (this.#excused.has(excuse)) return
    this.#excused.add(excuse)
    this.mark(`excused: ${invariant}, ${why}`)
  }

  /** A user wrote or read a record at a member. */
  used(key: RecordKey, at: MemberId): void {
    const uses = this.#uses.get(key)
    if (uses === undefined) this.#uses.set(key, new Map([[at, this.now]]))
    else uses.set(at, this.now)
  }

  /** How long ago that was last; infinite: never. What a member believes may be a write of others that came late. */
  unusedMs(key: RecordKey, at: MemberId): number {
    return this.now - (this.#uses.get(key)?.get(at) ?? -Infinity)
  }

  count(operation: string): void {
    this.operations.set(operation, (this.operations.get(operation) ?? 0) + 1)
  }

  mark(name: string, times = 1): void {
    this.cluster.sim.mark(name, times)
  }

  disturbed(names: readonly string[]): void {
    for (const name of names) this.#disturbedAtMs.set(name, this.now)
  }

  /** Whether two members have had an undisturbed connection for so long. */
  connected(one: SimNode, other: SimNode, forMs: number): boolean {
    const { cluster, now } = this
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      if (cluster.member(from.name).state !== 'running') return false
      if (now - (this.#disturbedAtMs.get(from.name) ?? 0) < forMs) return false
      if (cluster.network.link(cluster.host(from.name).address, cluster.host(to.name).address).cut) return false
      const sinceMs = from.presentSinceMs(to.id)
      if (sinceMs === undefined || now - sinceMs < forMs) return false
    }
    return true
  }

  issued(delta: IssuedDelta, names: readonly string[], invalidates: boolean): IssuedWrite {
    const write = { ...delta, names, invalidates }
    this.closings.written(delta.dot.origin)
    this.writes.set(dotName(delta.dot.origin, delta.dot.seq), write)
    if (invalidates) this.ends.set(delta.key, [...(this.ends.get(delta.key) ?? []), delta.dot])
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
