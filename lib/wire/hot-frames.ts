import { Buffer } from 'node:buffer'
import protobuf from 'protobufjs/light.js'
import { ProtocolError } from '../errors.js'
import { LIMITS, limitedText } from './fields.js'
import { PREFIX_BYTES } from './frame.js'
import { type FrameRoom, frames } from './frame-space.js'
import type { Frame } from './messages.js'
import { TextTable } from './text-table.js'
import { lengthAt, lengthBytes, varintBytes, writeVarint } from './varint.js'
import { memoryOf, offsetOf, viewOf } from './view.js'

/** Messages, which make up nearly all traffic, written and read without reflection. The format is the same. */

type MessageFrame = Extract<Frame, { kind: 'message' }>
type Reader = protobuf.Reader

const MESSAGE_TAG = 66

/** Topics are few and the same ones come again and again. */
const TOPICS = new TextTable(256)
/** A topic as it stands in a frame, of the topics sent on last. */
const topicFields = new Map<string, Uint8Array>()
const TOPIC_FIELDS_MAX = 1_024

/** A `message` frame with its length. The payload is copied once, unless it was written where `messageRoom` said. */
export function encodeMessage(topic: string, ack: MessageFrame['ack'], payload: Uint8Array): Uint8Array {
  const size = payload.length
  // What was written last is mostly sent at once.
  const { latest } = frames
  if (payload === latest.viewed && latest.head > 0 && size === last.size) {
    if (topic === last.topic && ack === last.ack) return latest.frame(size)
  }
  const field = fieldOf(topic)
  const chunk = size === 0 ? undefined : frames.chunkOf(memoryOf(payload))
  const head = headBytes(field, ack, size)
  if (chunk !== undefined) {
    const start = offsetOf(payload) - head
    if (start >= 0 && isHead(chunk.bytes, start, field, ack, size)) return viewOf(memoryOf(payload), start, head + size)
  }
  const room = messageRoom(topic, ack, size)
  if (size > 0) room.bytes.set(payload, room.at)
  return room.frame(size)
}

/**
 * Room for the payload of a `message` frame whose head is written already: a message that is made there is a frame as
 * it stands, which saves a copy of every value on its way out. `encodeMessage` recognizes it by what lies before it, so
 * it does no harm when the message is sent otherwise, or not at all.
 */
export function messageRoom(topic: string, ack: MessageFrame['ack'], size: number): FrameRoom {
  const field = fieldOf(topic)
  const head = headBytes(field, ack, size)
  const room = frames.room(head + size)
  writeHead(room.bytes, room.at, field, ack, size)
  room.at += head
  room.head = head
  last.size = size
  if (field !== last.field) {
    last.topic = topic
    last.field = field
  }
  last.ack = ack
  return room
}

/** What messages were given room for last. */
const last = {
  size: 0,
  topic: '',
  field: new Uint8Array(0) as Uint8Array,
  ack: 0,
}

/** Payloads of so many bytes are not copied into a frame but written from where they lie, behind their head. */
export const APART_BYTES = 8_192

/** A `message` frame as far as this beginning of its payload; the rest is to be written behind it. */
export function encodeHead(topic: string, ack: MessageFrame['ack'], size: number, begin: Uint8Array): Uint8Array {
  const field = fieldOf(topic)
  const head = headBytes(field, ack, size)
  const room = frames.room(head + begin.length)
  writeHead(room.bytes, room.at, field, ack, size)
  if (begin.length > 0) room.bytes.set(begin, room.at + head)
  return room.frame(head + begin.length)
}

/** No beginning. */
export const NO_BYTES: Uint8Array = new Uint8Array(0)

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

function fieldOf(topic: string): Uint8Array {
  if (topic === last.topic) return last.field
  const known = topicFields.get(topic)
  if (known !== undefined) return known
  const text = Buffer.from(limitedText(topic, LIMITS.topicBytes, 'The topic', 1))
  const field = new Uint8Array(1 + varintBytes(text.length) + text.length)
  field[0] = 10
  field.set(text, writeVarint(field, 1, text.length))
  if (topicFields.size >= TOPIC_FIELDS_MAX) topicFields.clear()
  topicFields.set(topic, field)
  return field
}

/**
 * The `message` that the bytes between two places are as every member writes it: topic, ack and payload in this order
 * and nothing else. Undefined for whatever else they are, which is left to `decodeMessage`. Nearly all frames are
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
  let payload: Uint8Array = NO_BYTES
  if (at !== end) {
    if (bytes[at] !== 26) return undefined
    const from = at + 1 + lengthBytes(bytes, at + 1)
    if (from === at + 1 || from + lengthAt(bytes, at + 1) !== end) return undefined
    payload = viewOf(memoryOf(bytes), offsetOf(bytes) + from, end - from)
  }
  return { kind: 'message', topic: TOPICS.utf8(bytes, topicAt, topicAt + topicBytes), ack: ack as 0 | 1 | 2, payload }
}

/** What one byte of length can say; longer topics take the other way. */
const TOPIC_BYTES_MAX = Math.min(127, LIMITS.topicBytes)

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
  // Not as the reader's Buffer, whose `slice` is a view and no copy.
  const { buffer, byteOffset, length } = payload ?? NO_BYTES
  return { kind: 'message', topic, ack: ack as 0 | 1 | 2, payload: new Uint8Array(buffer, byteOffset, length) }
}

function readText(reader: Reader, mostBytes: number): string {
  const start = reader.pos
  const length = reader.uint32()
  if (length > mostBytes) throw new ProtocolError(`A text of ${length} bytes`)
  reader.pos = start
  return reader.string()
}
