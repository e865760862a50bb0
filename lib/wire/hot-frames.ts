import protobuf from 'protobufjs/light.js'
import { ProtocolError } from '../errors.js'
import { LIMITS, limitedText, named, numberOf, numberWithin, wholeNumber } from './fields.js'
import { PREFIX_BYTES } from './frame.js'
import { chunkOf, type FrameRoom, frameRoom } from './frame-space.js'
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

/** A `message` frame with its length. The payload is copied once, unless it was written where `messageRoom` said. */
export function encodeMessage({ topic, ack, payload }: MessageFrame): Uint8Array {
  const size = payload.length
  const field = topicFields.get(topic) ?? topicFieldOf(topic)
  const chunk = size === 0 ? undefined : chunkOf(payload)
  const head = headBytes(field, ack, size)
  if (chunk !== undefined) {
    const start = payload.byteOffset - head
    if (start >= 0 && isHead(chunk, start, field, ack, size)) return new Uint8Array(payload.buffer, start, head + size)
  }
  const { bytes, at } = messageRoom(topic, ack, size)
  if (size > 0) bytes.set(payload, at)
  return new Uint8Array(bytes.buffer, at - head, head + size)
}

/**
 * Room for the payload of a `message` frame whose head is written already: a message that is made there is a frame as
 * it stands, which saves a copy of every value on its way out. `encodeMessage` recognizes it by what lies before it, so
 * it does no harm when the message is sent otherwise, or not at all.
 */
export function messageRoom(topic: string, ack: MessageFrame['ack'], size: number): FrameRoom {
  const field = topicFields.get(topic) ?? topicFieldOf(topic)
  const head = headBytes(field, ack, size)
  const room = frameRoom(head + size) as { bytes: Buffer; at: number }
  writeHead(room.bytes, room.at, field, ack, size)
  room.at += head
  return room
}

/** Payloads of so many bytes are not copied into a frame but written from where they lie, behind their head. */
export const APART_BYTES = 8_192

/** All of a `message` frame but its payload, which is to be written behind it. */
export function encodeHead(topic: string, ack: MessageFrame['ack'], size: number): Uint8Array {
  const field = topicFields.get(topic) ?? topicFieldOf(topic)
  const head = headBytes(field, ack, size)
  const { bytes, at } = frameRoom(head)
  writeHead(bytes, at, field, ack, size)
  return new Uint8Array(bytes.buffer, at, head)
}

/** Bytes of a frame with a payload of so many, behind its length and its tag. */
function bodyBytes(topicField: Uint8Array, ack: number, size: number): number {
  return topicField.length + (ack === 0 ? 0 : 2) + (size === 0 ? 0 : 1 + varintBytes(size) + size)
}

function headBytes(topicField: Uint8Array, ack: number, size: number): number {
  const body = bodyBytes(topicField, ack, size)
  return PREFIX_BYTES + 1 + varintBytes(body) + body - size
}

function writeHead(bytes: Uint8Array, start: number, topicField: Uint8Array, ack: number, size: number): void {
  const body = bodyBytes(topicField, ack, size)
  const length = 1 + varintBytes(body) + body
  bytes[start] = length >>> 24
  bytes[start + 1] = length >>> 16
  bytes[start + 2] = length >>> 8
  bytes[start + 3] = length
  bytes[start + PREFIX_BYTES] = MESSAGE_TAG
  let at = writeVarint(bytes, start + PREFIX_BYTES + 1, body)
  for (let i = 0; i < topicField.length; i++) bytes[at++] = topicField[i] as number
  if (ack !== 0) {
    bytes[at++] = 16
    bytes[at++] = ack
  }
  if (size === 0) return
  bytes[at] = 26
  writeVarint(bytes, at + 1, size)
}

/** Whether the head of this very frame stands there; then what it says of the payload behind it is true as well. */
function isHead(bytes: Uint8Array, start: number, topicField: Uint8Array, ack: number, size: number): boolean {
  const head = headBytes(topicField, ack, size)
  writeHead(wanted, 0, topicField, ack, size)
  for (let i = 0; i < head; i++) if (bytes[start + i] !== wanted[i]) return false
  return true
}

/** As long as the longest head. */
const wanted = new Uint8Array(LIMITS.topicBytes + 32)

function topicFieldOf(topic: string): Uint8Array {
  const text = Buffer.from(limitedText(topic, LIMITS.topicBytes, 'The topic', 1))
  const field = Uint8Array.of(10, text.length, ...text)
  if (topicFields.size >= TOPIC_FIELDS_MAX) topicFields.clear()
  topicFields.set(topic, field)
  return field
}

/**
 * The `message` that the bytes between two places are as every member writes it: topic, ack and payload in this order
 * and nothing else. Undefined for whatever else they are, which is left to reflection's rules. Nearly all frames are
 * read here, with one object made for the frame and one for the view of its payload.
 */
export function readPlainMessage(bytes: Uint8Array, start = 0, end: number = bytes.length): MessageFrame | undefined {
  if (bytes[start] !== MESSAGE_TAG) return undefined
  let at = start + 1 + lengthBytes(bytes, start + 1)
  if (at === start + 1 || at + lengthAt(bytes, start + 1) !== end || bytes[at] !== 10) return undefined
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
    const from = at + 1 + lengthBytes(bytes, at + 1)
    if (from === at + 1 || from + lengthAt(bytes, at + 1) !== end) return undefined
    payload = new Uint8Array(bytes.buffer, bytes.byteOffset + from, end - from)
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
