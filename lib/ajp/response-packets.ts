import { Buffer } from 'node:buffer'
import { HEADER_CODE, PACKET_HEAD_BYTES, RESPONSE_CODE, RESPONSE_HEADERS, TO_WEB_SERVER } from './codes.js'

/** Bytes around the data of a body chunk: the packet's head, a code, a length, and a zero at the end. */
const CHUNK_FRAME_BYTES = PACKET_HEAD_BYTES + 4
const HEADER_CODES: ReadonlyMap<string, number> = new Map(
  RESPONSE_HEADERS.map((name, index) => [name, (HEADER_CODE << 8) | (index + 1)]),
)

/** The answer to CPing: here we are. */
export const CPONG: Buffer = packet(Buffer.of(RESPONSE_CODE.cpong))

/** The most data that one packet of this size brings of a request's body. */
export function bodyBytesMax(packetSize: number): number {
  return packetSize - PACKET_HEAD_BYTES - 2
}

/**
 * Status and headers.
 *
 * @param headers Names and values in turn.
 * @returns undefined when they do not fit into a packet.
 */
export function headersPacket(
  status: number,
  message: string,
  headers: readonly string[],
  packetSize: number,
): Buffer | undefined {
  const parts = [Buffer.of(RESPONSE_CODE.headers), number(status), text(message), number(headers.length / 2)]
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string
    const code = HEADER_CODES.get(name.toLowerCase())
    parts.push(code === undefined ? text(name) : number(code), text(headers[at + 1] as string))
  }
  const bytes = parts.reduce((sum, part) => sum + part.length, PACKET_HEAD_BYTES)
  return bytes > packetSize ? undefined : packet(...parts)
}

/** Data of the response's body, in as many packets as it takes; nothing for none, since an empty chunk is a flush. */
export function bodyPackets(data: Uint8Array, packetSize: number): Buffer {
  const chunkMax = packetSize - CHUNK_FRAME_BYTES
  const packets = Math.ceil(data.length / chunkMax)
  const bytes = Buffer.allocUnsafe(data.length + packets * CHUNK_FRAME_BYTES)
  let at = 0
  for (let from = 0; from < data.length; from += chunkMax) {
    const chunk = data.subarray(from, from + chunkMax)
    at = bytes.writeUInt16BE(TO_WEB_SERVER, at)
    at = bytes.writeUInt16BE(chunk.length + CHUNK_FRAME_BYTES - PACKET_HEAD_BYTES, at)
    at = bytes.writeUInt8(RESPONSE_CODE.bodyChunk, at)
    at = bytes.writeUInt16BE(chunk.length, at)
    bytes.set(chunk, at)
    at = bytes.writeUInt8(0, at + chunk.length)
  }
  return bytes
}

/** Asks for so many bytes of the request's body. */
export function getBodyPacket(bytes: number): Buffer {
  return packet(Buffer.of(RESPONSE_CODE.getBodyChunk), number(bytes))
}

/** The response is over; `reuse`: the connection takes another request. */
export function endPacket(reuse: boolean): Buffer {
  return packet(Buffer.of(RESPONSE_CODE.end, reuse ? 1 : 0))
}

function packet(...parts: readonly Buffer[]): Buffer {
  const payload = Buffer.concat(parts)
  return Buffer.concat([number(TO_WEB_SERVER), number(payload.length), payload])
}

function number(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff)
}

function text(value: string): Buffer {
  const length = Buffer.byteLength(value, 'latin1')
  // What is longer does not fit into any packet, and is noticed by its size.
  return Buffer.concat([number(Math.min(length, 0xffff)), Buffer.from(value, 'latin1'), Buffer.of(0)])
}
