import { Buffer } from 'node:buffer'
import type { MemberId } from '../membership/member.js'
import { ID_BYTES } from '../wire/id-table.js'
import { varintBytes, writeVarint } from '../wire/varint.js'
import type { RecordKey } from './replica-contract.js'

/*
 * Fields as protobuf writes them, put into memory by hand: for what is written for every delta and every record. All of
 * these tell where they end.
 */

/** Tag, length and bytes of an id. */
export const ID_FIELD_BYTES: number = 2 + ID_BYTES

/** The number in a record's key: behind the last `#`. */
export function seqOf(key: RecordKey): number {
  let at = key.length - 1
  while (at > 0 && key.charCodeAt(at) !== 35) at--
  let seq = 0
  for (at++; at < key.length; at++) seq = seq * 10 + (key.charCodeAt(at) - 48)
  return seq
}

/** Bytes of a number's field; those that are 0 are left out. */
export function uintBytes(value: number): number {
  return value === 0 ? 0 : 1 + varintBytes(value)
}

/** Writes a number's field, unless it is 0; where it ends. */
export function writeUint(bytes: Uint8Array, at: number, field: number, value: number): number {
  if (value === 0) return at
  bytes[at] = field << 3
  return writeVarint(bytes, at + 1, value)
}

/** Writes the field of the id that `text` is or begins with; where it ends. */
export function writeId(bytes: Uint8Array, start: number, field: number, text: string): number {
  bytes[start] = (field << 3) | 2
  bytes[start + 1] = ID_BYTES
  if (text.length > 2 * ID_BYTES) readHex(text, bytes, start + 2)
  else {
    const id = idBytes(text)
    for (let i = 0; i < ID_BYTES; i++) bytes[start + 2 + i] = id[i] as number
  }
  return start + ID_FIELD_BYTES
}

/** The bytes of ids written last: members are few, and their ids in every delta. */
const knownIds = new Map<MemberId, Uint8Array>()
const KNOWN_IDS_MAX = 1_024
let lastId: MemberId = ''
let lastIdBytes: Uint8Array = new Uint8Array(ID_BYTES)

function idBytes(id: MemberId): Uint8Array {
  if (id === lastId) return lastIdBytes
  let bytes = knownIds.get(id)
  if (bytes === undefined) {
    bytes = new Uint8Array(ID_BYTES)
    readHex(id, bytes, 0)
    if (knownIds.size >= KNOWN_IDS_MAX) knownIds.clear()
    knownIds.set(id, bytes)
  }
  lastId = id
  lastIdBytes = bytes
  return bytes
}

/** Writes the 16 bytes that a text's first 32 digits stand for. */
function readHex(text: string, bytes: Uint8Array, at: number): void {
  for (let i = 0; i < ID_BYTES; i++) {
    bytes[at + i] = (digit(text.charCodeAt(2 * i)) << 4) | digit(text.charCodeAt(2 * i + 1))
  }
}

/** The value of a hexadecimal digit in lower case. */
function digit(code: number): number {
  return code < 58 ? code - 48 : code - 87
}

/** Writes a text with its length; where it ends. */
export function writeText(bytes: Buffer, start: number, text: string): number {
  const length = textBytes(text)
  const at = writeVarint(bytes, start, length)
  if (length === text.length && length <= SHORT_TEXT) {
    for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i)
  } else bytes.write(text, at, length, 'utf8')
  return at + length
}

/** Up to here going through a text is cheaper than a call into the engine. */
const SHORT_TEXT = 32

/** Up to here copying byte by byte is cheaper than `set`: arrays come as Buffers and plain, which makes every step dear. */
const SHORT_VALUE = 12

/** Writes bytes as they are. */
export function writeBytes(bytes: Uint8Array, at: number, value: Uint8Array): number {
  const { length } = value
  if (length > SHORT_VALUE) bytes.set(value, at)
  else for (let i = 0; i < length; i++) bytes[at + i] = value[i] as number
  return at + length
}

/** Bytes of a text in UTF-8. */
export function textBytes(text: string): number {
  const { length } = text
  if (length > SHORT_TEXT) return Buffer.byteLength(text)
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) > 127) return Buffer.byteLength(text)
  return length
}
