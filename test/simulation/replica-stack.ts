import type { FaultyMember, SendReceipt } from '../../lib/channel/topic.js'
import { MEMBER_ID_RANDOM_BYTES, type Member, type MemberId, memberId } from '../../lib/membership/member.js'
import { encodeMessage } from '../../lib/replication/codec.js'
import { keyOf, type ReplicationMessage } from '../../lib/replication/messages.js'
import { Replica } from '../../lib/replication/replica.js'
import type { MessageSendOptions } from '../../lib/replication/replica-state.js'
import type { Launch } from '../../lib/testing/sim-cluster.js'
import type { SimNetwork } from '../../lib/testing/sim-network.js'
import type { Simulator } from '../../lib/testing/simulator.js'
import { receiveLent } from '../helpers/lent.js'
import type { NodeSetup, NodeStack, SimNode } from './sim-node.js'

/** So many heartbeats missed are an absence. */
const SILENT_BEATS = 4
const RECEIPT_TIMEOUT_MS = 1_000

/** The nodes of one run, by address, so that most messages need no encoding. */
export interface ReplicaGround {
  readonly sim: Simulator
  readonly network: SimNetwork
  readonly nodes: Map<string, ReplicaNode>
}

/**
 * The replica on bare simulated links with a plain heartbeat membership: hardly any encoding and no connections, so a seed
 * costs little and messages overtake each other more than any stream would let them.
 */
export function replicaStack(ground: ReplicaGround): NodeStack {
  return (launch, setup) => {
    const node = new ReplicaNode(ground, launch, setup)
    ground.nodes.set(launch.runtime.process.host.address, node)
    return node
  }
}

class ReplicaNode implements SimNode {
  readonly name: string
  readonly id: MemberId
  readonly replica: Replica
  readonly #ground: ReplicaGround
  readonly #launch: Launch
  readonly #setup: NodeSetup
  readonly #member: Member
  readonly #heard = new Map<MemberId, { readonly member: Member; readonly sinceMs: number; atMs: number }>()
  readonly #lostAtMs = new Map<MemberId, number>()
  readonly #clusterOriginMs: number

  constructor(ground: ReplicaGround, launch: Launch, setup: NodeSetup) {
    this.#ground = ground
    this.#launch = launch
    this.#setup = setup
    const { clock, random, process } = launch.runtime
    this.name = launch.name
    this.id = memberId(clock.wall(), random.bytes(MEMBER_ID_RANDOM_BYTES))
    this.#member = { id: this.id, name: this.name, host: process.host.address, port: 4_000 }
    // The channel's clock agreement is not simulated here; what it leaves over is a small difference.
    const agreed =
      clock.wall() -
      process.host.wallOffsetMs +
      Math.max(-setup.pace.skewMaxMs, Math.min(setup.pace.skewMaxMs, process.host.wallOffsetMs))
    this.#clusterOriginMs = agreed - clock.monotonic()
    this.replica = new Replica(
      {
        id: this.id,
        name: this.name,
        send: (to, message, options, settled) => this.#send(to, message, options, settled),
        monotonic: () => clock.monotonic(),
        clusterTime: () => this.#clusterOriginMs + clock.monotonic(),
        random,
      },
      setup.replica,
      { changed: change => setup.changed(this, change) },
    )
    this.#every(setup.replica.tickMs ?? 100, () => this.replica.tick())
    this.#every(setup.pace.heartbeatMs, () => this.#heartbeat())
  }

  get view(): readonly MemberId[] {
    return [...this.#heard.keys()]
  }

  presentSinceMs(id: MemberId): number | undefined {
    return this.#heard.get(id)?.sinceMs
  }

  lostAtMs(id: MemberId): number | undefined {
    return this.#lostAtMs.get(id)
  }

  #every(ms: number, run: () => void): void {
    const { clock, random } = this.#launch.runtime
    const again = (): void => {
      run()
      clock.setTimer(ms, again)
    }
    clock.setTimer(random.uint32() % ms, again)
  }

  #heartbeat(): void {
    const now = this.#launch.runtime.clock.monotonic()
    const silenceMs = SILENT_BEATS * this.#setup.pace.heartbeatMs
    for (const { member, atMs } of [...this.#heard.values()]) if (now - atMs > silenceMs) this.#lose(member)
    const bytes = this.replica.advertise()
    const own = this.#launch.runtime.process.host.address
    for (const [address, target] of this.#ground.nodes) {
      if (address !== own) this.#carry(address, () => target.#hear(this.#member, bytes), target)
    }
  }

  #hear(member: Member, bytes: Uint8Array): void {
    const atMs = this.#launch.runtime.clock.monotonic()
    const known = this.#heard.get(member.id)
    if (known === undefined) {
      for (const other of [...this.#heard.values()]) {
        if (other.member.name !== member.name) continue
        this.#setup.mark('restart superseded an earlier life')
        this.#lose(other.member)
      }
      this.#heard.set(member.id, { member, sinceMs: this.#setup.now(), atMs })
      this.replica.memberAdded(member)
    } else known.atMs = atMs
    this.replica.advertised(bytes, member.id)
  }

  #lose(member: Member): void {
    this.#heard.delete(member.id)
    this.#lostAtMs.set(member.id, this.#setup.now())
    this.#setup.mark('member disappeared')
    this.replica.memberDisappeared(member)
  }

  #carry(address: string, arrive: () => void, target: ReplicaNode): void {
    const { sim, network } = this.#ground
    const { random, messages } = this.#setup
    const own = this.#launch.runtime.process.host.address
    const link = network.link(own, address)
    if (link.cut || random.chance(messages.drop)) return
    for (let copies = random.chance(messages.duplicate) ? 2 : 1; copies > 0; copies--) {
      const delayMs = link.delayMs(random) + (random.chance(messages.delay) ? random.between(1, 100) : 0)
      sim.schedule(delayMs, 'message', target.name, () => {
        if (!link.cut && this.#ground.nodes.get(address) === target) target.#launch.runtime.process.enter(arrive)
      })
    }
  }

  #send(
    to: readonly MemberId[] | 'all',
    message: ReplicationMessage,
    options?: MessageSendOptions,
    settled?: (receipt: SendReceipt) => void,
  ): void {
    const { random, messages, mark } = this.#setup
    const ack = options?.ack ?? 'none'
    const targets = [...this.#heard.values()]
      .map(({ member }) => member)
      .filter(({ id }) => to === 'all' || to.includes(id))
    const receipt = settled === undefined ? undefined : this.#receipt(targets, ack, options, settled)
    // Records of a transfer are packed as they are written, so that is to be now; deltas are read where they lie.
    const written = message.kind === 'reconcileChunk' || message.kind === 'delta' ? encodeMessage(message) : undefined
    for (const member of targets) {
      if (random.chance(messages.fullQueue)) {
        mark('message dropped by a full queue')
        receipt?.(member, 'queue-full')
        const key = keyOf(message)
        if (key !== undefined) this.#refillLater(member, key)
        continue
      }
      const target = this.#ground.nodes.get(member.host)
      if (target === undefined || target.id !== member.id) continue
      this.#carry(
        member.host,
        () => {
          // A message of a stranger has no meaning before the handshake.
          if (!target.#heard.has(this.id)) return
          const { replica } = target
          const outcome = written ? receiveLent(replica, written, this.id) : replica.receive(message, this.id)
          if (receipt === undefined) return
          target.#carry(this.#member.host, () => receipt(member, outcome), this)
        },
        target,
      )
    }
  }

  #refillLater(member: Member, key: string): void {
    this.#launch.runtime.clock.setTimer(300, () => {
      if (!this.#heard.has(member.id)) return
      this.#setup.mark('refill after overflow')
      this.replica.refill(member.id, new Set([key]), false)
    })
  }

  #receipt(
    targets: readonly Member[],
    ack: string,
    options: MessageSendOptions | undefined,
    settled: (receipt: SendReceipt) => void,
  ): (member: Member, outcome: string) => void {
    const wanted =
      ack === 'none'
        ? 0
        : options?.copies === undefined || options.copies === 'all'
          ? Math.max(1, targets.length)
          : options.copies
    const answers = new Map<MemberId, string>()
    const faulty: FaultyMember[] = []
    let open = true
    const finish = (outcome: SendReceipt['outcome']): void => {
      if (!open) return
      open = false
      const applied = [...answers.values()].filter(answer => answer === 'applied').length
      const received = [...answers.values()].filter(answer => answer !== 'queue-full').length
      settled({ outcome, wanted, received, applied, faulty })
    }
    const judge = (): void => {
      const good = [...answers.values()].filter(
        answer => answer === 'applied' || (ack === 'received' && answer === 'deferred'),
      ).length
      if (good >= wanted) finish('met')
      else if (targets.length - (answers.size - good) < wanted) finish('short')
    }
    this.#launch.runtime.clock.setTimer(options?.timeoutMs ?? RECEIPT_TIMEOUT_MS, () => finish('unknown'))
    judge()
    return (member, outcome) => {
      if (answers.has(member.id)) return
      answers.set(member.id, outcome)
      judge()
    }
  }
}
