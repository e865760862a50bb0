import type { Buffer } from 'node:buffer'
import { type ClientRequest, request as httpRequest, type IncomingMessage, type Server } from 'node:http'
import { ClientSocket, PairedSocket } from '../runtime/node-socket.js'
import type { AjpSocket } from './ajp-socket.js'
import { type HttpHead, responseHeaders } from './http-head.js'

/** What an exchange tells its owner. Nothing is called after `end` or `failed`. */
export interface ExchangeHandlers {
  /** Once, first. `headers`: names and values in turn, without those of the connection. */
  headers(status: number, message: string, headers: readonly string[]): void
  /** Data of the response; `false`: hold the rest back until `resume`. */
  data(bytes: Uint8Array): boolean
  /** The response is complete. */
  end(): void
  /** There will be no response, or no more of it. */
  failed(): void
  /** There is room for more of the request's body. */
  hungry(): void
}

/**
 * One request, given to an `http.Server` as the only one on a connection inside the process. HTTP is parsed once more
 * in each direction, and in return the application has a real request and response, whatever it does with them.
 */
export class AjpExchange {
  readonly #handlers: ExchangeHandlers
  readonly #client: ClientSocket = new ClientSocket()
  readonly #socket: AjpSocket
  readonly #request: ClientRequest
  #response: IncomingMessage | undefined
  #isOver = false

  /**
   * @param socket What the application is to see.
   * @param headBytesMax The most bytes that the head of the response may have.
   * @throws for a head that HTTP cannot express, such as a header with a line break
   */
  constructor(head: HttpHead, socket: AjpSocket, headBytesMax: number, handlers: ExchangeHandlers) {
    const client = this.#client
    this.#handlers = handlers
    this.#socket = socket
    this.#request = httpRequest({
      method: head.method,
      path: head.path,
      headers: head.headers as string[],
      maxHeaderSize: headBytesMax,
      createConnection: () => client,
    })
    this.#request.on('response', response => this.#respond(response))
    this.#request.on('error', () => this.#fail())
    this.#request.on('drain', () => this.#isOver || handlers.hungry())
    // The server is done, and nobody will send the rest of the body: its handler must not wait for that.
    client.once('end', () => this.#request.writableEnded || client.destroy())
    PairedSocket.join(client, socket)
    // The handler begins before the body comes, and may do without.
    if (head.bodyBytes === 0) this.#request.end()
    else this.#request.flushHeaders()
  }

  /** Gives the request to the server. */
  start(server: Server): void {
    server.emit('connection', this.#socket)
  }

  /** Data of the request's body; `hungry` follows when there is room for more. */
  write(bytes: Uint8Array): void {
    if (this.#request.write(bytes) && !this.#isOver) this.#handlers.hungry()
  }

  /** The request's body is complete. */
  endBody(): void {
    this.#request.end()
  }

  /** Lets the response go on. */
  resume(): void {
    this.#response?.resume()
  }

  /** The client is gone. */
  abort(): void {
    this.#isOver = true
    this.#client.destroy()
  }

  #respond(response: IncomingMessage): void {
    this.#response = response
    response.on('error', () => this.#fail())
    response.on('close', () => response.complete || this.#fail())
    this.#handlers.headers(response.statusCode ?? 500, response.statusMessage ?? '', responseHeaders(response))
    response.on('data', (bytes: Buffer) => {
      if (!this.#isOver && !this.#handlers.data(bytes)) response.pause()
    })
    response.on('end', () => {
      if (this.#isOver) return
      this.#isOver = true
      this.#handlers.end()
    })
  }

  #fail(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#client.destroy()
    this.#handlers.failed()
  }
}
