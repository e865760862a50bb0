import type { Buffer } from 'node:buffer'
import { type Server, STATUS_CODES } from 'node:http'
import { ProtocolError } from '../errors.js'
import type { Clock, Stream, StreamHandlers } from '../runtime/runtime.js'
import { AjpExchange } from './ajp-exchange.js'
import { ajpInfo } from './ajp-info.js'
import { AjpSocket } from './ajp-socket.js'
import { REQUEST_CODE } from './codes.js'
import { decodeForwardRequest, type ForwardRequest } from './forward-request.js'
import { httpHead } from './http-head.js'
import { PacketBatch } from './packet-batch.js'
import { PacketReader } from './packet-reader.js'
import { bodyBytesMax, bodyPackets, CPONG, endPacket, getBodyPacket, headersPacket } from './response-packets.js'

/** Data of a response that is made packets at once: a larger piece is copied, and sent, as the web server takes it. */
const SLICE_BYTES = 65_536

/** What went over all connections of a server. */
export interface AjpCounters {
  /** Forwarded requests, with those refused. */
  requests: number
  /** Requests refused for a missing or wrong secret. */
  wrongSecrets: number
  /** Requests that HTTP cannot express, and were answered with 400 or 501. */
  refusedRequests: number
  /** Connections closed because of bytes that AJP does not allow. */
  protocolErrors: number
  /** Responses whose headers did not fit into a packet, answered with 500. */
  oversizedHeaders: number
  /** Requests that ended without a whole response: the client or the handler gave up. */
  aborted: number
  /** Connections closed because the web server let us wait for longer than `idleTimeoutMs`. */
  idle: number
}

/** Nothing went yet. */
export function noCounts(): AjpCounters {
  return {
    requests: 0,
    wrongSecrets: 0,
    refusedRequests: 0,
    protocolErrors: 0,
    oversizedHeaders: 0,
    aborted: 0,
    idle: 0,
  }
}

/** What the connections of a server share. */
export interface AjpContext {
  readonly server: Server
  readonly packetSize: number
  readonly allowedRequestAttributes: RegExp | undefined
  readonly counters: AjpCounters
  readonly clock: Clock
  /** Whether the secret of a request is right. */
  admits(secret: string | undefined): boolean
  /** The connection is over. */
  closed(connection: AjpConnection): void
}

/** One connection of a web server: one request after the other. */
export class AjpConnection implements StreamHandlers {
  readonly #stream: Stream
  readonly #context: AjpContext
  readonly #reader: PacketReader
  readonly #batch: PacketBatch
  /** When the web server last did its part: a whole packet came, or it was seen to have taken bytes. */
  #activeMs: number
  /** Bytes that had been taken at the last look. */
  #takenBytes = 0
  /** What is left of a large piece of the response; until it is sent, no other comes. */
  #rest: Uint8Array | undefined
  /** The end of the response has come, before its rest was sent: a stream that is paused ends all the same. */
  #isAnswered = false
  #exchange: AjpExchange | undefined
  /** Bytes of the request's body that have not come; undefined: not known. */
  #bodyLeft: number | undefined = 0
  /** The next packet is one of a body, possibly of a request that is over. */
  #bodyIsDue = false
  /** A CPing was answered, and no request has come since. */
  #isPromised = false
  #isClosing = false
  /** Nothing that comes matters any more. */
  #isDeaf = false

  constructor(stream: Stream, context: AjpContext) {
    this.#stream = stream
    this.#context = context
    this.#reader = new PacketReader(context.packetSize)
    this.#batch = new PacketBatch(stream, context.clock)
    this.#activeMs = context.clock.monotonic()
  }

  /**
   * Takes no more requests and closes when the one under way is answered. `keepsPromise`: or one that a CPong invited.
   * To be called again, since a web server may notice only at the next request that an idle connection was ended.
   */
  close(keepsPromise: boolean): void {
    if (this.#isClosing && this.#isDeaf && this.#stream.bufferedBytes === 0) return this.#stream.destroy()
    this.#isClosing = true
    if (this.#exchange === undefined && !(keepsPromise && this.#isPromised)) this.#finish()
  }

  /** Closes at once. */
  destroy(): void {
    this.#isDeaf = true
    this.#rest = undefined
    this.#batch.drop()
    this.#stream.destroy()
  }

  /**
   * Closes if the web server has let us wait since then: for a request, or the rest of one, or for an answer to be taken.
   * The application may take as long as it likes.
   */
  expire(sinceMs: number): void {
    const { bufferedBytes } = this.#stream
    const takenBytes = this.#batch.sentBytes - bufferedBytes
    // Of an answer that is made slowly, something may always be on its way, and yet no buffer ever full.
    if (bufferedBytes > 0 && takenBytes > this.#takenBytes) this.#activeMs = this.#context.clock.monotonic()
    this.#takenBytes = takenBytes
    const isItsTurn = this.#exchange === undefined || this.#bodyIsDue || bufferedBytes > 0
    if (!isItsTurn || this.#activeMs > sinceMs) return
    if (!this.#isDeaf) this.#context.counters.idle++
    this.destroy()
  }

  data(bytes: Uint8Array): void {
    if (this.#isDeaf) return
    try {
      for (const payload of this.#reader.read(bytes)) {
        this.#activeMs = this.#context.clock.monotonic()
        this.#take(payload)
        if (this.#isDeaf) return
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#context.counters.protocolErrors++
      this.destroy()
    }
  }

  drain(): void {
    this.#activeMs = this.#context.clock.monotonic()
    this.#batch.drained()
    const hasRoom = this.#rest === undefined || this.#sendBody(this.#rest)
    if (this.#isAnswered && this.#rest === undefined) this.#end()
    else if (hasRoom) this.#exchange?.resume()
  }

  closed(): void {
    this.#isDeaf = true
    this.#abandon()
    this.#context.closed(this)
  }

  #take(payload: Buffer): void {
    if (this.#bodyIsDue) return this.#takeBody(payload)
    if (this.#exchange !== undefined) throw new ProtocolError('A packet in the middle of a request')
    switch (payload[0]) {
      case REQUEST_CODE.forwardRequest:
        return this.#serve(decodeForwardRequest(payload))
      case REQUEST_CODE.cping:
        return this.#pong()
      default:
        // Shutdown among them, which no web server sends and no stranger may.
        throw new ProtocolError(`Unexpected packet ${payload[0]}`)
    }
  }

  #pong(): void {
    // The web server takes a connection without an answer for dead and asks another node: nothing is lost.
    if (this.#isClosing) return this.#finish()
    this.#isPromised = true
    if (this.#stream.write(CPONG)) return
    throw new ProtocolError('Pings whose answers nobody reads')
  }

  #serve(request: ForwardRequest): void {
    const { counters, server, packetSize, allowedRequestAttributes } = this.#context
    counters.requests++
    this.#isPromised = false
    if (!this.#context.admits(request.secret)) {
      counters.wrongSecrets++
      return this.#refuse(403)
    }
    const head = httpHead(request)
    if (typeof head === 'number') {
      counters.refusedRequests++
      return this.#refuse(head)
    }
    const socket = new AjpSocket(ajpInfo(request, allowedRequestAttributes))
    try {
      // A name of the response may have a code of two bytes, so its text may be longer than the packet.
      this.#exchange = new AjpExchange(head, socket, packetSize * 2, {
        headers: (status, message, headers) => this.#head(status, message, headers),
        data: bytes => this.#sendBody(bytes),
        end: () => this.#end(),
        failed: () => this.#fail(),
        hungry: () => this.#askForBody(),
      })
    } catch {
      counters.refusedRequests++
      return this.#refuse(400)
    }
    this.#exchange.start(server)
    this.#bodyLeft = head.bodyBytes
    // The beginning of a body comes by itself when its length is known.
    if (head.bodyBytes === undefined) this.#askForBody()
    else this.#bodyIsDue = head.bodyBytes > 0
  }

  #takeBody(payload: Buffer): void {
    this.#bodyIsDue = false
    const bytes = payload.length === 0 ? 0 : bodyLength(payload)
    const exchange = this.#exchange
    // Of a request that is over.
    if (exchange === undefined) return
    if (bytes === 0) return this.#endBody(exchange)
    if (this.#bodyLeft !== undefined) {
      if (bytes > this.#bodyLeft) throw new ProtocolError('A body longer than its Content-Length')
      this.#bodyLeft -= bytes
    }
    const isLast = this.#bodyLeft === 0
    exchange.write(payload.subarray(2, 2 + bytes))
    if (isLast) exchange.endBody()
  }

  #endBody(exchange: AjpExchange): void {
    if (this.#bodyLeft === undefined) {
      this.#bodyLeft = 0
      return exchange.endBody()
    }
    // The client gave up, and the application must not take what came for the whole.
    this.destroy()
  }

  #askForBody(): void {
    if (this.#bodyIsDue || this.#bodyLeft === 0 || this.#isDeaf) return
    this.#bodyIsDue = true
    const most = bodyBytesMax(this.#context.packetSize)
    this.#batch.add(getBodyPacket(Math.min(most, this.#bodyLeft ?? most)))
  }

  /** `false`: hold the next back until `drain`. */
  #sendBody(bytes: Uint8Array): boolean {
    // All that went before is taken: the web server's time begins anew.
    if (this.#stream.bufferedBytes === 0) this.#activeMs = this.#context.clock.monotonic()
    this.#rest = undefined
    for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
      const end = at + SLICE_BYTES
      if (this.#batch.add(bodyPackets(bytes.subarray(at, end), this.#context.packetSize))) continue
      if (end < bytes.length) this.#rest = bytes.subarray(end)
      return false
    }
    return true
  }

  #head(status: number, message: string, headers: readonly string[]): void {
    const { packetSize, counters } = this.#context
    const packet = headersPacket(status, message, headers, packetSize)
    if (packet !== undefined) {
      this.#batch.add(packet)
      return
    }
    counters.oversizedHeaders++
    this.#abandon()
    this.#refuse(500)
  }

  #end(): void {
    this.#isAnswered = this.#rest !== undefined
    if (this.#isAnswered) return
    this.#exchange = undefined
    this.#activeMs = this.#context.clock.monotonic()
    this.#batch.add(endPacket(!this.#isClosing))
    if (this.#isClosing) this.#finish()
    else this.#batch.flush()
  }

  #fail(): void {
    // No answer is what the application wanted, or all that is left: the web server sees it as from HTTP.
    this.#context.counters.aborted++
    this.#exchange = undefined
    this.destroy()
  }

  #abandon(): void {
    if (this.#exchange === undefined) return
    this.#context.counters.aborted++
    this.#exchange.abort()
    this.#exchange = undefined
    this.#rest = undefined
  }

  /** Answers without asking the application, and closes: where the next request begins is not sure. */
  #refuse(status: number): void {
    const { packetSize } = this.#context
    const headers = ['Content-Length', '0']
    this.#batch.add(headersPacket(status, STATUS_CODES[status] ?? '', headers, packetSize) as Buffer)
    this.#batch.add(endPacket(false))
    this.#finish()
  }

  /** Says that no more comes, and reads on without looking: to close over unread bytes would lose the last answer. */
  #finish(): void {
    this.#isDeaf = true
    this.#batch.flush()
    this.#stream.end()
  }
}

function bodyLength(payload: Buffer): number {
  if (payload.length < 2) throw new ProtocolError('A body packet without a length')
  const bytes = payload.readUInt16BE()
  if (bytes > payload.length - 2) throw new ProtocolError('A body packet shorter than it says')
  return bytes
}
