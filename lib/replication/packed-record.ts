import type { Buffer } from 'node:buffer'
import { APART_BYTES } from '../wire/hot-frames.js'
import { decodeNumber } from './attribute-text.js'
import { FieldReader } from './codec-reader.js'
import { readRecordUpTo } from './codec-records.js'
import type { RecordSnapshot } from './delta.js'
import type { Hash64 } from './mix.js'
import { copyBytes } from './record-arena.js'
import { NAME_BYTES_MAX, VALUE_BYTES_MAX } from './record-limits.js'
import { type RecordSummary, summarize } from './record-summary.js'
import type { RecordKey } from './replica-contract.js'

/**
 * A record as it travels in a state transfer and lies in memory: the bytes of a `Record` without its age. They are
 * copied, not unpacked and packed again: a state transfer is mostly that. The bytes belong to somebody else, and lie
 * among others of his.
 */
export class PackedRecord {
  readonly source: Buffer
  readonly start: number
  readonly end: number
  /** Since its last use, in milliseconds. */
  readonly ageMs: number
  /** Its hash, where the holder keeps it: it need not be made out of the bytes then. */
  readonly hash: Hash64 | undefined
  #summary: RecordSummary | undefined
  #checked = false

  constructor(source: Buffer, ageMs: number, hash?: Hash64, start = 0, end: number = source.length) {
    this.source = source
    this.start = start
    this.end = end
    this.ageMs = ageMs
    this.hash = hash
  }

  get length(): number {
    return this.end - this.start
  }

  /** How many of its bytes `write` leaves where they lie: those of a large record, which nobody writes to again. */
  get apartBytes(): number {
    return this.length < APART_BYTES ? 0 : this.length
  }

  /** Copies it to a place, but what is to be left where it lies: `leave` is told that, and where it belongs. The end. */
  write(bytes: Buffer, start: number, leave: (piece: Uint8Array, at: number) => void): number {
    if (this.length >= APART_BYTES) {
      leave(this.bytes, start)
      return start
    }
    copyBytes(bytes, start, this.source, this.start, this.end)
    return start + this.length
  }

  /** The bytes by themselves. */
  get bytes(): Buffer {
    return this.source.subarray(this.start, this.end)
  }

  /**
   * Undefined for what is better merged by attributes: what an expiry has judged, what this version does not write.
   * @throws {ProtocolError} for what is no record
   */
  get summary(): RecordSummary | undefined {
    if (this.#checked) return this.#summary
    this.#summary = summarize(this.source, this.start, this.end, this.hash)
    // What is no plain record has to be one at least.
    if (this.#summary === undefined) this.snapshot()
    this.#checked = true
    return this.#summary
  }

  get key(): RecordKey {
    return this.summary?.key ?? this.snapshot().key
  }

  /** The record itself. */
  snapshot(): RecordSnapshot {
    const reader = new FieldReader(this.source, this.start)
    return { ...readRecordUpTo(reader, this.end), ageMs: this.ageMs }
  }

  /** A value of a record that has a summary; to be looked at only now. */
  value(name: string): Uint8Array | undefined {
    const at = this.#placeOf(name)
    return at === -1 ? undefined : this.source.subarray(this.#summary!.places[at], this.#summary!.places[at + 1])
  }

  /** The number that such a value says, without an object for its bytes; 0 without one. */
  number(name: string): number {
    const at = this.#placeOf(name)
    return at === -1 ? 0 : decodeNumber(this.source, this.#summary!.places[at], this.#summary!.places[at + 1])
  }

  #placeOf(name: string): number {
    const { summary } = this
    const at = summary === undefined ? -1 : 2 * summary.all.indexOf(name)
    return at < 0 || summary!.places[at] === -1 ? -1 : at
  }
}

/** A value in the packed record that lies between two places, copied. */
export function packedValue(bytes: Uint8Array, start: number, end: number, wanted: string): Uint8Array | undefined {
  const reader = new FieldReader(bytes, start)
  for (let field = reader.next(end); field !== 0; field = reader.next(end)) {
    if (field !== 3) {
      reader.skip()
      continue
    }
    const inner = reader.nested()
    let isWanted = false
    for (let part = reader.next(inner); part !== 0; part = reader.next(inner)) {
      if (part === 1) isWanted = reader.text(NAME_BYTES_MAX) === wanted
      else if (part === 6 && isWanted) return reader.copy(VALUE_BYTES_MAX)
      else reader.skip()
    }
    if (isWanted) return undefined
  }
  return undefined
}
