import type { MemberId } from '../../lib/membership/member.js'
import type { Replica } from '../../lib/replication/replica.js'
import type { RecordChange } from '../../lib/replication/replica-contract.js'
import type { ReplicaOptionsInput } from '../../lib/replication/replica-options.js'
import type { Launch } from '../../lib/testing/sim-cluster.js'
import type { SimRandom } from '../../lib/testing/sim-random.js'
import type { Pace } from './pace.js'

/** One member's stack as the campaign and its checkers see it. */
export interface SimNode {
  readonly name: string
  readonly id: MemberId
  readonly replica: Replica
  /** The others it believes in. */
  readonly view: readonly MemberId[]
  /** Virtual time at which it began to believe in another; undefined: it does not. */
  presentSinceMs(id: MemberId): number | undefined
  /** Virtual time at which it last ceased to believe in another; undefined: it never did. */
  lostAtMs(id: MemberId): number | undefined
}

/** What every node of a run is built with. */
export interface NodeSetup {
  readonly replica: ReplicaOptionsInput
  readonly pace: Pick<Pace, 'heartbeatMs' | 'skewMaxMs'>
  /** Probabilities of faults on the way of a message. */
  readonly messages: MessageFaults
  readonly changed: (node: SimNode, change: RecordChange) => void
  readonly mark: (name: string, times?: number) => void
  readonly random: SimRandom
  /** Virtual time. */
  readonly now: () => number
}

/** Faults between topic and network. */
export interface MessageFaults {
  drop: number
  duplicate: number
  delay: number
  fullQueue: number
}

/** A way of building a node: over the real channel, or straight over simulated links. */
export type NodeStack = (launch: Launch, setup: NodeSetup) => SimNode | Promise<SimNode>

/** What the members of a run consist of: all of it, or the replica alone on bare links. */
export type StackName = 'channel' | 'replica'
