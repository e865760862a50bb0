import type { Channel } from '../../lib/channel/channel.js'
import { createChannel } from '../../lib/cluster.js'
import type { MemberId } from '../../lib/membership/member.js'
import type { Replica } from '../../lib/replication/replica.js'
import { ReplicaScope } from '../../lib/replication/scope.js'
import { faultInterceptor } from '../../lib/testing/fault-interceptor.js'
import type { Launch } from '../../lib/testing/sim-cluster.js'
import type { NodeSetup, NodeStack, SimNode } from './sim-node.js'

/** The whole production stack below the session manager: channel, membership, transport, codec, replica. */
export function channelStack(): NodeStack {
  return async (launch, setup) => {
    const interceptor = faultInterceptor(setup.messages, setup.random, setup.mark)
    const channel = createChannel({
      name: launch.name,
      group: 'sim',
      runtime: launch.runtime,
      interceptors: [interceptor],
    })
    const since = new Map<MemberId, number>()
    const lostAtMs = new Map<MemberId, number>()
    channel.on('memberAdded', ({ id }) => since.set(id, setup.now()))
    channel.on('memberDisappeared', ({ id }, reason) => {
      since.delete(id)
      lostAtMs.set(id, setup.now())
      setup.mark(`member ${reason}`)
    })
    channel.on('clockDivergence', () => setup.mark('clock divergence'))
    await channel.start()
    return new ChannelNode(launch, setup, channel, since, lostAtMs)
  }
}

class ChannelNode implements SimNode {
  readonly name: string
  readonly channel: Channel
  readonly #scope: ReplicaScope
  readonly #since: ReadonlyMap<MemberId, number>
  readonly #lostAtMs: ReadonlyMap<MemberId, number>

  constructor(
    launch: Launch,
    setup: NodeSetup,
    channel: Channel,
    since: ReadonlyMap<MemberId, number>,
    lostAtMs: ReadonlyMap<MemberId, number>,
  ) {
    this.#since = since
    this.#lostAtMs = lostAtMs
    this.name = launch.name
    this.channel = channel
    const { clock, random } = launch.runtime
    this.#scope = new ReplicaScope(
      { clock, random, openTopic: listener => channel.topic('sessions', listener) },
      setup.replica,
      {
        onChange: change => setup.changed(this, change),
        onError: error => {
          throw error
        },
      },
    )
  }

  get id(): MemberId {
    return this.channel.local.id
  }

  get replica(): Replica {
    return this.#scope.replica
  }

  get view(): readonly MemberId[] {
    return this.channel.members.map(({ id }) => id)
  }

  presentSinceMs(id: MemberId): number | undefined {
    return this.#since.get(id)
  }

  lostAtMs(id: MemberId): number | undefined {
    return this.#lostAtMs.get(id)
  }
}
