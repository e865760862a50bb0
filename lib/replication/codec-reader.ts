import { ProtocolError } from '../errors.js'
import { ID_BYTES, IdTable } from '../wire/id-table.js'
import { TextTable } from '../wire/text-table.js'
import { copyFrom } from '../wire/value-memory.js'
import { memoryOf } from '../wire/view.js'
import type { Hash64 } from './mix.js'

/** Names of attributes that came last, of all scopes. */
export const NAMES: TextTable = new TextTable(1_024)
/** Ids of members that came last. */
export const IDS: IdTable = new IdTable(256)

/**
 * How values leave a message: copied; taken, where a large one is nearly all of bytes that nobody else writes to; or
 * lent, to be looked at until the call is over.
 */
export type ValueLease = 'copied' | 'taken' | 'lent'

/**
 * A protobuf reader that trusts nothing: every length is checked against the bytes present. By hand, since reading a
 * delta is most of what a member does when others write; ProtocolError is all it throws.
 */
export class FieldReader {
  readonly #bytes: Uint8Array
  readonly #length: number
  readonly lease: ValueLease
  #at: number
  #wire = 0

  constructor(bytes: Uint8Array, at = 0, lease: ValueLease = 'copied') {
    this.#bytes = bytes
    this.lease = lease
    this.#length = bytes.length
    this.#at = at
  }

  /** What it reads. */
  get bytes(): Uint8Array {
    return this.#bytes
  }

  /** Where it stands. */
  get at(): number {
    return this.#at
  }

  get length(): number {
    return this.#length
  }

  /** The number of the next field before `end`, or 0 when there is none. */
  next(end: number): number {
    if (this.#at >= end) {
      if (this.#at > end) throw new ProtocolError('A field runs over its message')
      return 0
    }
    const tag = this.#varint32()
    const wire = tag & 7
    this.#wire = wire
    const field = tag >>> 3
    if (field === 0 || wire === 3 || wire === 4 || wire > 5) throw new ProtocolError('Bad field tag')
    return field
  }

  uint32(): number {
    this.#expect(0)
    return this.#varint32()
  }

  /** A whole number up to 2^53 - 1. */
  uint53(): number {
    this.#expect(0)
    let byte = this.#byte()
    if (byte < 128) return byte
    let value = byte & 127
    let scale = 128
    for (let n = 1; n < 8; n++) {
      byte = this.#byte()
      value += (byte & 127) * scale
      if (byte < 128) {
        if (value > Number.MAX_SAFE_INTEGER) break
        return value
      }
      scale *= 128
    }
    throw new ProtocolError('A number is too large')
  }

  fixed32(): number {
    this.#expect(5)
    return this.#uint32At(this.#advance(4))
  }

  /** Eight bytes, the lower half first. */
  fixed64(): Hash64 {
    this.#expect(1)
    const at = this.#advance(8)
    return { low: this.#uint32At(at), high: this.#uint32At(at + 4) }
  }

  /** A view of the bytes that were given. */
  view(limit: number): Uint8Array {
    const length = this.#limited(limit)
    const at = this.#advance(length)
    const bytes = this.#bytes
    return new Uint8Array(memoryOf(bytes), bytes.byteOffset + at, length)
  }

  /** Bytes of its own, or a small value would keep all it came with in memory. */
  copy(limit: number): Uint8Array {
    const length = this.#limited(limit)
    const at = this.#advance(length)
    const bytes = this.#bytes
    // One that came all but alone, as what was put together of two pieces does, keeps nothing else in memory.
    const isAlone = this.lease === 'taken' && 8 * length >= 7 * bytes.buffer.byteLength
    return isAlone ? new Uint8Array(bytes.buffer, bytes.byteOffset + at, length) : copyFrom(bytes, at, length)
  }

  /** Passes over bytes; where they begin. They end where the reader stands then. */
  pass(limit: number): number {
    return this.#advance(this.#limited(limit))
  }

  text(limit: number): string {
    const length = this.#limited(limit)
    const at = this.#advance(length)
    return NAMES.utf8(this.#bytes, at, at + length)
  }

  /** A member id, 16 bytes; `''` when it is empty. */
  id(): string {
    const length = this.#limited(ID_BYTES)
    const at = this.#advance(length)
    if (length === 0) return ''
    if (length !== ID_BYTES) throw new ProtocolError('A member id has 16 bytes')
    return IDS.at(this.#bytes, at)
  }

  /** The end of a nested message that starts here. */
  nested(): number {
    const length = this.#lengthOf()
    return this.#at + length
  }

  /** Passes over a field of a later version. */
  skip(): void {
    if (this.#wire === 2) this.#advance(this.#lengthOf())
    else if (this.#wire === 0) this.#varint32()
    else this.#advance(this.#wire === 1 ? 8 : 4)
  }

  #uint32At(at: number): number {
    const bytes = this.#bytes
    return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  }

  #limited(limit: number): number {
    const length = this.#lengthOf()
    if (length > limit) throw new ProtocolError(`${length} bytes where ${limit} are allowed`)
    return length
  }

  #lengthOf(): number {
    this.#expect(2)
    const length = this.#varint32()
    if (length > this.#length - this.#at) throw new ProtocolError('A length exceeds the message')
    return length
  }

  #expect(wire: number): void {
    if (this.#wire !== wire) throw new ProtocolError('A field has the wrong type')
  }

  /** Of a longer number the lower 32 bits, as protobuf has it. */
  #varint32(): number {
    let byte = this.#byte()
    if (byte < 128) return byte
    let value = byte & 127
    for (let shift = 7; shift < 70; shift += 7) {
      byte = this.#byte()
      if (shift < 32) value |= (byte & 127) << shift
      if (byte < 128) return value >>> 0
    }
    throw new ProtocolError('A number does not end')
  }

  #byte(): number {
    if (this.#at >= this.#length) throw new ProtocolError('The message is cut off')
    return this.#bytes[this.#at++] as number
  }

  /** Moves on; where that began. */
  #advance(count: number): number {
    const at = this.#at
    if (count > this.#length - at) throw new ProtocolError('The message is cut off')
    this.#at = at + count
    return at
  }
}
