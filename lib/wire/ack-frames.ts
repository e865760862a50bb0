import protobuf from 'protobufjs/light.js'
import { ProtocolError } from '../errors.js'
import { LIMITS, named, numberOf, numberWithin, wholeNumber } from './fields.js'
import { PREFIX_BYTES } from './frame.js'
import { frames } from './frame-space.js'
import type { Frame } from './messages.js'
import { lengthAt, lengthBytes, VARINT_END, varintBytes, writeVarint } from './varint.js'

/** Acknowledgements, written and read without reflection. The format is the same. */

type AckFrame = Extract<Frame, { kind: 'ack' }>
type Reader = protobuf.Reader

const EXCEPTIONS = ['rejected', 'deferred'] as const
const NONE: AckFrame['exceptions'] = []
const ACK_TAG = 74

/** An `ack` frame with its length. */
export function encodeAck({ received, applied, exceptions }: AckFrame): Uint8Array {
  if (exceptions.length === 0 && received < VARINT_END && applied < VARINT_END) return encodePlain(received, applied)
  if (exceptions.length > LIMITS.ackExceptions) throw new ProtocolError('Too many exceptions')
  const writer = protobuf.Writer.create().fixed32(0).uint32(ACK_TAG).fork()
  writer.uint32(8).uint64(wholeNumber(received, 'received')).uint32(16).uint64(wholeNumber(applied, 'applied'))
  for (const { number, reason } of exceptions) {
    writer.uint32(26).fork().uint32(8).uint64(wholeNumber(number, 'A number'))
    writer
      .uint32(16)
      .uint32(numberOf(EXCEPTIONS, reason, 'The reason'))
      .ldelim()
  }
  const bytes = writer.ldelim().finish()
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, bytes.length - PREFIX_BYTES)
  return bytes
}

/** Nearly all: nothing went wrong, and few enough messages for short numbers. */
function encodePlain(received: number, applied: number): Uint8Array {
  const body = 2 + varintBytes(received) + varintBytes(applied)
  const room = frames.room(PREFIX_BYTES + 2 + body)
  const { bytes, at: start } = room
  bytes[start] = bytes[start + 1] = bytes[start + 2] = 0
  bytes[start + 3] = 2 + body
  bytes[start + 4] = ACK_TAG
  bytes[start + 5] = body
  bytes[start + 6] = 8
  const at = writeVarint(bytes, start + 7, received)
  bytes[at] = 16
  return room.view(writeVarint(bytes, at + 1, applied) - start)
}

/**
 * The `ack` that the bytes between two places are as every member writes it when nothing went wrong. Undefined for
 * whatever else they are, which is left to the rules of `decodeAck`.
 */
export function readPlainAck(bytes: Uint8Array, start: number, end: number): AckFrame | undefined {
  if (bytes[start] !== ACK_TAG || start + 2 + (bytes[start + 1] as number) !== end) return undefined
  if (bytes[start + 2] !== 8) return undefined
  const at = start + 3 + lengthBytes(bytes, start + 3)
  if (at === start + 3 || bytes[at] !== 16) return undefined
  const appliedBytes = lengthBytes(bytes, at + 1)
  if (appliedBytes === 0 || at + 1 + appliedBytes !== end) return undefined
  const received = lengthAt(bytes, start + 3)
  return { kind: 'ack', received, applied: lengthAt(bytes, at + 1), exceptions: NONE }
}

/** An `ack` out of its body. */
export function decodeAck(body: Uint8Array): AckFrame {
  const reader = protobuf.Reader.create(body)
  const exceptions: AckFrame['exceptions'][number][] = []
  let received = 0
  let applied = 0
  while (reader.pos < reader.len) {
    const tag = reader.tag()
    if (tag === 8) received = readWhole(reader)
    else if (tag === 16) applied = readWhole(reader)
    else if (tag !== 26) reader.skipType(tag & 7, 0, tag >>> 3)
    else if (exceptions.length === LIMITS.ackExceptions) throw new ProtocolError('Too many exceptions')
    else exceptions.push(readException(reader))
  }
  return { kind: 'ack', received, applied, exceptions }
}

function readException(reader: Reader): AckFrame['exceptions'][number] {
  const end = numberWithin(reader.uint32(), 0, reader.len, 'A length') + reader.pos
  if (end > reader.len) throw new ProtocolError('A length is out of range')
  let number = 0
  let reason = 0
  while (reader.pos < end) {
    const tag = reader.tag()
    if (tag === 8) number = readWhole(reader)
    else if (tag === 16) reason = reader.uint32()
    else reader.skipType(tag & 7, 0, tag >>> 3)
  }
  if (reader.pos !== end) throw new ProtocolError('A length is out of range')
  return { number, reason: named(EXCEPTIONS, reason, 'The reason') }
}

/** A varint as a safe number, without the object protobufjs would make of 64 bits. */
function readWhole(reader: Reader): number {
  let value = 0
  let scale = 1
  for (let n = 0; n < 8; n += 1) {
    if (reader.pos >= reader.len) throw new ProtocolError('A number is cut off')
    const byte = reader.buf[reader.pos] as number
    reader.pos += 1
    value += (byte & 127) * scale
    if (byte < 128) return wholeNumber(value, 'A number')
    scale *= 128
  }
  throw new ProtocolError('A number is out of range')
}
