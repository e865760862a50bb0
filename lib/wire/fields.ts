import { Buffer } from 'node:buffer'
import protobuf, { type Type } from 'protobufjs/light.js'
import { ProtocolError } from '../errors.js'
import type { Member, MemberId } from '../membership/member.js'
import type { Heartbeat } from './messages.js'
import { schema } from './schema.js'

/** The limits of the protocol; what exceeds them is neither written nor accepted. */
export const LIMITS = {
  hostBytes: 255,
  groupBytes: 128,
  topicBytes: 128,
  detailBytes: 256,
  advertisements: 32,
  advertisementBytes: 64,
  knownMembers: 1_024,
  ackExceptions: 65_536,
} as const

/** What reflection makes of a message: fields that are missing are undefined. */
export type Fields = { readonly [name: string]: unknown }

const root = protobuf.Root.fromJSON(schema)
const NAME = /^[A-Za-z0-9_-]{1,64}$/
const HEX_ID = /^[0-9a-f]{32}$/
const HEX_VIEW = /^[0-9a-f]{16}$/

/** The reflected type of a message of tribeline.proto. */
export function messageType(name: string): Type {
  return root.lookupType(`tribeline.${name}`)
}

/** The message's fields by reflection. @throws {ProtocolError} for whatever reflection throws */
export function decodeFields(type: Type, bytes: Uint8Array): Fields {
  try {
    // Own properties only: the prototype carries the defaults, and objects and lists must not be shared.
    return type.decode(bytes) as unknown as Fields
  } catch {
    throw new ProtocolError(`Not a ${type.name}`)
  }
}

/** A whole number from 0 to 2^53 - 1; protobufjs hands 64-bit values over as objects of two halves. */
export function wholeNumber(value: unknown, what: string): number {
  let number: unknown = value ?? 0
  if (typeof number === 'object') {
    const { high, low } = number as { high: number; low: number }
    number = (high >>> 0) * 4_294_967_296 + (low >>> 0)
  }
  if (!Number.isSafeInteger(number) || (number as number) < 0) throw new ProtocolError(`${what} is out of range`)
  return number as number
}

/** A whole number of the range. */
export function numberWithin(value: unknown, least: number, most: number, what: string): number {
  const number = wholeNumber(value, what)
  if (number < least || number > most) throw new ProtocolError(`${what} is out of range`)
  return number
}

/** Text of at most so many bytes of UTF-8. */
export function limitedText(value: unknown, mostBytes: number, what: string, leastBytes = 0): string {
  const text = value ?? ''
  if (typeof text !== 'string') throw new ProtocolError(`${what} is not text`)
  const bytes = text.length > mostBytes ? text.length : Buffer.byteLength(text)
  if (bytes < leastBytes || bytes > mostBytes) throw new ProtocolError(`${what} has ${bytes} bytes`)
  return text
}

/** Bytes within a limit. */
export function limitedBytes(value: unknown, mostBytes: number, what: string): Uint8Array {
  const bytes = value ?? new Uint8Array(0)
  if (!(bytes instanceof Uint8Array) || bytes.length > mostBytes) throw new ProtocolError(`${what} is too long`)
  return bytes
}

/** A list within a limit. */
export function limitedList(value: unknown, most: number, what: string): readonly unknown[] {
  const list = value ?? []
  if (!Array.isArray(list) || list.length > most) throw new ProtocolError(`${what}: too many`)
  return list
}

/** One of the named values, by its number. */
export function named<T>(names: readonly T[], value: unknown, what: string): T {
  const name = names[numberWithin(value, 0, names.length - 1, what)]
  return name as T
}

/** The number of a named value. */
export function numberOf<T>(names: readonly T[], name: T, what: string): number {
  return numberWithin(names.indexOf(name), 0, names.length - 1, what)
}

/** 16 bytes as the id they stand for. */
export function idOf(value: unknown, what: string): MemberId {
  if (!(value instanceof Uint8Array) || value.length !== 16) throw new ProtocolError(`${what} is not an id`)
  return hexOf(value)
}

/** The 16 bytes of an id. */
export function idBytes(id: MemberId): Uint8Array {
  if (!HEX_ID.test(id)) throw new ProtocolError('The id of a member is 32 hex digits')
  return Buffer.from(id, 'hex')
}

/** A member out of its fields. */
export function memberOf(value: unknown): Member {
  if (typeof value !== 'object' || value === null) throw new ProtocolError('A member is missing')
  const fields = value as Fields
  const name = fields['name']
  if (typeof name !== 'string' || !NAME.test(name)) throw new ProtocolError('The name of a member is not allowed')
  return {
    id: idOf(fields['id'], 'The id of a member'),
    name,
    host: limitedText(fields['host'], LIMITS.hostBytes, 'The host of a member', 1),
    port: numberWithin(fields['port'], 1, 65_535, 'The port of a member'),
  }
}

/** A member's fields. */
export function memberFields(member: Member): Fields {
  const id = idBytes(member.id)
  memberOf({ ...member, id })
  return { id, name: member.name, host: member.host, port: member.port }
}

/** A heartbeat out of its fields. */
export function heartbeatOf(fields: Fields): Heartbeat {
  const view = fields['view']
  if (!(view instanceof Uint8Array) || view.length !== 8) throw new ProtocolError('The view is not 8 bytes')
  return {
    group: limitedText(fields['group'], LIMITS.groupBytes, 'The group', 1),
    member: memberOf(fields['member']),
    incarnation: wholeNumber(fields['incarnation'], 'The incarnation'),
    count: wholeNumber(fields['count'], 'The count'),
    view: hexOf(view),
    leaving: fields['leaving'] === true,
    clusterTime: wholeNumber(fields['clusterTime'], 'The cluster time'),
    advertisements: limitedList(fields['advertisements'], LIMITS.advertisements, 'Advertisements').map(
      advertisement => {
        const { topic, data } = advertisement as Fields
        return {
          topic: limitedText(topic, LIMITS.topicBytes, 'A topic', 1),
          // Few, and whoever they are for may keep them.
          bytes: Uint8Array.from(limitedBytes(data, LIMITS.advertisementBytes, 'An advertisement')),
        }
      },
    ),
  }
}

/** A heartbeat's fields. */
export function heartbeatFields(heartbeat: Heartbeat): Fields {
  if (!HEX_VIEW.test(heartbeat.view)) throw new ProtocolError('The view is 16 hex digits')
  const fields = {
    group: heartbeat.group,
    member: memberFields(heartbeat.member),
    incarnation: heartbeat.incarnation,
    count: heartbeat.count,
    view: Buffer.from(heartbeat.view, 'hex'),
    leaving: heartbeat.leaving,
    clusterTime: timeField(heartbeat.clusterTime),
    advertisements: heartbeat.advertisements.map(({ topic, bytes }) => ({ topic, data: bytes })),
  }
  heartbeatOf(fields)
  return fields
}

/** Times go over the wire in whole milliseconds. */
export function timeField(timeMs: number): number {
  return wholeNumber(Math.max(0, Math.floor(timeMs)), 'The cluster time')
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}
