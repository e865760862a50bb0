import { Buffer } from 'node:buffer'
import type { MemberId } from '../membership/member.js'
import { APART_BYTES } from '../wire/hot-frames.js'
import { varintBytes, writeVarint } from '../wire/varint.js'
import { ID_FIELD_BYTES, seqOf, textBytes, uintBytes, writeId, writeText, writeUint } from './codec-writer.js'
import type { AttributeState } from './delta.js'
import type { Hash64 } from './mix.js'
import { PackedRecord } from './packed-record.js'
import type { RecordKey } from './replica-contract.js'
import { type AccessStamp, NEVER } from './stamp.js'

/** Members that are looked through instead of looked up. */
const LISTED_MAX = 8

/** What of a record is packed: all but when it was used, which each member tells by its own clock. */
export interface Packable {
  readonly key: RecordKey
  readonly attributes: { readonly cells: readonly ({ readonly name: string } & AttributeState)[] }
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
  /** Members, as the record refers to them by position. */
  readonly #origins: MemberId[] = []
  /** Their positions, where they are many. */
  #places: Map<MemberId, number> | undefined
  /** The member looked up last: mostly it is the only one. */
  #last: MemberId = ''
  #lastIndex = 0
  /** Bytes of the attributes, in their order. */
  readonly #sizes: number[] = []
  /** Bytes it takes. */
  readonly length: number
  /** Those of them that are large values. */
  apartBytes = 0

  constructor(record: Packable) {
    this.#record = record
    this.length = this.#measure()
  }

  /**
   * Writes the record at a place with room for `length` bytes; where it ends. With `leave` large values are not
   * written: it is told each of them, and where it belongs.
   */
  write(bytes: Buffer, start: number, leave?: (value: Uint8Array, at: number) => void): number {
    const { key, attributes, context, access, limit } = this.#record
    const seq = seqOf(key)
    let at = nest(bytes, start, 1, ID_FIELD_BYTES + uintBytes(seq))
    at = writeUint(bytes, writeId(bytes, at, 1, key), 2, seq)
    for (const origin of this.#origins) at = writeId(bytes, at, 2, origin)
    let index = 0
    for (const { name, stamp, value } of attributes.cells) {
      at = nest(bytes, at, 3, this.#sizes[index++]!)
      bytes[at++] = (1 << 3) | 2
      at = writeText(bytes, at, name)
      at = writeUint(bytes, at, 2, this.#indexOf(stamp.origin))
      at = writeUint(bytes, at, 3, stamp.wallMs)
      at = writeUint(bytes, at, 4, stamp.counter)
      at = writeUint(bytes, at, 5, stamp.seq)
      if (value === undefined) continue
      at = nest(bytes, at, 6, value.length)
      if (leave !== undefined && value.length >= APART_BYTES) {
        leave(value, at)
        continue
      }
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
    const length = leave === undefined ? this.length : this.length - this.apartBytes
    if (at !== start + length) throw new RangeError(`A record of ${length} bytes came out as ${at - start}`)
    return at
  }

  #measure(): number {
    const { key, attributes, context, access, limit } = this.#record
    let bytes = nestedBytes(ID_FIELD_BYTES + uintBytes(seqOf(key)))
    for (const { stamp } of attributes.cells) this.#list(stamp.origin)
    for (const [origin] of context) this.#list(origin)
    bytes += this.#origins.length * ID_FIELD_BYTES
    for (const cell of attributes.cells) {
      const size = this.#attributeBytes(cell)
      this.#sizes.push(size)
      bytes += nestedBytes(size)
    }
    for (const [origin, seq] of context) bytes += nestedBytes(uintBytes(this.#indexOf(origin)) + uintBytes(seq))
    bytes += nestedBytes(accessBytes(access))
    return limit === NEVER ? bytes : bytes + nestedBytes(accessBytes(limit))
  }

  #list(origin: MemberId): void {
    if (origin === this.#last || this.#indexOf(origin) !== -1) return
    const origins = this.#origins
    this.#last = origin
    this.#lastIndex = origins.length
    origins.push(origin)
    if (this.#places !== undefined) this.#places.set(origin, this.#lastIndex)
    else if (origins.length > LISTED_MAX) this.#places = new Map(origins.map((each, place) => [each, place]))
  }

  #indexOf(origin: MemberId): number {
    if (origin === this.#last) return this.#lastIndex
    const place = this.#places === undefined ? this.#origins.indexOf(origin) : (this.#places.get(origin) ?? -1)
    if (place !== -1) {
      this.#last = origin
      this.#lastIndex = place
    }
    return place
  }

  #attributeBytes({ name, stamp, value }: { readonly name: string } & AttributeState): number {
    const { origin, wallMs, counter, seq } = stamp
    const numbers = uintBytes(this.#indexOf(origin)) + uintBytes(wallMs) + uintBytes(counter) + uintBytes(seq)
    const bytes = nestedBytes(textBytes(name)) + numbers
    if (value !== undefined && value.length >= APART_BYTES) this.apartBytes += value.length
    return value === undefined ? bytes : bytes + nestedBytes(value.length)
  }
}

/** A record, packed. */
export function packRecord(record: Packable): Buffer {
  return bytesOf(new RecordPacker(record))
}

function bytesOf(packer: RecordPacker): Buffer {
  const bytes = Buffer.allocUnsafe(packer.length)
  packer.write(bytes, 0)
  return bytes
}

/**
 * A record on its way out, packed as it is written into its message, large values left where they lie: which is to be
 * done before the record changes, and is all that can be done with it.
 */
export class LooseRecord extends PackedRecord {
  readonly #packer: RecordPacker

  constructor(record: Packable, ageMs: number, hash: Hash64) {
    super(NOTHING, ageMs, hash)
    this.#packer = new RecordPacker(record)
  }

  override get length(): number {
    return this.#packer.length
  }

  override get apartBytes(): number {
    return this.#packer.apartBytes
  }

  override get bytes(): Buffer {
    return bytesOf(this.#packer)
  }

  override write(bytes: Buffer, start: number, leave: (piece: Uint8Array, at: number) => void): number {
    return this.#packer.write(bytes, start, leave)
  }
}

const NOTHING: Buffer = Buffer.alloc(0)

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
