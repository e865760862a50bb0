import protobuf, { type Type } from 'protobufjs/light.js'
import { ProtocolError } from '../errors.js'
import { decodeAck, encodeAck, readPlainAck } from './ack-frames.js'
import {
  decodeFields,
  type Fields,
  heartbeatFields,
  heartbeatOf,
  idBytes,
  idOf,
  LIMITS,
  limitedList,
  limitedText,
  memberFields,
  memberOf,
  messageType,
  named,
  numberOf,
  numberWithin,
  timeField,
  wholeNumber,
} from './fields.js'
import { PREFIX_BYTES } from './frame.js'
import { decodeMessage, encodeMessage, readPlainMessage } from './hot-frames.js'
import type { ConnectionPurpose, Frame, RefusalReason } from './messages.js'

/** The protocol versions this build speaks: every handshake settles on the highest common one. */
export const PROTOCOL_VERSIONS = { min: 1, max: 1 } as const

const CONTROL_FRAME_LIMIT_BYTES = 524_288
const PURPOSES: readonly ConnectionPurpose[] = ['control', 'data', 'bulk', 'probe']
const REFUSALS: readonly RefusalReason[] = ['group', 'protocol', 'clock', 'self', 'stopping', 'superseded', 'limit']

interface FrameCodec {
  readonly field: number
  readonly type: Type
  readonly limitBytes: number
  toFields(frame: Frame): Fields
  fromFields(fields: Fields): Frame
}

const CODECS: { readonly [Kind in Exclude<Frame['kind'], 'message' | 'ack'>]: FrameCodec } = {
  hello: codec('hello', 1, 'Hello', 2_048, {
    toFields: hello => ({
      ...hello,
      purpose: numberOf(PURPOSES, hello.purpose, 'The purpose'),
      member: memberFields(hello.member),
      clusterTime: timeField(hello.clusterTime),
    }),
    fromFields: fields => ({
      kind: 'hello',
      protocolMin: wholeNumber(fields['protocolMin'], 'The protocol'),
      protocolMax: wholeNumber(fields['protocolMax'], 'The protocol'),
      group: limitedText(fields['group'], LIMITS.groupBytes, 'The group', 1),
      purpose: named(PURPOSES, fields['purpose'], 'The purpose'),
      member: memberOf(fields['member']),
      incarnation: wholeNumber(fields['incarnation'], 'The incarnation'),
      clusterTime: wholeNumber(fields['clusterTime'], 'The cluster time'),
      clockSettled: fields['clockSettled'] === true,
    }),
  }),
  welcome: codec('welcome', 2, 'Welcome', CONTROL_FRAME_LIMIT_BYTES, {
    toFields: welcome => ({
      ...welcome,
      member: memberFields(welcome.member),
      clusterTime: timeField(welcome.clusterTime),
      known: welcome.known.map(({ member, absent }) => ({ member: memberFields(member), absent })),
    }),
    fromFields: fields => ({
      kind: 'welcome',
      protocol: wholeNumber(fields['protocol'], 'The protocol'),
      member: memberOf(fields['member']),
      incarnation: wholeNumber(fields['incarnation'], 'The incarnation'),
      clusterTime: wholeNumber(fields['clusterTime'], 'The cluster time'),
      clockSettled: fields['clockSettled'] === true,
      known: limitedList(fields['known'], LIMITS.knownMembers, 'Known members').map(known => ({
        member: memberOf((known as Fields)['member']),
        absent: (known as Fields)['absent'] === true,
      })),
    }),
  }),
  refused: codec('refused', 3, 'Refused', 512, {
    toFields: ({ reason, detail }) => ({ reason: numberOf(REFUSALS, reason, 'The reason'), detail }),
    fromFields: fields => ({
      kind: 'refused',
      reason: named(REFUSALS, fields['reason'], 'The reason'),
      detail: limitedText(fields['detail'], LIMITS.detailBytes, 'The detail'),
    }),
  }),
  echo: codec('echo', 4, 'Echo', 64, {
    toFields: ({ nonce }) => ({ nonce }),
    fromFields: fields => ({ kind: 'echo', nonce: wholeNumber(fields['nonce'], 'The nonce') }),
  }),
  echoReply: codec('echoReply', 5, 'EchoReply', 64, {
    toFields: ({ nonce, clusterTime }) => ({ nonce, clusterTime: timeField(clusterTime) }),
    fromFields: fields => ({
      kind: 'echoReply',
      nonce: wholeNumber(fields['nonce'], 'The nonce'),
      clusterTime: wholeNumber(fields['clusterTime'], 'The cluster time'),
    }),
  }),
  heartbeat: codec('heartbeat', 6, 'Heartbeat', 16_384, {
    toFields: ({ heartbeat }) => heartbeatFields(heartbeat),
    fromFields: fields => ({ kind: 'heartbeat', heartbeat: heartbeatOf(fields) }),
  }),
  goodbye: codec('goodbye', 7, 'Goodbye', 64, {
    toFields: ({ member }) => ({ member: idBytes(member) }),
    fromFields: fields => ({ kind: 'goodbye', member: idOf(fields['member'], 'The id of a member') }),
  }),
}

const BY_FIELD: ReadonlyMap<number, FrameCodec> = new Map(Object.values(CODECS).map(each => [each.field, each]))
const MESSAGE_FIELD = 8
const ACK_FIELD = 9

/**
 * A frame as bytes, its length in front, ready to be written to any number of connections.
 *
 * @throws {ProtocolError} when a field is over its limit: a mistake of ours, not of the network
 */
export function encodeFrame(frame: Frame): Uint8Array {
  if (frame.kind === 'message') return encodeMessage(frame.topic, frame.ack, frame.payload)
  if (frame.kind === 'ack') return encodeAck(frame)
  const { field, type, limitBytes, toFields, fromFields } = CODECS[frame.kind]
  const fields = toFields(frame)
  fromFields(fields)
  const body = type.encode(fields as Record<string, unknown>).finish()
  if (body.length > limitBytes) throw new ProtocolError(`${type.name} of ${body.length} bytes`)
  const writer = protobuf.Writer.create()
  const bytes = writer
    .fixed32(0)
    .uint32((field << 3) | 2)
    .bytes(body)
    .finish()
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(0, bytes.length - PREFIX_BYTES)
  return bytes
}

/**
 * The frame in these bytes (without its length), or in those from `start` to `end`; undefined if it is of a kind this
 * version does not know. Byte fields are views of `bytes`.
 *
 * @throws {ProtocolError} when the bytes are not a frame or a field is over its limit; nothing else is thrown
 */
export function decodeFrame(bytes: Uint8Array, start = 0, end: number = bytes.length): Frame | undefined {
  const plain = readPlainMessage(bytes, start, end) ?? readPlainAck(bytes, start, end)
  if (plain !== undefined) return plain
  const reader = protobuf.Reader.create(bytes.subarray(start, end))
  let frame: Frame | undefined
  try {
    while (reader.pos < reader.len) {
      const tag = reader.tag()
      const field = tag >>> 3
      const known = (tag & 7) === 2 && field <= ACK_FIELD && field > 0
      if (!known) reader.skipType(tag & 7, 0, field)
      else if (frame !== undefined) throw new ProtocolError('Two kinds in one frame')
      else frame = decodeBody(field, reader.bytes())
    }
  } catch (error) {
    throw error instanceof ProtocolError ? error : new ProtocolError('Not a frame')
  }
  return frame
}

function decodeBody(field: number, body: Uint8Array): Frame | undefined {
  if (field === MESSAGE_FIELD) return decodeMessage(body)
  if (field === ACK_FIELD) return decodeAck(body)
  const { type, limitBytes, fromFields } = BY_FIELD.get(field) as FrameCodec
  numberWithin(body.length, 0, limitBytes, `The length of ${type.name}`)
  return fromFields(decodeFields(type, body))
}

function codec<Kind extends Frame['kind']>(
  _kind: Kind,
  field: number,
  typeName: string,
  limitBytes: number,
  mapping: {
    toFields(frame: Extract<Frame, { kind: Kind }>): Fields
    fromFields(fields: Fields): Extract<Frame, { kind: Kind }>
  },
): FrameCodec {
  const toFields = mapping.toFields as (frame: Frame) => Fields
  return { field, type: messageType(typeName), limitBytes, toFields, fromFields: mapping.fromFields }
}
