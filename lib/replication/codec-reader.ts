import protobuf from 'protobufjs/minimal.js'
import { ProtocolError } from '../errors.js'

/** A protobuf reader that trusts nothing: every length is checked against the bytes present. */
export class FieldReader {
  readonly #reader: protobuf.Reader
  #wire = 0

  constructor(bytes: Uint8Array) {
    this.#reader = protobuf.Reader.create(bytes)
  }

  get length(): number {
    return this.#reader.len
  }

  /** The number of the next field before `end`, or 0 when there is none. */
  next(end: number): number {
    if (this.#reader.pos === end) return 0
    if (this.#reader.pos > end) throw new ProtocolError('A field runs over its message')
    const tag = this.#reader.uint32()
    this.#wire = tag & 7
    const field = tag >>> 3
    if (field === 0 || this.#wire === 3 || this.#wire === 4 || this.#wire > 5) throw new ProtocolError('Bad field tag')
    return field
  }

  uint32(): number {
    this.#expect(0)
    return this.#reader.uint32()
  }

  /** A whole number up to 2^53 - 1. */
  uint53(): number {
    this.#expect(0)
    const value: unknown = this.#reader.uint64()
    const number = typeof value === 'number' ? value : Number((value as { toNumber(): number }).toNumber())
    if (!Number.isSafeInteger(number) || number < 0) throw new ProtocolError('A number is too large')
    return number
  }

  fixed32(): number {
    this.#expect(5)
    return this.#reader.fixed32() >>> 0
  }

  bytes(limit: number): Uint8Array {
    const length = this.#length()
    if (length > limit) throw new ProtocolError(`${length} bytes where ${limit} are allowed`)
    const start = this.#reader.pos
    this.#reader.pos = start + length
    return this.#reader.buf.subarray(start, start + length)
  }

  text(limit: number): string {
    const bytes = this.bytes(limit)
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  }

  /** The end of a nested message that starts here. */
  nested(): number {
    const length = this.#length()
    return this.#reader.pos + length
  }

  /** Passes over a field of a later version. */
  skip(): void {
    if (this.#wire === 2) this.#reader.pos += this.#length()
    else this.#reader.skipType(this.#wire)
  }

  #length(): number {
    this.#expect(2)
    const length = this.#reader.uint32()
    if (length > this.#reader.len - this.#reader.pos) throw new ProtocolError('A length exceeds the message')
    return length
  }

  #expect(wire: number): void {
    if (this.#wire !== wire) throw new ProtocolError('A field has the wrong type')
  }
}
