import type { DeltaWrites } from '../replication/delta.js'
import type { RecordKey, RecordStore, Stamp } from '../replication/replica-contract.js'
import { SmallMap } from '../replication/small-map.js'
import { compareStamps } from '../replication/stamp.js'
import { type FrameChunk, letGo } from '../wire/frame-space.js'
import { encodeValue, lendValue, spaceOf } from '../wire/value-codec.js'
import { memoryOf } from '../wire/view.js'
import type { BytesAgain, Written } from './view-base.js'

/**
 * The large values of one commit, encoded in memory that is written again: they are sent from there and copied into the
 * record, and nobody has them in memory of their own, which the engine would have to collect. The memory is held until
 * the commit is over, since listeners run meanwhile who may wait for what waits for its end.
 */
export class Loan {
  #values: SmallMap<unknown> | undefined
  #held: FrameChunk[] | undefined

  /** Whether nothing was lent. */
  get isEmpty(): boolean {
    return this.#values === undefined
  }

  /** A value's bytes; undefined: of this one none are lent. */
  encode(name: string, value: unknown): Uint8Array | undefined {
    const bytes = lendValue(value)
    if (bytes === undefined) return undefined
    this.#values ??= new SmallMap()
    this.#values.set(name, value)
    const chunk = spaceOf(bytes.length).hold(memoryOf(bytes))
    if (chunk === undefined) return bytes
    if (this.#held === undefined) this.#held = [chunk]
    else this.#held.push(chunk)
    return bytes
  }

  /** It is not to be written. */
  takeBack(name: string, bytes: Uint8Array): void {
    spaceOf(bytes.length).takeBack(bytes)
    this.#values?.delete(name)
    if (this.#values?.size === 0) this.#values = undefined
  }

  /** What was written with this stamp, as the view may keep it: without the bytes that were lent. */
  written(writes: DeltaWrites, store: RecordStore, key: RecordKey, stamp: Stamp): Written {
    const written = new SmallMap<Uint8Array | BytesAgain | undefined>()
    for (let place = 0; place < writes.size; place++) {
      const name = writes.nameAt(place)
      const isLent = this.#values?.has(name) === true
      const again = isLent ? new LentBytes(this.#values?.get(name), { store, key, name, stamp }) : undefined
      written.set(name, again ?? writes.valueAt(place))
    }
    return written
  }

  /** The bytes are on their way, or not to be written. */
  end(): void {
    if (this.#held !== undefined) letGo(this.#held)
  }
}

/** One write of one attribute. */
interface Place {
  readonly store: RecordStore
  readonly key: RecordKey
  readonly name: string
  readonly stamp: Stamp
}

/** They are in the record, unless somebody has written over them. */
class LentBytes implements BytesAgain {
  readonly #value: unknown
  readonly #place: Place

  constructor(value: unknown, place: Place) {
    this.#value = value
    this.#place = place
  }

  /** A Buffer may have become another meanwhile; a text has not. */
  make(): Uint8Array | undefined {
    const { store, key, name } = this.#place
    if (this.#isStored) return store.attribute(key, name)
    return typeof this.#value === 'string' ? this.assume() : undefined
  }

  assume(): Uint8Array {
    return encodeValue(this.#value)
  }

  get #isStored(): boolean {
    const { store, key, name, stamp } = this.#place
    const now = store.stamp(key, name)
    return now !== undefined && compareStamps(now, stamp) === 0
  }
}
