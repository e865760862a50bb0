import { ProtocolError } from '../errors.js'
import { decodeFields, heartbeatFields, heartbeatOf, messageType } from './fields.js'
import type { Heartbeat } from './messages.js'

/** Largest datagram: fits into an Ethernet frame without being cut up. */
export const DATAGRAM_LIMIT_BYTES = 1_400

/** 7f 'T' 'L' 01. A Tomcat in the same group looks for "TRIBES-B" and "FLT2002" and drops what begins otherwise. */
const MAGIC: Uint8Array = Uint8Array.of(0x7f, 0x54, 0x4c, 0x01)
const heartbeatType = messageType('Heartbeat')

/**
 * A heartbeat as a datagram.
 *
 * @throws {ProtocolError} when a field is over its limit or the whole over {@link DATAGRAM_LIMIT_BYTES}
 */
export function encodeDatagram(heartbeat: Heartbeat): Uint8Array {
  const body = heartbeatType.encode(heartbeatFields(heartbeat) as Record<string, unknown>).finish()
  const bytes = new Uint8Array(MAGIC.length + body.length)
  if (bytes.length > DATAGRAM_LIMIT_BYTES) throw new ProtocolError(`Datagram of ${bytes.length} bytes`)
  bytes.set(MAGIC)
  bytes.set(body, MAGIC.length)
  return bytes
}

/**
 * The heartbeat in a datagram, or undefined if the datagram is not ours at all (another program's, a Tomcat's).
 *
 * @throws {ProtocolError} when it begins like ours and is not a heartbeat
 */
export function decodeDatagram(bytes: Uint8Array): Heartbeat | undefined {
  if (MAGIC.some((byte, index) => bytes[index] !== byte)) return undefined
  if (bytes.length > DATAGRAM_LIMIT_BYTES) throw new ProtocolError(`Datagram of ${bytes.length} bytes`)
  return heartbeatOf(decodeFields(heartbeatType, bytes.subarray(MAGIC.length)))
}
