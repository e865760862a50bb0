import protobuf from 'protobufjs/light.js'
import { ProtocolError } from '../errors.js'
import { LIMITS, limitedText, named, numberOf, numberWithin, wholeNumber } from './fields.js'
import { PREFIX_BYTES } from './frame.js'
import type { Frame } from './messages.js'

/** The two frames that make up nearly all traffic, written and read without reflection. The format is the same. */

type MessageFrame = Extract<Frame, { kind: 'message' }>
type AckFrame = Extract<Frame, { kind: 'ack' }>
type Reader = protobuf.Reader

const EXCEPTIONS = ['rejected', 'deferred'] as const
const MESSAGE_TAG = 66
const ACK_TAG = 74

/** A `message` frame with its length; the payload is copied once. */
export function encodeMessage({ topic, ack, payload }: MessageFrame): Uint8Array {
  const topicBytes = Buffer.byteLength(limitedText(topic, LIMITS.topicBytes, 'The topic', 1))
  const payloadHead = payload.length === 0 ? 0 : 1 + varintBytes(payload.length)
  const bodyBytes = 1 + varintBytes(topicBytes) + topicBytes + (ack === 0 ? 0 : 2) + payloadHead + payload.length
  const head = protobuf.Writer.create().fixed32(0).uint32(MESSAGE_TAG).uint32(bodyBytes).uint32(10).string(topic)
  if (ack !== 0) head.uint32(16).uint32(ack)
  if (payload.length > 0) head.uint32(26).uint32(payload.length)
  const bytes = Buffer.allocUnsafe(head.pos + payload.length)
  head.finishInto(bytes)
  bytes.set(payload, head.pos)
  bytes.writeUInt32BE(bytes.length - PREFIX_BYTES)
  return bytes
}

/** A `message` out of its body; the payload is a view. */
export function decodeMessage(body: Uint8Array): MessageFrame {
  const reader = protobuf.Reader.create(body)
  let topic = ''
  let ack = 0
  let payload: Uint8Array | undefined
  while (reader.pos < reader.len) {
    const tag = reader.tag()
    if (tag === 10) topic = readText(reader, LIMITS.topicBytes)
    else if (tag === 16) ack = reader.uint32()
    else if (tag === 26) payload = reader.bytes()
    else reader.skipType(tag & 7, 0, tag >>> 3)
  }
  if (topic === '') throw new ProtocolError('A message without a topic')
  if (ack > 2) throw new ProtocolError('Unknown acknowledgement wanted')
  return { kind: 'message', topic, ack: ack as 0 | 1 | 2, payload: payload ?? new Uint8Array(0) }
}

/** An `ack` frame with its length. */
export function encodeAck({ received, applied, exceptions }: AckFrame): Uint8Array {
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

function readText(reader: Reader, mostBytes: number): string {
  const start = reader.pos
  const length = reader.uint32()
  if (length > mostBytes) throw new ProtocolError(`A text of ${length} bytes`)
  reader.pos = start
  return reader.string()
}

function varintBytes(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x20_0000) return 3
  return value < 0x1000_0000 ? 4 : 5
}
