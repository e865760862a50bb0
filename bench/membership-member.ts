import { type Cluster, createCluster } from '../lib/index.js'
import { type LoopbackGroup, loopbackOptions } from './loopback.js'
import { serve, sharedNow, tell } from './worker.js'

/** What a member tells unasked. `at`: shared milliseconds. */
export interface MembershipNews {
  readonly event: 'added' | 'disappeared'
  readonly member: string
  readonly at: number
}

/** Orders to a member. Times are shared milliseconds. */
export interface MembershipOrders {
  join(config: { readonly name: string; readonly group: LoopbackGroup }): Promise<{ calledAt: number; readyAt: number }>
  leave(): { calledAt: number }
  members(): string[]
}

let cluster: Cluster | undefined

serve<MembershipOrders>({
  async join({ name, group }) {
    const calledAt = sharedNow()
    cluster = await createCluster(loopbackOptions(name, group))
    const readyAt = sharedNow()
    const news = (event: MembershipNews['event'], member: string): void =>
      tell({ event, member, at: sharedNow() } satisfies MembershipNews)
    cluster.on('memberAdded', member => news('added', member.name))
    cluster.on('memberDisappeared', member => news('disappeared', member.name))
    return { calledAt, readyAt }
  },
  leave() {
    const calledAt = sharedNow()
    cluster?.leave().then(() => process.exit(0))
    return { calledAt }
  },
  members: () => cluster?.members.map(member => member.name) ?? [],
})
