import type { DeliveryOutcome, SendReceipt, Topic, TopicListener } from '../channel/topic.js'
import { ProtocolError } from '../errors.js'
import type { MemberId } from '../membership/member.js'
import { type Clock, type Random, recentOf, type Timer } from '../runtime/runtime.js'
import { ackNumber } from '../transport/types.js'
import { APART_BYTES, messageRoom } from '../wire/hot-frames.js'
import { decodeMessage, encodePieces } from './codec.js'
import type { ValueLease } from './codec-reader.js'
import { ownRoom } from './delta-codec.js'
import { bytesOf, Defragmenter, fragments, isPart, joined, PART_BYTES, WHOLE_BYTES_MAX } from './fragments.js'
import type { HandOverReport } from './hand-over.js'
import { keyOf, type ReplicationMessage } from './messages.js'
import { Replica } from './replica.js'
import type { RecordChange } from './replica-contract.js'
import { type ReplicaOptionsInput, resolveReplicaOptions } from './replica-options.js'
import type { MessageSendOptions } from './replica-state.js'
import type { ReplicaStats } from './replica-stats.js'
import type { Freshness } from './stall-fence.js'

/** What a scope runs on. */
export interface ScopeEnvironment {
  /** Opens the topic the scope's members share. */
  openTopic(listener: TopicListener): Topic
  readonly clock: Clock
  readonly random: Random
}

/** Where an error came from: this library, or a listener of the application. */
export type ScopeErrorSource = 'internal' | 'listener'

/** Warnings of one scope; what comes after is only counted. */
const WARNINGS_MAX = 10

/** What a scope tells its owner. */
export interface ScopeListener {
  /** After a delta or record is merged, local ones included. What it throws goes to `onError` and stops nothing. */
  onChange?(change: RecordChange): void
  /** Once: the local copy is complete. */
  onReady?(): void
  /** An error nobody else can be told of. Default: a process warning, the first ten times. */
  onError?(error: unknown, source: ScopeErrorSource): void
}

/** The replica's figures, and what went wrong around it. */
export interface ScopeStats extends ReplicaStats {
  /** Messages whose bytes the protocol does not allow; they were dropped. */
  readonly unreadable: number
  /** Messages of which a part was lost; they were dropped. */
  readonly incomplete: number
  /** Errors of the library itself. They are bugs: the message or tick was given up, the rest goes on. */
  readonly internalErrors: number
  /** Errors that listeners threw. */
  readonly listenerErrors: number
}

/** Joins a replica to a topic: bytes, timers, membership. Everything of meaning happens in the replica. */
export class ReplicaScope implements Freshness {
  readonly replica: Replica
  /** Fulfilled once the local copy is complete; never rejected, pending for ever after an early `close`. */
  readonly ready: Promise<void>
  readonly #topic: Topic
  readonly #clock: Clock
  readonly #tickMs: number
  #timer: Timer | undefined
  #closed = false
  readonly #defragmenter = new Defragmenter()
  #numbered = 0
  #incomplete = 0
  #unreadable = 0
  #internalErrors = 0
  #listenerErrors = 0
  #freshened: { readonly promise: Promise<void>; readonly fulfil: () => void } | undefined
  readonly #listener: ScopeListener

  /** @throws {InvalidOptionError} */
  constructor(env: ScopeEnvironment, options: ReplicaOptionsInput = {}, listener: ScopeListener = {}) {
    this.#clock = env.clock
    this.#listener = listener
    this.#tickMs = resolveReplicaOptions(options).tickMs
    let replica: Replica | undefined
    const topic = env.openTopic({
      borrows: true,
      receive: (payload, from) => {
        try {
          const bytes = this.#whole(payload, from.id)
          if (typeof bytes === 'string') return bytes
          const message = this.#decode(bytes, bytes === payload ? 'lent' : 'taken')
          if (message === undefined) return 'rejected'
          return replica?.receive(message, from.id, [bytes]) ?? 'deferred'
        } catch (error) {
          this.#bugFound(error)
          return 'rejected'
        }
      },
      memberAdded: member => this.#guarded(undefined, () => replica?.memberAdded(member)),
      memberDisappeared: (member, reason) =>
        this.#guarded(undefined, () => {
          this.#defragmenter.forget(member.id)
          replica?.memberDisappeared(member, reason)
        }),
      advertise: () => this.#guarded(undefined, () => replica?.advertise()),
      advertised: (bytes, from) => this.#guarded(undefined, () => replica?.advertised(bytes, from.id)),
      refill: (member, keys, lost) => this.#guarded(undefined, () => replica?.refill(member.id, keys, lost)),
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
        // What is large is not copied on its way out.
        room: (length, ack) =>
          length < APART_BYTES ? messageRoom(topic.name, ackNumber(ack), length) : ownRoom(length),
        wholeBytes: topic.payloadBytesMax,
        monotonic: () => env.clock.monotonic(),
        recent: () => recentOf(env.clock),
        clusterTime: () => topic.clusterTime(),
        random: env.random,
      },
      options,
      {
        changed: change => {
          // Not `#tell`, which would have a function made for every change.
          try {
            listener.onChange?.(change)
          } catch (error) {
            this.#listenerThrew(error)
          }
        },
        ready: () => {
          this.#tell(() => listener.onReady?.())
          fulfil()
        },
        freshened: () => this.#freshen(),
      },
    )
    this.replica = replica
    for (const member of topic.members) replica.memberAdded(member)
    this.#schedule()
  }

  get fresh(): boolean {
    return this.#closed || this.replica.fresh
  }

  get epoch(): number {
    return this.#closed ? 0 : this.replica.epoch
  }

  whenFresh(): Promise<void> | undefined {
    if (this.fresh) return undefined
    if (this.#freshened === undefined) {
      let fulfil = (): void => {}
      const promise = new Promise<void>(resolve => {
        fulfil = resolve
      })
      this.#freshened = { promise, fulfil }
    }
    return this.#freshened.promise
  }

  stats(): ScopeStats {
    return {
      ...this.replica.stats(),
      unreadable: this.#unreadable,
      incomplete: this.#incomplete,
      internalErrors: this.#internalErrors,
      listenerErrors: this.#listenerErrors,
    }
  }

  /**
   * Before leaving: fulfilled, never rejected, when the others have what is here, the time is up (milliseconds), the
   * signal is aborted, or nobody else is there; then at once.
   */
  handOver(timeoutMs: number, signal?: AbortSignal): Promise<HandOverReport> {
    return new Promise(resolve => {
      const isOver = this.#closed || signal?.aborted === true
      const end = this.replica.handOver.start(isOver ? 0 : timeoutMs, resolve)
      signal?.addEventListener('abort', end, { once: true })
    })
  }

  /** Stops taking part; the local copy stays readable. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    this.#topic.close()
    this.#freshen()
    this.replica.close()
  }

  #freshen(): void {
    this.#freshened?.fulfil()
    this.#freshened = undefined
  }

  #schedule(): void {
    this.#timer = this.#clock.setTimer(this.#tickMs, () => {
      if (this.#closed) return
      this.#guarded(undefined, () => this.replica.tick())
      this.#schedule()
    })
  }

  /** The bytes of a message, or what to answer when they are not all there. */
  #whole(payload: Uint8Array, from: MemberId): Uint8Array | DeliveryOutcome {
    if (!isPart(payload)) return payload
    try {
      const bytes = this.#defragmenter.take(payload, from, this.#clock.monotonic())
      if (bytes === 'waiting') return 'deferred'
      if (bytes !== 'incomplete') return bytes
      this.#incomplete++
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#unreadable++
    }
    return 'rejected'
  }

  #decode(bytes: Uint8Array, values: ValueLease): ReplicationMessage | undefined {
    try {
      return decodeMessage(bytes, values)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#unreadable++
      return undefined
    }
  }

  /** The replica is amid a merge: nothing of the application's may reach it. */
  #tell(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#listenerThrew(error)
    }
  }

  #listenerThrew(error: unknown): void {
    this.#listenerErrors++
    this.#failed(error, 'listener')
  }

  /** A bug must not end the process, or bytes from the network could; nor may it go unseen. */
  #guarded<T>(otherwise: T, run: () => T): T {
    try {
      return run()
    } catch (error) {
      this.#bugFound(error)
      return otherwise
    }
  }

  #bugFound(error: unknown): void {
    this.#internalErrors++
    this.#failed(error, 'internal')
  }

  #failed(error: unknown, source: ScopeErrorSource): void {
    if (this.#listener.onError !== undefined) this.#listener.onError(error, source)
    else if (this.#internalErrors + this.#listenerErrors <= WARNINGS_MAX) {
      const warning = error instanceof Error ? error : new Error(String(error))
      const code = source === 'internal' ? 'TRIBELINE_INTERNAL_ERROR' : 'TRIBELINE_LISTENER_ERROR'
      process.emitWarning(warning.message, { code, detail: warning.stack ?? '' })
    }
  }

  #send(
    to: readonly MemberId[] | 'all',
    message: ReplicationMessage,
    options: MessageSendOptions = {},
    settled?: (receipt: SendReceipt) => void,
  ): void {
    if (this.#closed) {
      settled?.({ outcome: 'short', wanted: 0, received: 0, applied: 0, faulty: [] })
      return
    }
    const pieces = encodePieces(message)
    const { ack, copies, timeoutMs, bulk } = options
    const rest = pieces.length === 1 ? undefined : pieces.slice(1)
    const key = keyOf(message)
    const target = { to: to === 'all' ? undefined : to, ack, copies, timeoutMs, key, bulk, rest }
    const wholeBytesMax = Math.min(options.wholeBytes ?? 0, this.#topic.payloadBytesMax ?? 0, WHOLE_BYTES_MAX)
    if (bytesOf(pieces) <= Math.max(PART_BYTES, wholeBytesMax)) {
      return this.#topic.send(pieces[0] as Uint8Array, target, settled)
    }
    const bytes = joined(pieces)
    const parts = fragments(bytes, this.#numbered)
    const one = { ...target, rest: undefined }
    if (parts === undefined) return this.#topic.send(bytes, one, settled)
    this.#numbered++
    // Who has the last part has them all, so it alone is acknowledged.
    const last = parts.pop() as Uint8Array
    for (const part of parts) this.#topic.send(part, { ...one, ack: 'none' })
    this.#topic.send(last, one, settled)
  }
}
