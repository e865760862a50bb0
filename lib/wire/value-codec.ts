import { Buffer } from 'node:buffer'
import { Packr, Unpackr } from 'msgpackr'
import { ProtocolError } from '../errors.js'
import { type FrameSpace, frames, scratch } from './frame-space.js'
import { APART_BYTES } from './hot-frames.js'
import { memoryFor, POOLED_BYTES_MAX } from './value-memory.js'

// Objects travel as records, described in the same bytes: without records a Map would come back as an object.
const options = { structuredClone: true, moreTypes: true, mapsAsObjects: false }
const packr = new Packr(options)
// What was decoded is the application's to change: it must not lie in the bytes that are kept.
const unpackr = new Unpackr({ ...options, copyBuffers: true })

/** MessagePack's marks of short texts: up to 31 bytes, the length in the mark; up to 255, in the byte that follows. */
const FIX_STR = 0xa0
const STR_8 = 0xd9
/** Numbers below it are their own mark; up to 255, they follow this one, and the next mark is of two bytes. */
const FIX_NUMBER_END = 0x40
const UINT_8 = 0xcc
/** Its mark of up to 255 bytes; the next two marks, as for texts, have longer lengths behind them. */
const BIN_8 = 0xc4
/** Buffer's own reader and writers, which take any Uint8Array. */
const { utf8Slice, utf8Write, latin1Write } = Buffer.prototype as unknown as {
  utf8Slice: (this: Uint8Array, start: number, end: number) => string
  utf8Write: (this: Uint8Array, text: string, at: number, length: number) => number
  latin1Write: (this: Uint8Array, text: string, at: number, length: number) => number
}

/**
 * A value as bytes: what structured clone keeps survives (Date, Map, Set, BigInt, typed arrays, undefined, cycles).
 * The caller owns the bytes.
 */
export function encodeValue(value: unknown): Uint8Array {
  if (typeof value === 'string') return encodeText(value)
  if (typeof value === 'number' && value >>> 0 === value && value < 0x1_0000) return encodeCount(value)
  if (Buffer.isBuffer(value) && value.constructor === Buffer) return encodeBytes(value)
  return packr.pack(value)
}

/**
 * The same in memory that is written again (see {@link spaceOf}), for who sends the bytes and does not keep them: large
 * values in memory of their own have the engine collect everything all the time. Undefined: it is no text nor Buffer of a
 * size for which that pays.
 */
export function lendValue(value: unknown): Uint8Array | undefined {
  if (typeof value === 'string') {
    if (!isLendable(value.length)) return undefined
    const length = Buffer.byteLength(value)
    return isLendable(length) ? encodeText(value, length, lent) : undefined
  }
  if (!Buffer.isBuffer(value) || value.constructor !== Buffer || !isLendable(value.length)) return undefined
  return encodeBytes(value, lent)
}

/** What most attributes are, without setting up the encoder, which costs more than their bytes. */
function encodeText(text: string, length: number = Buffer.byteLength(text), take = memoryFor): Uint8Array {
  const bytes = take((length < 32 ? 1 : headBytes(length)) + length)
  let at = 1
  if (length < 32) bytes[0] = FIX_STR | length
  else at = writeHead(bytes, STR_8, length)
  // As many bytes as characters: ASCII, which need not be looked at again.
  if (length === text.length) latin1Write.call(bytes, text, at, length)
  else utf8Write.call(bytes, text, at, length)
  return bytes
}

/** Counters are what changes most often. Numbers from 64 to 127 would be taken for the marks of records. */
function encodeCount(value: number): Uint8Array {
  const bytes = memoryFor(value < FIX_NUMBER_END ? 1 : value < 0x100 ? 2 : 3)
  if (value < FIX_NUMBER_END) bytes[0] = value
  else if (value < 0x100) {
    bytes[0] = UINT_8
    bytes[1] = value
  } else {
    bytes[0] = UINT_8 + 1
    bytes[1] = value >>> 8
    bytes[2] = value
  }
  return bytes
}

function encodeBytes(value: Buffer, take = memoryFor): Uint8Array {
  const { length } = value
  const bytes = take(headBytes(length) + length)
  bytes.set(value, writeHead(bytes, BIN_8, length))
  return bytes
}

function headBytes(length: number): number {
  return length < 0x100 ? 2 : length < 0x1_0000 ? 3 : 5
}

/** The mark and the length, which takes 1, 2 or 4 bytes; where they end. */
function writeHead(bytes: Uint8Array, mark8: number, length: number): number {
  if (length < 0x100) {
    bytes[0] = mark8
    bytes[1] = length
    return 2
  }
  if (length < 0x1_0000) {
    bytes[0] = mark8 + 1
    bytes[1] = length >>> 8
    bytes[2] = length
    return 3
  }
  bytes[0] = mark8 + 2
  bytes[1] = length >>> 24
  bytes[2] = length >>> 16
  bytes[3] = length >>> 8
  bytes[4] = length
  return 5
}

/** Where so many bytes are lent: among the frames if they are sent as they lie. */
export function spaceOf(length: number): FrameSpace {
  return length < APART_BYTES ? scratch : frames
}

/** Leaves room for the head. */
function isLendable(length: number): boolean {
  return length > POOLED_BYTES_MAX && length + headBytes(length) <= spaceOf(length).sharedBytesMax
}

function lent(length: number): Uint8Array {
  return spaceOf(length).room(length).view(length)
}

/**
 * The value of `encodeValue`'s bytes.
 *
 * @throws {ProtocolError} when the bytes are no such value
 */
export function decodeValue(bytes: Uint8Array): unknown {
  const plain = decodePlain(bytes)
  if (plain !== undefined) return plain
  try {
    // A Buffer comes back as one only out of a Buffer.
    const source = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    return unpackr.unpack(source) as unknown
  } catch (error) {
    throw new ProtocolError(`The bytes are no encoded value: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/**
 * The text, if the bytes are one short enough for a byte of length, or the number, if it is whole and below 65,536. Most
 * attributes are, and setting up the decoder for each of them costs several times more than reading it.
 */
function decodePlain(bytes: Uint8Array): string | number | undefined {
  const head = bytes[0] as number
  if (head < FIX_NUMBER_END) return bytes.length === 1 ? head : undefined
  if (head === UINT_8 && bytes.length === 2) return bytes[1]
  if (head === UINT_8 + 1 && bytes.length === 3) return ((bytes[1] as number) << 8) | (bytes[2] as number)
  if (head === STR_8 && bytes.length === 2 + (bytes[1] as number)) return textIn(bytes, 2)
  return head >= FIX_STR && head < FIX_STR + 32 && bytes.length === 1 + head - FIX_STR ? textIn(bytes, 1) : undefined
}

function textIn(bytes: Uint8Array, start: number): string {
  return utf8Slice.call(bytes, start, bytes.length)
}
