import { Buffer } from 'node:buffer'
import type { Clock, Stream } from '../runtime/runtime.js'

/** From here on a packet goes out by itself, and with it what waits. */
const BATCH_BYTES_MAX = 16_384

/**
 * Packets of one turn of the event loop, sent in one call of the system. Mostly that is a whole response: its head, its
 * body and its end. So a process that is killed has sent a short answer or none, and web servers repeat what got none.
 */
export class PacketBatch {
  readonly #stream: Stream
  readonly #clock: Pick<Clock, 'soon'>
  #packets: Buffer[] = []
  #bytes = 0
  #isDue = false
  #isFull = false
  /** What the stream was given. */
  sentBytes = 0

  constructor(stream: Stream, clock: Pick<Clock, 'soon'>) {
    this.#stream = stream
    this.#clock = clock
  }

  /** Takes a packet; `false`: hold back until `drained`. */
  add(packet: Buffer): boolean {
    this.#packets.push(packet)
    this.#bytes += packet.length
    if (this.#bytes >= BATCH_BYTES_MAX) this.flush()
    else if (!this.#isDue) {
      this.#isDue = true
      this.#clock.soon(() => {
        this.#isDue = false
        this.flush()
      })
    }
    return !this.#isFull
  }

  /** Sends now. */
  flush(): void {
    const packets = this.#packets
    if (packets.length === 0) return
    this.sentBytes += this.#bytes
    this.drop()
    const [only] = packets
    this.#isFull = !this.#stream.write(packets.length === 1 ? (only as Buffer) : Buffer.concat(packets))
  }

  /** What was not sent is not sent any more. */
  drop(): void {
    this.#packets = []
    this.#bytes = 0
  }

  /** The stream has room again. */
  drained(): void {
    this.#isFull = false
  }
}
