import { frames } from '../wire/frame-space.js'
import { type Delta, type DeltaKind, type DeltaWrites, NO_CONTEXT, NO_WRITES } from './delta.js'
import type { DeltaApplier } from './delta-applier.js'
import { encodeDelta } from './delta-codec.js'
import { bytesOf } from './fragments.js'
import { checkLimits } from './record-limits.js'
import type { AttributeWrites, IssuedDelta, RecordKey, WriteOptions } from './replica-contract.js'
import type { ReplicaState } from './replica-state.js'
import { SmallMap } from './small-map.js'
import { type AccessStamp, recordKey } from './stamp.js'

/** Makes this member's own deltas: each is stamped, encoded once, merged here and handed over to be sent, in one go. */
export class DeltaWriter {
  readonly #state: ReplicaState
  readonly #applier: DeltaApplier

  constructor(state: ReplicaState, applier: DeltaApplier) {
    this.#state = state
    this.#applier = applier
  }

  /** @throws {MessageTooLargeError} */
  create(writes: AttributeWrites, send?: WriteOptions): IssuedDelta {
    const all = SmallMap.of(writes)
    checkLimits(all, undefined)
    this.#state.records.pack()
    const { origin, issued } = this.#state
    return this.#issue('create', recordKey({ origin, seq: issued + 1 }), all, send)
  }

  /** Undefined: there is no such record to be seen. @throws {MessageTooLargeError} */
  write(key: RecordKey, writes: AttributeWrites, send?: WriteOptions): IssuedDelta | undefined {
    const record = this.#state.visible(key)
    if (record === undefined) return undefined
    const all = SmallMap.of(writes)
    checkLimits(all, record)
    if (send?.over !== undefined) record.attributes.takeOver(send.over, all)
    return this.#issue('write', key, all, send)
  }

  /** Ends a record, whether it is here or not. */
  invalidate(key: RecordKey, last: AttributeWrites = NO_WRITES, send?: WriteOptions): IssuedDelta {
    return this.#issue('invalidate', key, SmallMap.of(last), send)
  }

  /** Judges all uses up to `limit` too old. */
  expire(key: RecordKey, limit: AccessStamp): void {
    this.#state.counters.expired++
    this.#issue('expire', key, NO_WRITES, {}, limit)
  }

  /** Objects to an expiry. */
  renew(key: RecordKey): void {
    this.#state.counters.renewed++
    this.#issue('renew', key, NO_WRITES)
  }

  #issue(
    kind: DeltaKind,
    key: RecordKey,
    writes: DeltaWrites,
    options: WriteOptions = {},
    limit?: AccessStamp,
  ): IssuedDelta {
    const { env, clock, records, origin, lastNow } = this.#state
    const stamp = clock.stamp(env.clusterTime(), origin, ++this.#state.issued)
    const deps = records.get(key)?.context ?? NO_CONTEXT
    const isLent = options.over !== undefined
    const delta: Delta =
      limit === undefined
        ? { kind, key, stamp, deps, writes, isLent }
        : { kind, key, stamp, deps, writes, isLent, limit }
    const encoded = encodeDelta(delta, env.room, options.ack)
    frames.inHand++
    try {
      // Sent first: the others work on it meanwhile, and what a listener here writes because of it comes after it.
      env.send('all', { kind: 'delta', delta, encoded }, options, options.settled)
    } finally {
      this.#applier.apply(delta, 'local', encoded, lastNow)
      frames.inHand--
    }
    return { key, dot: stamp, stamp, bytes: bytesOf(encoded) }
  }
}
