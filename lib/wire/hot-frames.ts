import protobuf from 'protobufjs/light.js'
import { ProtocolError } from '../errors.js'
import { LIMITS, limitedText, named, numberOf, numberWithin, wholeNumber } from './fields.js'
import { PREFIX_BYTES } from './frame.js'
import { frameSpace } from './frame-space.js'
import type { Frame } from './messages.js'
import { TextTable } from './text-table.js'

/** The two frames that make up nearly all traffic, written and read without reflection. The format is the same. */

type MessageFrame = Extract<Frame, { kind: 'message' }>
type AckFrame = Extract<Frame, { kind: 'ack' }>
type Reader = protobuf.Reader

const EXCEPTIONS = ['rejected', 'deferred'] as const
const MESSAGE_TAG = 66
const ACK_TAG = 74

/** Topics are few and the same ones come again and again. */
const TOPICS = new TextTable(256)
/** A topic as it stands in a frame, of the topics sent on last. */
const topicFields = new Map<string, Uint8Array>()
const TOPIC_FIELDS_MAX = 1_024

/** A `message` frame with its length; the payload is copied once. */
export function encodeMessage({ topic, ack, payload }: MessageFrame): Uint8Array {
  const topicField = topicFields.get(topic) ?? topicFieldOf(topic)
  const size = payload.length
  const bodyBytes = topicField.length + (ack === 0 ? 0 : 2) + (size === 0 ? 0 : 1 + varintBytes(size) + size)
  const length = 1 + varintBytes(bodyBytes) + bodyBytes
  const bytes = frameSpace(PREFIX_BYTES + length)
  bytes[0] = length >>> 24
  bytes[1] = length >>> 16
  bytes[2] = length >>> 8
  bytes[3] = length
  bytes[4] = MESSAGE_TAG
  let at = writeVarint(bytes, 5, bodyBytes)
  bytes.set(topicField, at)
  at += topicField.length
  if (ack !== 0) {
    bytes[at++] = 16
    bytes[at++] = ack
  }
  if (size > 0) {
    bytes[at] = 26
    bytes.set(payload, writeVarint(bytes, at + 1, size))
  }
  return bytes
}

function topicFieldOf(topic: string): Uint8Array {
  const text = Buffer.from(limitedText(topic, LIMITS.topicBytes, 'The topic', 1))
  const field = Uint8Array.of(10, text.length, ...text)
  if (topicFields.size >= TOPIC_FIELDS_MAX) topicFields.clear()
  topicFields.set(topic, field)
  return field
}

/**
 * The `message` that these bytes are as every member writes it: topic, ack and payload in this order and nothing else.
 * Undefined for whatever else they are, which is left to reflection's rules. Nearly all frames are read here, with one
 * object made for the frame and one for the view of its payload.
 */
export function readPlainMessage(bytes: Uint8Array): MessageFrame | undefined {
  const end = bytes.length
  if (bytes[0] !== MESSAGE_TAG) return undefined
  let at = 1 + lengthBytes(bytes, 1)
  if (at === 1 || at + lengthAt(bytes, 1) !== end || bytes[at] !== 10) return undefined
  const topicBytes = bytes[at + 1] as number
  const topicAt = at + 2
  at = topicAt + topicBytes
  if (topicBytes === 0 || topicBytes > TOPIC_BYTES_MAX || at > end) return undefined
  let ack = 0
  if (bytes[at] === 16) {
    ack = bytes[at + 1] as number
    at += 2
  }
  if (ack > 2) return undefined
  let payload: Uint8Array = EMPTY
  if (at !== end) {
    if (bytes[at] !== 26) return undefined
    const start = at + 1 + lengthBytes(bytes, at + 1)
    if (start === at + 1 || start + lengthAt(bytes, at + 1) !== end) return undefined
    payload = bytes.subarray(start)
  }
  return { kind: 'message', topic: TOPICS.utf8(bytes, topicAt, topicAt + topicBytes), ack: ack as 0 | 1 | 2, payload }
}

const EMPTY = new Uint8Array(0)
/** What one byte of length can say; longer topics take the other way. */
const TOPIC_BYTES_MAX = Math.min(127, LIMITS.topicBytes)

/** How many bytes a length takes; 0 when it takes more than four. Beyond the end it reads on in nothing. */
function lengthBytes(bytes: Uint8Array, at: number): number {
  for (let n = 0; n < 4; n++) if ((bytes[at + n] ?? 0) < 128) return n + 1
  return 0
}

function lengthAt(bytes: Uint8Array, at: number): number {
  let value = 0
  for (let n = 0; n < 4; n++) {
    const byte = bytes[at + n] ?? 0
    value |= (byte & 127) << (7 * n)
    if (byte < 128) break
  }
  return value
}

function writeVarint(bytes: Uint8Array, start: number, value: number): number {
  let at = start
  let rest = value
  for (; rest > 127; rest >>>= 7) bytes[at++] = (rest & 127) | 128
  bytes[at++] = rest
  return at
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
