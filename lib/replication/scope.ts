import type { SendReceipt, Topic, TopicListener, TopicSendOptions } from '../channel/topic.js'
import type { MemberId } from '../membership/member.js'
import type { Clock, Random, Timer } from '../runtime/runtime.js'
import { decodeMessage, encodeMessage } from './codec.js'
import type { ReplicationMessage } from './messages.js'
import { Replica, type ReplicaStats } from './replica.js'
import type { RecordChange } from './replica-contract.js'
import { type ReplicaOptionsInput, resolveReplicaOptions } from './replica-options.js'

/** What a scope runs on. */
export interface ScopeEnvironment {
  /** Opens the topic the scope's members share. */
  openTopic(listener: TopicListener): Topic
  readonly clock: Clock
  readonly random: Random
}

/** What a scope tells its owner. */
export interface ScopeListener {
  /** After a delta or record is merged, local ones included. Must not throw. */
  onChange?(change: RecordChange): void
  /** Once: the local copy is complete. */
  onReady?(): void
}

/** The replica's figures, and messages that could not be read. */
export interface ScopeStats extends ReplicaStats {
  readonly unreadable: number
}

/** Joins a replica to a topic: bytes, timers, membership. Everything of meaning happens in the replica. */
export class ReplicaScope {
  readonly replica: Replica
  /** Fulfilled once the local copy is complete; never rejected, pending for ever after an early `close`. */
  readonly ready: Promise<void>
  readonly #topic: Topic
  readonly #clock: Clock
  readonly #tickMs: number
  #timer: Timer | undefined
  #closed = false
  #unreadable = 0

  /** @throws {InvalidOptionError} */
  constructor(env: ScopeEnvironment, options: ReplicaOptionsInput = {}, listener: ScopeListener = {}) {
    this.#clock = env.clock
    this.#tickMs = resolveReplicaOptions(options).tickMs
    let replica: Replica | undefined
    const topic = env.openTopic({
      receive: (payload, from) => {
        const message = this.#decode(payload)
        if (message === undefined) return 'rejected'
        return replica?.receive(message, from.id) ?? 'deferred'
      },
      memberAdded: member => replica?.memberAdded(member),
      memberDisappeared: member => replica?.memberDisappeared(member),
      advertise: () => replica?.advertise(),
      advertised: (bytes, from) => replica?.advertised(bytes, from.id),
      refill: (member, keys, lost) => replica?.refill(member.id, keys, lost),
    })
    this.#topic = topic
    let fulfil = (): void => {}
    this.ready = new Promise<void>(resolve => {
      fulfil = resolve
    })
    replica = new Replica(
      {
        id: topic.local.id,
        name: topic.local.name,
        send: (to, message, sendOptions, settled) => this.#send(to, message, sendOptions, settled),
        monotonic: () => env.clock.monotonic(),
        clusterTime: () => topic.clusterTime(),
        random: env.random,
      },
      options,
      {
        changed: change => listener.onChange?.(change),
        ready: () => {
          listener.onReady?.()
          fulfil()
        },
      },
    )
    this.replica = replica
    for (const member of topic.members) replica.memberAdded(member)
    this.#schedule()
  }

  stats(): ScopeStats {
    return { ...this.replica.stats(), unreadable: this.#unreadable }
  }

  /** Stops taking part; the local copy stays readable. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    this.#topic.close()
  }

  #schedule(): void {
    this.#timer = this.#clock.setTimer(this.#tickMs, () => {
      if (this.#closed) return
      this.replica.tick()
      this.#schedule()
    })
  }

  #decode(payload: Uint8Array): ReplicationMessage | undefined {
    try {
      return decodeMessage(payload)
    } catch {
      this.#unreadable++
      return undefined
    }
  }

  #send(
    to: readonly MemberId[] | 'all',
    message: ReplicationMessage,
    options: Omit<TopicSendOptions, 'to'> = {},
    settled?: (receipt: SendReceipt) => void,
  ): void {
    if (this.#closed) {
      settled?.({ outcome: 'short', wanted: 0, received: 0, applied: 0, faulty: [] })
      return
    }
    this.#topic.send(encodeMessage(message), to === 'all' ? options : { ...options, to }, settled)
  }
}
