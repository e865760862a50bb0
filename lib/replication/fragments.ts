import { Buffer } from 'node:buffer'
import { MessageTooLargeError, ProtocolError } from '../errors.js'
import type { MemberId } from '../membership/member.js'

/** Bytes of a message that travel whole; more goes in parts. Fits into the smallest frame a receiver may allow. */
export const PART_BYTES = 60_000
/** The same to those who say that they take as much: twice a large session, and no more than live deltas can wait for. */
export const WHOLE_BYTES_MAX = 524_288
/** Largest message, in bytes: a record at its limits fits, also after several members wrote to it at once. */
export const MESSAGE_BYTES_MAX: number = 16 * 1024 * 1024

/** Mark, number of the message, index of the part, number of parts. */
const HEAD_BYTES = 9
/** Messages begin with a protobuf tag, and no tag is 0. */
const MARK = 0
const PARTS_MAX = Math.ceil(MESSAGE_BYTES_MAX / PART_BYTES)
const HELD_BYTES_MAX = 64 * 1024 * 1024
const HELD_MAX = 64
/** The parts of a message are sent in one go: what is older has lost its end. */
const HELD_MS_MAX = 60_000

/** Pieces put together: the only one as it is. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces)
}

/** Bytes of all pieces. */
export function bytesOf(pieces: readonly Uint8Array[]): number {
  let bytes = 0
  for (const { length } of pieces) bytes += length
  return bytes
}

/**
 * A message in parts, to be sent in this order over one connection; undefined when it may travel whole.
 *
 * @throws {MessageTooLargeError} above MESSAGE_BYTES_MAX
 */
export function fragments(message: Uint8Array, number: number): Uint8Array[] | undefined {
  if (message.length <= PART_BYTES) return undefined
  if (message.length > MESSAGE_BYTES_MAX) {
    throw new MessageTooLargeError('The message', message.length, MESSAGE_BYTES_MAX)
  }
  const count = Math.ceil(message.length / PART_BYTES)
  return Array.from({ length: count }, (_, index) => {
    const content = message.subarray(index * PART_BYTES, (index + 1) * PART_BYTES)
    const part = Buffer.allocUnsafeSlow(HEAD_BYTES + content.length)
    const view = new DataView(part.buffer)
    view.setUint8(0, MARK)
    view.setUint32(1, number >>> 0)
    view.setUint16(5, index)
    view.setUint16(7, count)
    part.set(content, HEAD_BYTES)
    return part
  })
}

/** Whether this is part of a message, and not a whole one. */
export function isPart(payload: Uint8Array): boolean {
  return payload[0] === MARK
}

interface Held {
  readonly from: MemberId
  readonly sinceMs: number
  readonly parts: Uint8Array[]
  bytes: number
}

/**
 * Puts messages together again (Tribes: FragmentationInterceptor). Parts of one sender come in order or not at all: a
 * gap costs the whole message, as if it had been lost. What is held is what has arrived, at most 64 MiB of at most 64
 * messages; beyond that the oldest goes.
 */
export class Defragmenter {
  readonly #held = new Map<string, Held>()
  #bytes = 0

  /** Bytes of messages that are not yet complete. */
  get heldBytes(): number {
    return this.#bytes
  }

  /**
   * The message that `payload` is or completes; `waiting` for more of it, or `incomplete`: parts of it were lost.
   *
   * @throws {ProtocolError} for a part no sender makes
   */
  take(payload: Uint8Array, from: MemberId, nowMs: number): Uint8Array | 'waiting' | 'incomplete' {
    if (!isPart(payload)) return payload
    if (payload.length <= HEAD_BYTES) throw new ProtocolError('A part without content')
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
    const index = view.getUint16(5)
    const count = view.getUint16(7)
    if (count < 2 || count > PARTS_MAX || index >= count) throw new ProtocolError('A part is out of range')
    const id = `${from}/${view.getUint32(1)}`
    if (index === 0) this.#begin(id, from, nowMs)
    const held = this.#held.get(id)
    if (held === undefined || index > held.parts.length) {
      this.#drop(id)
      return 'incomplete'
    }
    if (index < held.parts.length) return 'waiting'
    const part = payload.slice(HEAD_BYTES)
    held.parts.push(part)
    held.bytes += part.length
    this.#bytes += part.length
    if (held.bytes > MESSAGE_BYTES_MAX) {
      this.#drop(id)
      throw new ProtocolError('The parts of a message are too many bytes')
    }
    if (held.parts.length === count) {
      this.#drop(id)
      return Buffer.concat(held.parts)
    }
    for (const oldest of this.#held.keys()) {
      if (this.#bytes <= HELD_BYTES_MAX) break
      this.#drop(oldest)
    }
    return 'waiting'
  }

  /** The sender is gone, and with it the rest of its messages. */
  forget(from: MemberId): void {
    for (const [id, held] of this.#held) if (held.from === from) this.#drop(id)
  }

  #begin(id: string, from: MemberId, nowMs: number): void {
    this.#drop(id)
    for (const [oldest, { sinceMs }] of this.#held) {
      if (this.#held.size < HELD_MAX && nowMs - sinceMs < HELD_MS_MAX) break
      this.#drop(oldest)
    }
    this.#held.set(id, { from, sinceMs: nowMs, parts: [], bytes: 0 })
  }

  #drop(id: string): void {
    this.#bytes -= this.#held.get(id)?.bytes ?? 0
    this.#held.delete(id)
  }
}
