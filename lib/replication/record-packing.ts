import type { MemberId } from '../membership/member.js'
import type { AttributeState } from './delta.js'
import {
  ID_FIELD_BYTES,
  seqOf,
  uintBytes,
  varintBytes,
  writeId,
  writeText,
  writeUint,
  writeVarint,
} from './delta-codec.js'
import type { RecordKey } from './replica-contract.js'
import { type AccessStamp, NEVER } from './stamp.js'

/** What of a record is packed: all but when it was used, which each member tells by its own clock. */
export interface Packable {
  readonly key: RecordKey
  readonly attributes: Iterable<readonly [name: string, state: AttributeState]>
  readonly context: Iterable<readonly [origin: MemberId, seq: number]>
  readonly access: AccessStamp
  readonly limit: AccessStamp
}

/**
 * Packs records: a `Record` of replication.proto without `age_ms`, by hand, since whole states are sent and stored so.
 * Lengths are summed up first, so that everything is written once and in its place.
 */
export class RecordPacker {
  readonly #record: Packable
  readonly #attributes: readonly (readonly [name: string, state: AttributeState])[]
  /** Members by position, as the record refers to them. */
  readonly #origins = new Map<MemberId, number>()
  /** The member looked up last: mostly it is the only one. */
  #last: MemberId = ''
  #lastIndex = 0
  /** Bytes of the attributes, in their order. */
  readonly #sizes: number[] = []
  /** Bytes it takes. */
  readonly length: number

  constructor(record: Packable) {
    this.#record = record
    this.#attributes = [...record.attributes]
    this.length = this.#measure()
  }

  /** Writes the record at a place with room for `length` bytes. */
  write(bytes: Buffer, start: number): void {
    const { key, context, access, limit } = this.#record
    const attributes = this.#attributes
    const seq = seqOf(key)
    let at = nest(bytes, start, 1, ID_FIELD_BYTES + uintBytes(seq))
    at = writeUint(bytes, writeId(bytes, at, 1, key), 2, seq)
    for (const origin of this.#origins.keys()) at = writeId(bytes, at, 2, origin)
    let index = 0
    for (const [name, { stamp, value }] of attributes) {
      at = nest(bytes, at, 3, this.#sizes[index++]!)
      bytes[at++] = (1 << 3) | 2
      at = writeText(bytes, at, name)
      at = writeUint(bytes, at, 2, this.#indexOf(stamp.origin))
      at = writeUint(bytes, at, 3, stamp.wallMs)
      at = writeUint(bytes, at, 4, stamp.counter)
      at = writeUint(bytes, at, 5, stamp.seq)
      if (value === undefined) continue
      at = nest(bytes, at, 6, value.length)
      bytes.set(value, at)
      at += value.length
    }
    for (const [origin, last] of context) {
      const place = this.#indexOf(origin)
      at = nest(bytes, at, 4, uintBytes(place) + uintBytes(last))
      at = writeUint(bytes, writeUint(bytes, at, 1, place), 2, last)
    }
    at = writeAccess(bytes, at, 5, access)
    if (limit !== NEVER) at = writeAccess(bytes, at, 7, limit)
    if (at !== start + this.length) throw new RangeError(`A record of ${this.length} bytes came out as ${at - start}`)
  }

  #measure(): number {
    const { key, context, access, limit } = this.#record
    const attributes = this.#attributes
    let bytes = nestedBytes(ID_FIELD_BYTES + uintBytes(seqOf(key)))
    for (const [, { stamp }] of attributes) this.#list(stamp.origin)
    for (const [origin] of context) this.#list(origin)
    bytes += this.#origins.size * ID_FIELD_BYTES
    for (const [name, state] of attributes) {
      const size = this.#attributeBytes(name, state)
      this.#sizes.push(size)
      bytes += nestedBytes(size)
    }
    for (const [origin, seq] of context) bytes += nestedBytes(uintBytes(this.#indexOf(origin)) + uintBytes(seq))
    bytes += nestedBytes(accessBytes(access))
    return limit === NEVER ? bytes : bytes + nestedBytes(accessBytes(limit))
  }

  #list(origin: MemberId): void {
    if (origin === this.#last) return
    if (!this.#origins.has(origin)) this.#origins.set(origin, this.#origins.size)
    this.#indexOf(origin)
  }

  #indexOf(origin: MemberId): number {
    if (origin !== this.#last) {
      this.#lastIndex = this.#origins.get(origin)!
      this.#last = origin
    }
    return this.#lastIndex
  }

  #attributeBytes(name: string, { stamp, value }: AttributeState): number {
    const { origin, wallMs, counter, seq } = stamp
    const numbers = uintBytes(this.#indexOf(origin)) + uintBytes(wallMs) + uintBytes(counter) + uintBytes(seq)
    const bytes = nestedBytes(textBytes(name)) + numbers
    return value === undefined ? bytes : bytes + nestedBytes(value.length)
  }
}

/** A record, packed. */
export function packRecord(record: Packable): Buffer {
  const packer = new RecordPacker(record)
  const bytes = Buffer.allocUnsafe(packer.length)
  packer.write(bytes, 0)
  return bytes
}

/** Bytes of a name in UTF-8; asking the engine costs more than looking at a short one. */
function textBytes(text: string): number {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return Buffer.byteLength(text)
  return text.length
}

function nestedBytes(length: number): number {
  return 1 + varintBytes(length) + length
}

/** Tag and length of what comes next. */
function nest(bytes: Buffer, start: number, field: number, length: number): number {
  bytes[start] = (field << 3) | 2
  return writeVarint(bytes, start + 1, length)
}

function accessBytes({ origin, wallMs, counter }: AccessStamp): number {
  return (origin === '' ? 0 : ID_FIELD_BYTES) + uintBytes(wallMs) + uintBytes(counter)
}

function writeAccess(bytes: Buffer, start: number, field: number, access: AccessStamp): number {
  let at = nest(bytes, start, field, accessBytes(access))
  if (access.origin !== '') at = writeId(bytes, at, 1, access.origin)
  at = writeUint(bytes, at, 2, access.wallMs)
  return writeUint(bytes, at, 3, access.counter)
}
