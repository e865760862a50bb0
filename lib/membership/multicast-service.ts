import debugging from 'debug'
import { ListenError } from '../errors.js'
import type { Clock, DatagramSocket, Endpoint, Network, Timer } from '../runtime/runtime.js'
import { decodeDatagram, encodeDatagram } from '../wire/datagram.js'
import type { Heartbeat } from '../wire/messages.js'
import type { MembershipCounts, MembershipService, MembershipServiceHandlers } from './membership-service.js'

/** Where heartbeats are sent to. */
export interface MulticastServiceOptions {
  readonly group: string
  readonly address: string
  readonly port: number
  /** Address of the interface, or `auto`. */
  readonly bind: string
  readonly ttl: number
  /** Addresses to try besides, for members multicast does not reach. */
  readonly seeds: readonly Endpoint[]
}

/** A socket that broke is opened again after this time. */
const REOPEN_MS = 1_000

const debug = debugging('tribeline:membership')

/** Heartbeats by UDP multicast, as Tribes' McastService sends them. What is not ours is counted and dropped. */
export class MulticastService implements MembershipService {
  readonly broadcasts = true
  readonly seeds: readonly Endpoint[]

  readonly #clock: Clock
  readonly #network: Network
  readonly #options: MulticastServiceOptions
  readonly #counts = { sent: 0, heard: 0, foreign: 0, garbage: 0 }
  #handlers: MembershipServiceHandlers | undefined
  #socket: DatagramSocket | undefined
  #reopen: Timer | undefined

  constructor(world: { readonly clock: Clock; readonly network: Network }, options: MulticastServiceOptions) {
    this.#clock = world.clock
    this.#network = world.network
    this.#options = options
    this.seeds = options.seeds
  }

  get counts(): MembershipCounts {
    return { ...this.#counts }
  }

  async start(handlers: MembershipServiceHandlers): Promise<void> {
    this.#handlers = handlers
    try {
      await this.#open()
    } catch (error) {
      this.#handlers = undefined
      const { address, port, bind } = this.#options
      throw new ListenError(`Cannot join the multicast group ${address}:${port} on interface ${bind}`, error)
    }
  }

  broadcast(heartbeat: Heartbeat): void {
    if (!this.#socket) return
    this.#counts.sent++
    this.#socket.send(encodeDatagram(heartbeat), { host: this.#options.address, port: this.#options.port })
  }

  stop(): void {
    this.#handlers = undefined
    this.#reopen?.cancel()
    this.#socket?.close()
    this.#socket = undefined
  }

  async #open(): Promise<void> {
    const { address, port, bind, ttl } = this.#options
    const multicast = bind === 'auto' ? { address, ttl } : { address, bind, ttl }
    const socket = await this.#network.bindDatagram(
      { port, multicast },
      { message: bytes => this.#received(bytes), failed: error => this.#failed(error) },
    )
    if (this.#handlers) this.#socket = socket
    else socket.close()
  }

  #received(bytes: Uint8Array): void {
    if (!this.#handlers) return
    let heartbeat: Heartbeat | undefined
    try {
      heartbeat = decodeDatagram(bytes)
    } catch {
      heartbeat = undefined
    }
    if (!heartbeat) {
      this.#counts.garbage++
      return
    }
    if (heartbeat.group !== this.#options.group) {
      this.#counts.foreign++
      return
    }
    this.#counts.heard++
    this.#handlers.heartbeat(heartbeat)
  }

  #failed(error: Error): void {
    this.#socket = undefined
    if (!this.#handlers) return
    debug('multicast socket broke, opening another: %s', error.message)
    this.#reopen = this.#clock.setTimer(REOPEN_MS, () => {
      this.#open().catch((again: unknown) => this.#failed(again instanceof Error ? again : new Error(String(again))))
    })
  }
}
