import type { Buffer } from 'node:buffer'
import { Duplex } from 'node:stream'

/** What a socket says of both ends of its connection. */
export interface SocketAddresses {
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
  /** Whether the client speaks TLS. */
  readonly encrypted: boolean
}

/** One end of a connection inside the process. */
export class PairedSocket extends Duplex {
  protected peer: PairedSocket | undefined
  #hasEnded = false
  /** Says to the peer that what it wrote was taken. */
  #taken: (() => void) | undefined

  /** Joins two ends. */
  static join(one: PairedSocket, other: PairedSocket): void {
    one.peer = other
    other.peer = one
  }

  override _read(): void {
    this.#take()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    const { peer } = this
    // As TCP does it: what is written to an end that is closed is lost, and the writer learns of it later.
    if (peer === undefined || peer.destroyed || chunk.length === 0) return callback()
    this.active()
    peer.active()
    peer.#taken = callback
    peer.push(chunk)
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.endPeer()
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    callback(error)
    this.#take()
  }

  /** The peer reads an end behind what was written. */
  protected endPeer(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.peer?.push(null)
  }

  /** Bytes went in or out. */
  protected active(): void {}

  #take(): void {
    const taken = this.#taken
    this.#taken = undefined
    taken?.()
  }
}

/**
 * The end for a client of `node:http`. The client closes as soon as it has its answer, but a server that is still at
 * work would take that for a client that hung up; so the end reaches the server when that has ended, too.
 */
export class ClientSocket extends PairedSocket {
  constructor() {
    super({ allowHalfOpen: false })
  }

  override _final(callback: (error?: Error | null) => void): void {
    if (this.readableEnded) super._final(callback)
    else this.once('end', () => super._final(callback))
  }

  /** At once, whatever the server has not read: nobody waits for its answer. */
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    super._destroy(error, callback)
    process.nextTick(() => this.peer?.destroy())
  }
}

/** The end for a server of `node:http`: what applications use of a `net.Socket`, with addresses that are given. */
export class ServerSocket extends PairedSocket {
  readonly encrypted: boolean
  readonly remoteAddress: string | undefined
  readonly remoteFamily: 'IPv4' | 'IPv6'
  readonly remotePort: number | undefined
  readonly localAddress: string | undefined
  readonly localPort: number | undefined
  /** Milliseconds without a byte until `timeout` is emitted; 0 and undefined: never. */
  timeout: number | undefined
  #timer: NodeJS.Timeout | undefined

  constructor({ remoteAddress, remotePort, localAddress, localPort, encrypted }: SocketAddresses) {
    super()
    this.encrypted = encrypted
    this.remoteAddress = remoteAddress
    this.remoteFamily = remoteAddress?.includes(':') ? 'IPv6' : 'IPv4'
    this.remotePort = remotePort
    this.localAddress = localAddress
    this.localPort = localPort
  }

  setTimeout(timeoutMs: number, callback?: () => void): this {
    this.timeout = timeoutMs
    if (callback !== undefined) this.once('timeout', callback)
    this.active()
    return this
  }

  /** Does nothing: there is no TCP connection. */
  setNoDelay(): this {
    return this
  }

  /** Does nothing: there is no TCP connection. */
  setKeepAlive(): this {
    return this
  }

  /** Does nothing: the process does not live for this socket. */
  ref(): this {
    return this
  }

  /** Does nothing: the process does not live for this socket. */
  unref(): this {
    return this
  }

  address(): { address?: string | undefined; port?: number | undefined } {
    return { address: this.localAddress, port: this.localPort }
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    clearTimeout(this.#timer)
    super._destroy(error, callback)
    process.nextTick(() => this.endPeer())
  }

  protected override active(): void {
    if (this.timeout === undefined) return
    clearTimeout(this.#timer)
    if (this.timeout > 0 && !this.destroyed) {
      this.#timer = setTimeout(() => this.emit('timeout'), this.timeout).unref()
    }
  }
}
