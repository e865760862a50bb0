import { Buffer } from 'node:buffer'
import { ProtocolError } from '../errors.js'
import { PACKET_HEAD_BYTES, TO_CONTAINER } from './codes.js'

const NOTHING = Buffer.alloc(0)

/** Cuts the web server's bytes into packets. Holds at most one that is not complete. */
export class PacketReader {
  readonly #packetSize: number
  #held: Buffer = NOTHING

  /** `packetSize`: of the largest packet, with its head. */
  constructor(packetSize: number) {
    this.#packetSize = packetSize
  }

  /**
   * The payloads that are complete now.
   *
   * @throws {ProtocolError} for bytes that begin no packet, and for one that says it is too long; whatever follows is
   *   lost, so close the connection
   */
  *read(bytes: Uint8Array): Generator<Buffer, void, undefined> {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const all = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    this.#held = NOTHING
    let at = 0
    while (all.length - at >= PACKET_HEAD_BYTES) {
      if (all.readUInt16BE(at) !== TO_CONTAINER) throw new ProtocolError('These bytes begin no AJP packet')
      const end = at + PACKET_HEAD_BYTES + all.readUInt16BE(at + 2)
      if (end - at > this.#packetSize) {
        throw new ProtocolError(`An AJP packet of ${end - at} bytes; the limit is ${this.#packetSize}`)
      }
      if (end > all.length) break
      yield all.subarray(at + PACKET_HEAD_BYTES, end)
      at = end
    }
    this.#held = all.subarray(at)
  }
}
