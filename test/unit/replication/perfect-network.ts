import { encodeMessage } from '../../../lib/replication/codec.js'
import type { ReplicationMessage } from '../../../lib/replication/messages.js'
import { Replica } from '../../../lib/replication/replica.js'
import type { RecordChange } from '../../../lib/replication/replica-contract.js'
import type { ReplicaOptionsInput } from '../../../lib/replication/replica-options.js'
import { receiveLent } from '../../helpers/lent.js'

/** Members on a perfect network without delay, unless a filter drops messages. */
export class PerfectNetwork {
  now: number = 0
  skewMs: number = 0
  readonly skewsMs: Map<string, number> = new Map()
  readonly members: { id: string; name: string; replica: Replica; changes: RecordChange[] }[] = []
  readonly sent: ReplicationMessage[] = []
  filter: (message: ReplicationMessage, from: string, to: string) => boolean = () => true
  #queue: (() => void)[] = []

  add(options: ReplicaOptionsInput = {}, called?: string): Replica {
    const id = (this.members.length + 1).toString(16).repeat(32)
    const name = called ?? id
    const changes: RecordChange[] = []
    const replica = new Replica(
      {
        id,
        name,
        send: (to, message) => {
          this.sent.push(message)
          const raw = encodeMessage(message)
          for (const other of this.members) {
            if (other.id === id || (to !== 'all' && !to.includes(other.id)) || !this.filter(message, id, other.id))
              continue
            this.#queue.push(() => receiveLent(other.replica, raw, id))
          }
        },
        monotonic: () => this.now,
        clusterTime: () => 1_000_000 + this.now + this.skewMs + (this.skewsMs.get(id) ?? 0),
        random: { uint32: () => 0 },
      },
      options,
      { changed: change => changes.push(change) },
    )
    this.members.push({ id, name, replica, changes })
    for (const other of this.members) {
      if (other.id === id) continue
      other.replica.memberAdded({ id, name, host: '', port: 0 })
      replica.memberAdded({ id: other.id, name: other.name, host: '', port: 0 })
    }
    this.flush()
    return replica
  }

  flush(): void {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) next()
  }

  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now += 100) {
      for (const { id, replica } of this.members) {
        replica.tick()
        this.flush()
        if (this.now % 500 !== 0) continue
        for (const other of this.members) if (other.id !== id) other.replica.advertised(replica.advertise(), id)
        this.flush()
      }
    }
  }
}

/** One ready member, and a second that has taken over its copy. */
export function pair(options: ReplicaOptionsInput = {}): { network: PerfectNetwork; a: Replica; b: Replica } {
  const network = new PerfectNetwork()
  const a = network.add(options)
  network.run(1_200)
  const b = network.add(options)
  network.run(100)
  return { network, a, b }
}
