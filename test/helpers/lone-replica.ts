import type { MemberId } from '../../lib/membership/member.js'
import type { ReplicationMessage } from '../../lib/replication/messages.js'
import { Replica } from '../../lib/replication/replica.js'
import type { RecordChange } from '../../lib/replication/replica-contract.js'

/** A ready replica without others, what it sends, and how time passes for it. */
export interface LoneReplica {
  readonly replica: Replica
  readonly sent: ReplicationMessage[]
  pass(ms: number): void
}

/** A replica that began when nobody was there; its cluster time starts at `clusterMs`. */
export function loneReplica(
  id: MemberId,
  clusterMs: number,
  name?: string,
  changed?: (change: RecordChange) => void,
): LoneReplica {
  let nowMs = 0
  const sent: ReplicationMessage[] = []
  const replica = new Replica(
    {
      id,
      ...(name === undefined ? {} : { name }),
      send: (_to, message) => void sent.push(message),
      monotonic: () => nowMs,
      clusterTime: () => clusterMs + nowMs,
      random: { uint32: () => 7 },
    },
    {},
    changed === undefined ? {} : { changed },
  )
  const pass = (ms: number): void => {
    for (const endMs = nowMs + ms; nowMs < endMs; ) {
      nowMs += 100
      replica.tick()
    }
  }
  pass(1_100)
  return { replica, sent, pass }
}
