import { Buffer } from 'node:buffer'
import { EventEmitter } from 'node:events'
import { Channel } from './channel/channel.js'
import {
  type DrainOptions,
  type DrainReport,
  drain,
  type ResolvedDrainOptions,
  resolveDrainOptions,
} from './cluster-drain.js'
import { Namesakes } from './cluster-namesakes.js'
import {
  type ClusterOptions,
  checkClusterOptions,
  type ResolvedClusterOptions,
  resolveClusterOptions,
} from './cluster-options.js'
import { InvalidOptionError, InvalidStateError } from './errors.js'
import type { ClusterState } from './http/service/readiness.js'
import type { SessionHost } from './http/session-host.js'
import type { Member } from './membership/member.js'
import type { RecordChange } from './replication/replica-contract.js'
import { ReplicatedMap } from './replication/replicated-map.js'
import { ReplicaScope, type ScopeEnvironment, type ScopeStats } from './replication/scope.js'
import { createNodeRuntime } from './runtime/node-runtime.js'
import type { Runtime } from './runtime/runtime.js'
import { DeltaManager } from './session/delta-manager.js'
import type { SessionStats } from './session/session-manager.js'
import { Users } from './users/users.js'

const SESSIONS_TOPIC = '~sessions'
const MAP_TOPIC_PREFIX = '~map:'

/** What a Cluster tells. A member is told of once its own handshake succeeded, never on hearsay. */
export interface ClusterEvents {
  /** It can be sent to from now on. */
  memberAdded: [member: Member]
  /** `left`: it said goodbye; `dead`: it was verified and did not answer; `superseded`: its process was restarted. */
  memberDisappeared: [member: Member, reason: 'dead' | 'left' | 'superseded']
  /** A member whose clock differs from the group's by more than 10 s was refused. */
  clockDivergence: [member: Member, aheadMs: number]
  /** This member stands elsewhere now; see {@link ClusterState}. `joining` is never told: it is the first. */
  stateChanged: [state: ClusterState]
}

/** Plain figures of one moment. */
export interface ClusterStats {
  /** This member's name. */
  readonly name: string
  /** Where this member stands. */
  readonly state: ClusterState
  /** How many others are there. */
  readonly members: number
  /** See `Channel.stats`. */
  readonly channel: Readonly<Record<string, unknown>>
  /** See `SessionManager.stats`. */
  readonly sessions: SessionStats
  /** The replica under the sessions; a map has its own figures. */
  readonly replication: ScopeStats
}

/**
 * This process as a member of its group: the sessions, maps and channel it shares with the others (Tomcat's
 * SimpleTcpCluster, without a container around it).
 *
 * Ends with `drain()`, with `leave()`, or `await using`.
 */
export class Cluster extends EventEmitter<ClusterEvents> implements SessionHost {
  /** The group's messages; runs until `leave`, which also stops it: do not stop it yourself. */
  readonly channel: Channel
  readonly #runtime: Runtime
  readonly #options: ResolvedClusterOptions
  readonly #maps = new Map<string, ReplicatedMap<unknown>>()
  readonly #scope: ReplicaScope
  readonly #sessions: DeltaManager
  readonly #users: Users
  readonly #ending = new AbortController()
  readonly #leaving = new AbortController()
  #state: ClusterState = 'joining'
  #drained: Promise<DrainReport> | undefined
  #left: Promise<void> | undefined

  /** Use `createCluster`. The channel is running. */
  constructor(runtime: Runtime, channel: Channel, options: ResolvedClusterOptions) {
    super()
    this.#runtime = runtime
    this.#options = options
    this.channel = channel
    const namesakes = new Namesakes({
      clock: runtime.clock,
      local: () => channel.local,
      members: () => channel.members,
      isStaying: () => this.#state === 'joining' || this.#state === 'ready',
    })
    channel.on('memberAdded', member => {
      namesakes.added(member)
      this.emit('memberAdded', member)
    })
    channel.on('memberDisappeared', (member, reason) => this.emit('memberDisappeared', member, reason))
    channel.on('clockDivergence', (member, aheadMs) => this.emit('clockDivergence', member, aheadMs))
    const listeners = new Set<(change: RecordChange) => void>()
    this.#scope = new ReplicaScope(this.#environment(SESSIONS_TOPIC), options.replication, {
      onChange: change => {
        for (const listener of listeners) listener(change)
      },
    })
    const parts = {
      clusterMs: () => channel.clusterTime(),
      store: this.#scope.replica,
      clock: runtime.clock,
      random: runtime.random,
      onChange: (listener: (change: RecordChange) => void) => {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    }
    this.#sessions = new DeltaManager(
      {
        ...parts,
        freshness: this.#scope,
        ...(options.codec === undefined ? {} : { codec: options.codec }),
      },
      options.sessions,
    )
    this.#users = new Users({ ...parts, sessions: this.#sessions, receipts: options.sessions }, options.users)
    // First, so that listeners of the sessions' events find the users as they are then.
    this.#users.start()
    this.#sessions.start()
    void this.#scope.ready.then(() => {
      if (this.#state === 'joining') this.#become('ready')
    })
  }

  /** This member's name. */
  get name(): string {
    return this.channel.local.name
  }

  /** The other members, ordered by name. */
  get members(): readonly Member[] {
    return this.channel.members
  }

  /** The sessions; every member has all of them. */
  get sessions(): DeltaManager {
    return this.#sessions
  }

  /** Who is logged in, on whatever member. */
  get users(): Users {
    return this.#users
  }

  /** The replica under the sessions, for tools and tests that look at stamps and digests. */
  get replication(): ReplicaScope {
    return this.#scope
  }

  /** Fulfilled once this member has every session the group had when it joined; after `createCluster` it is. */
  get ready(): Promise<void> {
    return this.#scope.ready
  }

  /** Where this member stands; `readyHandler` from `tribeline/http` tells it to balancers. */
  get state(): ClusterState {
    return this.#state
  }

  /**
   * Aborted when connections that would never end by themselves must end (server-sent events, WebSocket): when the grace
   * of `drain` is over, or at `leave`.
   */
  get signal(): AbortSignal {
    return this.#ending.signal
  }

  /**
   * The replicated map of this name, opened at the first call, the same object at every later one, closed or not. Await
   * its `ready` before relying on what is not there. The name must be the same on all members.
   *
   * @throws {InvalidOptionError} for a name that is no 1 to 64 letters, digits or `-_.:`
   * @throws {InvalidStateError} after `leave`, or when the channel has 1,024 topics
   */
  map<V>(name: string): ReplicatedMap<V> {
    if (typeof name !== 'string' || !/^[\w.:-]{1,64}$/.test(name))
      throw new InvalidOptionError('name', '1 to 64 letters, digits or -_.:', name)
    if (this.#left !== undefined) throw new InvalidStateError('a member', 'no longer one')
    let map = this.#maps.get(name)
    if (map === undefined) {
      map = new ReplicatedMap<unknown>(this.#environment(MAP_TOPIC_PREFIX + name), this.#options.replication)
      this.#maps.set(name, map)
    }
    return map as ReplicatedMap<V>
  }

  /** A copy of the figures as they are now; counters start with the process and are this member's alone. */
  stats(): ClusterStats {
    return {
      name: this.name,
      state: this.#state,
      members: this.members.length,
      channel: this.channel.stats(),
      sessions: this.#sessions.stats(),
      replication: this.#scope.stats(),
    }
  }

  /**
   * Takes this member out of service so that no client notices, for a planned stop: its state becomes `draining` (and
   * `readyHandler` says 503); it goes on serving for `graceMs`, since balancers notice late; `signal` is aborted and the
   * servers given are closed, with patience for requests under way; it waits until the others have all that is here;
   * then it leaves. Every wait is bounded. Tribeline installs no signal handlers; an application does:
   *
   * ```ts
   * process.once('SIGTERM', () => cluster.drain({ server }).then(() => process.exit(0)))
   * ```
   *
   * Calls share one drain, that of the first call's options; `leave` meanwhile cuts it short. The order is that of
   * Kubernetes' pod termination, whose removal of an endpoint races with SIGTERM (kubernetes/kubernetes#38456).
   *
   * @throws {InvalidOptionError} which option, what is allowed, what came; nothing has happened then
   */
  async drain(options: DrainOptions = {}): Promise<DrainReport> {
    const resolved = resolveDrainOptions(options)
    this.#drained ??= this.#drain(resolved)
    return await this.#drained
  }

  /**
   * Says goodbye and stops. Sessions stay on the other members, unless `sessions.expireSessionsOnShutdown`. Calling it
   * again gives the same promise.
   */
  leave(): Promise<void> {
    this.#left ??= this.#leave()
    return this.#left
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave()
  }

  #drain(options: ResolvedDrainOptions): Promise<DrainReport> {
    if (this.#left === undefined) this.#become('draining')
    return drain(
      {
        clock: this.#runtime.clock,
        left: this.#leaving.signal,
        endConnections: () => this.#ending.abort(),
        handOver: (timeoutMs, signal) =>
          Promise.all([this.#scope, ...this.#maps.values()].map(part => part.handOver(timeoutMs, signal))),
        leave: () => this.leave(),
      },
      options,
    )
  }

  async #leave(): Promise<void> {
    if (this.#state !== 'draining') this.#become('draining')
    this.#leaving.abort()
    this.#ending.abort()
    await this.#sessions.stop()
    this.#users.stop()
    this.#scope.close()
    for (const map of this.#maps.values()) map.close()
    await this.channel.stop()
    this.#become('left')
  }

  #become(state: ClusterState): void {
    this.#state = state
    try {
      this.emit('stateChanged', state)
    } catch (error) {
      // As any error of a listener: uncaught, and outside of what must go on.
      this.#runtime.clock.soon(() => {
        throw error
      })
    }
  }

  #environment(topic: string): ScopeEnvironment {
    const { clock, random } = this.#runtime
    return { clock, random, openTopic: listener => this.channel.topic(topic, listener) }
  }
}

/**
 * Joins the group and resolves when this member has all of its sessions, or is the first.
 *
 * @throws {InvalidOptionError} which option, what is allowed, what came
 * @throws {ListenError} when no port of the range is free, or the address or multicast interface is not this host's
 */
export async function createCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { runtime, channel, resolved } = channelOf(options)
  await channel.start()
  const cluster = new Cluster(runtime, channel, resolved)
  await cluster.ready
  return cluster
}

/**
 * A channel alone, for those who want members and messages but no sessions. Not started: call `start()`.
 *
 * @throws {InvalidOptionError} which option, what is allowed, what came
 */
export function createChannel(options: Omit<ClusterOptions, 'sessions' | 'replication'> = {}): Channel {
  return channelOf(options).channel
}

function channelOf(options: ClusterOptions): { runtime: Runtime; channel: Channel; resolved: ResolvedClusterOptions } {
  checkClusterOptions(options)
  const runtime = options.runtime ?? createNodeRuntime()
  const defaultName = `node-${Buffer.from(runtime.random.bytes(4)).toString('hex')}`
  const resolved = resolveClusterOptions(options, defaultName)
  return { runtime, channel: new Channel({ runtime }, resolved.channel), resolved }
}
