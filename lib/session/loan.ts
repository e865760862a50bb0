import type { RecordKey, RecordStore, Stamp } from '../replication/replica-contract.js'
import { compareStamps } from '../replication/stamp.js'
import { type FrameChunk, frames, letGo } from '../wire/frame-space.js'
import { memoryOf } from '../wire/view.js'
import { lend, type SessionCodec } from './session-codec.js'
import type { BytesAgain } from './view-base.js'

/**
 * The large values of one commit, encoded in memory of frames: they are sent from there and copied into the record, and
 * nobody has them in memory of their own, which the engine would have to collect. The memory is held until the commit is
 * over, since listeners run meanwhile who may wait for what waits for its end.
 */
export class Loan {
  readonly #codec: SessionCodec
  #values: Map<string, unknown> | undefined
  #held: FrameChunk[] | undefined

  constructor(codec: SessionCodec) {
    this.#codec = codec
  }

  /** Whether nothing was lent. */
  get isEmpty(): boolean {
    return this.#values === undefined
  }

  /** A value's bytes; undefined: of this one none are lent. */
  encode(name: string, value: unknown): Uint8Array | undefined {
    const bytes = lend(this.#codec, value)
    if (bytes === undefined) return undefined
    this.#values ??= new Map()
    this.#values.set(name, value)
    const chunk = frames.hold(memoryOf(bytes))
    this.#held ??= []
    if (chunk !== undefined) this.#held.push(chunk)
    return bytes
  }

  /** It is not to be written. */
  takeBack(name: string, bytes: Uint8Array): void {
    frames.takeBack(bytes)
    this.#values?.delete(name)
    if (this.#values?.size === 0) this.#values = undefined
  }

  /** Where to get the bytes once more that were written with this stamp. */
  again(store: RecordStore, key: RecordKey, stamp: Stamp): ReadonlyMap<string, BytesAgain> {
    const again = new Map<string, BytesAgain>()
    for (const [name, value] of this.#values ?? []) {
      const kept = (): Uint8Array | undefined => {
        const now = store.stamp(key, name)
        return now !== undefined && compareStamps(now, stamp) === 0 ? store.attribute(key, name) : undefined
      }
      again.set(name, {
        // Where somebody has written over them, a Buffer may have become another meanwhile; a text has not.
        get isCertain() {
          return typeof value === 'string' || kept() !== undefined
        },
        make: () => kept() ?? this.#codec.encode(value),
      })
    }
    return again
  }

  /** The bytes are on their way, or not to be written; it may serve another commit. */
  end(): void {
    if (this.#held !== undefined) letGo(this.#held)
    this.#held = undefined
    this.#values = undefined
  }
}
