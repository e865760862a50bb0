import { decodeText } from '../replication/attribute-text.js'
import type { RecordChange, RecordKey, RecordStore } from '../replication/replica-contract.js'
import { compareStamps } from '../replication/stamp.js'
import type { AttributeScope } from './attribute-scope.js'
import { IdIndex } from './id-index.js'
import type { LocalAttributes } from './local-attributes.js'
import { SafeEmitter } from './safe-emitter.js'
import { PUBLIC_ID } from './session.js'
import type { SessionCodec } from './session-codec.js'
import type { SessionCounters } from './session-counters.js'
import { whyOf } from './session-ending.js'
import type { SessionCause, SessionEnd, SessionEvents } from './session-manager.js'

/** Longest public id, in bytes, that is looked at; longer ones come from nobody we know. */
export const ID_LENGTH_MAX = 512

/** What a directory works with. */
export interface DirectoryParts {
  readonly store: RecordStore
  readonly codec: SessionCodec
  /** Which attributes events name. */
  readonly scope: AttributeScope
  readonly local: LocalAttributes
  readonly count: SessionCounters
  /** Whether listeners hear of what other members did. */
  readonly tellsRemote: boolean
}

/** Which record has which public id, kept by the changes of the store; and the events that these are for sessions. */
export class SessionDirectory {
  readonly index: IdIndex
  readonly emitter: SafeEmitter<SessionEvents>
  readonly #parts: DirectoryParts

  constructor(parts: DirectoryParts) {
    this.#parts = parts
    this.index = new IdIndex((a, b) => this.#precedes(a, b))
    this.emitter = new SafeEmitter((error, event) => this.#listenerFailed(error, event))
  }

  /** Takes in what the store holds, without a word. */
  fill(): void {
    for (const key of this.#parts.store.keys()) this.#claim(key)
  }

  /** The store has changed. */
  changed(change: RecordChange): void {
    const { count, local, scope, store } = this.#parts
    const { key, cause } = change
    const tell = cause === 'local' || this.#parts.tellsRemote
    if (change.kind === 'removed') return this.#removed(change, tell)
    if (local.size > 0) local.drop(key, change.names)
    const claims = change.kind === 'created' || change.names.includes(PUBLIC_ID)
    // Most changes are of attributes, and nobody listens.
    if (!claims && !(tell && this.emitter.hears('changed'))) return
    const previousId = this.index.id(key)
    const loser = claims ? this.#claim(key, change.record?.value(PUBLIC_ID)) : undefined
    const id = this.index.id(key)
    if (id === undefined) return
    if (previousId === undefined && loser !== key) {
      count.created++
      if (tell && this.emitter.hears('created')) this.emitter.emit('created', { id, cause })
    }
    if (loser !== undefined) this.#end(id, 'replaced', cause, store.attributes(loser), tell)
    if (previousId === undefined || !tell) return
    if (!this.index.shows(key)) return
    if (previousId !== id) this.emitter.emit('idChanged', { id, previousId, cause })
    if (!this.emitter.hears('changed')) return
    const names = scope.names(change.names)
    if (names.length > 0) this.emitter.emit('changed', { id, names, cause })
  }

  #removed(change: RecordChange, tell: boolean): void {
    const { key, cause, reason = 'invalidated', before } = change
    this.#parts.local.forget(key)
    const id = this.index.id(key)
    if (id === undefined) return
    const shown = this.index.shows(key)
    this.index.release(key)
    // A hidden record's end was told when it was replaced.
    if (shown) this.#end(id, whyOf(change) === 'expired' ? 'expired' : reason, cause, before, tell)
  }

  #end(
    id: string,
    reason: SessionEnd,
    cause: SessionCause,
    before: ReadonlyMap<string, Uint8Array> | undefined,
    tell: boolean,
  ): void {
    this.#parts.count[reason]++
    if (!tell || !this.emitter.hears('destroyed')) return
    const decode = (): ReadonlyMap<string, unknown> => this.#decodeAll(before ?? new Map())
    let attributes: ReadonlyMap<string, unknown> | undefined
    this.emitter.emit('destroyed', {
      id,
      reason,
      cause,
      get attributes() {
        attributes ??= decode()
        return attributes
      },
    })
  }

  #decodeAll(attributes: ReadonlyMap<string, Uint8Array>): ReadonlyMap<string, unknown> {
    const { codec, count, scope } = this.#parts
    const values = new Map<string, unknown>()
    for (const [stored, bytes] of attributes) {
      const name = scope.name(stored)
      if (name === undefined) continue
      try {
        values.set(name, codec.decode(bytes))
      } catch {
        count.undecodable++
      }
    }
    return values
  }

  #claim(key: RecordKey, known?: Uint8Array): RecordKey | undefined {
    const bytes = known ?? this.#parts.store.attribute(key, PUBLIC_ID)
    if (bytes === undefined || bytes.length === 0 || bytes.length > ID_LENGTH_MAX) return undefined
    return this.index.claim(key, decodeText(bytes))
  }

  /** Of two records with one id, the one that took it later; stamps never tie. */
  #precedes(a: RecordKey, b: RecordKey): boolean {
    const left = this.#parts.store.stamp(a, PUBLIC_ID)
    const right = this.#parts.store.stamp(b, PUBLIC_ID)
    if (left === undefined || right === undefined) return left !== undefined || (right === undefined && a < b)
    return compareStamps(left, right) > 0
  }

  #listenerFailed(error: unknown, event: string): void {
    this.#parts.count.listenerErrors++
    if (event !== 'listenerError') this.emitter.emit('listenerError', error, event)
  }
}
