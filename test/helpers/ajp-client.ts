import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

/** A request to be encoded. Each field has a plain default. */
export interface AjpRequest {
  /** A code, or a name for the attribute `stored_method`. Default GET. */
  readonly method?: number | string
  readonly protocol?: string
  readonly uri?: string
  readonly remoteAddress?: string
  readonly remoteHost?: string
  readonly serverName?: string
  readonly serverPort?: number
  readonly isSecure?: boolean
  /** Each a name or a code, and a value. */
  readonly headers?: readonly (readonly [name: string | number, value: string])[]
  /** Bytes of attributes, from `attribute`. */
  readonly attributes?: readonly Buffer[]
}

/** What came back for a request. */
export interface AjpAnswer {
  readonly status: number
  readonly message: string
  /** Names in lower case, or codes. */
  readonly headers: readonly (readonly [name: string | number, value: string])[]
  readonly body: Buffer
  readonly reuse: boolean
  /** How many bytes each GET_BODY_CHUNK asked for. */
  readonly asked: readonly number[]
  /** Payload lengths of the body's packets. */
  readonly chunks: readonly number[]
}

const GET = 2

export function number(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff)
}

export function text(value: string | undefined, encoding: BufferEncoding = 'utf8'): Buffer {
  if (value === undefined) return number(0xffff)
  const bytes = Buffer.from(value, encoding)
  return Buffer.concat([number(bytes.length), bytes, Buffer.of(0)])
}

export function attribute(code: number, ...values: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat([Buffer.of(code), ...values.map(value => (typeof value === 'string' ? text(value) : value))])
}

export function packet(payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(0x12, 0x34), number(payload.length), payload])
}

export function bodyPacket(data: Uint8Array): Buffer {
  return packet(Buffer.concat([number(data.length), data]))
}

/** The payload of a Forward Request packet. */
export function forwardRequest(request: AjpRequest = {}): Buffer {
  const { method = GET, headers = [['host', 'shop.example']], attributes = [] } = request
  const isStored = typeof method === 'string'
  return Buffer.concat([
    Buffer.of(2, isStored ? 0xff : method),
    text(request.protocol ?? 'HTTP/1.1'),
    text(request.uri ?? '/', 'latin1'),
    text(request.remoteAddress ?? '203.0.113.9'),
    text(request.remoteHost),
    text(request.serverName ?? 'shop.example'),
    number(request.serverPort ?? 80),
    Buffer.of(request.isSecure ? 1 : 0),
    number(headers.length),
    ...headers.flatMap(([name, value]) => [
      typeof name === 'number' ? number(0xa000 + name) : text(name),
      text(value, 'latin1'),
    ]),
    ...attributes,
    ...(isStored ? [attribute(13, method)] : []),
    Buffer.of(0xff),
  ])
}

/** The web server's side of one connection, as simple as it can be. */
export class AjpClient {
  readonly socket: Socket
  readonly closed: Promise<unknown>
  #held: Buffer = Buffer.alloc(0)
  #isClosed = false
  #wake: () => void = () => {}

  private constructor(socket: Socket) {
    this.socket = socket
    this.closed = once(socket, 'close')
    socket.on('data', bytes => {
      this.#held = Buffer.concat([this.#held, bytes as Buffer])
      this.#wake()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#isClosed = true
      this.#wake()
    })
  }

  static async connect(port: number): Promise<AjpClient> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new AjpClient(socket)
  }

  /** The payload of the next packet; undefined when the server closed. */
  async next(): Promise<Buffer | undefined> {
    for (;;) {
      const length = this.#held.length < 4 ? Number.POSITIVE_INFINITY : 4 + this.#held.readUInt16BE(2)
      if (this.#held.length >= length) {
        if (this.#held.toString('latin1', 0, 2) !== 'AB') throw new Error('Not a packet of a container')
        const payload = this.#held.subarray(4, length)
        this.#held = this.#held.subarray(length)
        return payload
      }
      if (this.#isClosed) return undefined
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  /** Whether CPong came back. */
  async cping(): Promise<boolean> {
    this.socket.write(packet(Buffer.of(10)))
    return (await this.next())?.equals(Buffer.of(9)) === true
  }

  /**
   * Sends a request and collects its answer.
   *
   * @param parts Of the body: the first one is sent at once if a length is given, the others when asked for; after the
   *   last an empty packet.
   * @returns undefined when the server closed before the end.
   */
  async request(request: AjpRequest = {}, parts: readonly Uint8Array[] = []): Promise<AjpAnswer | undefined> {
    const left = [...parts]
    const knowsLength = request.headers?.some(([name]) => name === 8 || name === 'content-length') === true
    this.socket.write(packet(forwardRequest(request)))
    if (knowsLength && left.length > 0) this.socket.write(bodyPacket(left.shift() as Uint8Array))
    return this.answer(left)
  }

  /** Collects the answer to what was sent, giving `left` of a body when asked. */
  async answer(left: Uint8Array[] = []): Promise<AjpAnswer | undefined> {
    const asked: number[] = []
    const body: Buffer[] = []
    let head: Pick<AjpAnswer, 'status' | 'message' | 'headers'> | undefined
    for (;;) {
      const payload = await this.next()
      if (payload === undefined) return undefined
      switch (payload[0]) {
        case 3:
          if (payload.length !== 4 + payload.readUInt16BE(1)) throw new Error('A chunk of a wrong length')
          body.push(payload.subarray(3, -1))
          break
        case 4:
          head = decodeHead(payload)
          break
        case 5: {
          if (head === undefined) throw new Error('An end without a beginning')
          const chunks = body.map(({ length }) => length)
          return { ...head, body: Buffer.concat(body), reuse: payload[1] === 1, asked, chunks }
        }
        case 6: {
          asked.push(payload.readUInt16BE(1))
          const part = left.shift()
          this.socket.write(part === undefined ? packet(Buffer.alloc(0)) : bodyPacket(part))
          break
        }
        default:
          throw new Error(`An unexpected packet ${payload[0]}`)
      }
    }
  }

  destroy(): void {
    this.socket.destroy()
  }
}

function decodeHead(payload: Buffer): Pick<AjpAnswer, 'status' | 'message' | 'headers'> {
  let at = 3
  const readText = (): string => {
    const length = payload.readUInt16BE(at)
    const value = payload.toString('latin1', at + 2, at + 2 + length)
    at += length + 3
    return value
  }
  const message = readText()
  const count = payload.readUInt16BE(at)
  at += 2
  const headers = Array.from({ length: count }, () => {
    if (payload[at] !== 0xa0) return [readText().toLowerCase(), readText()] as const
    at += 2
    return [payload[at - 1] as number, readText()] as const
  })
  if (at !== payload.length) throw new Error('Bytes behind the headers')
  return { status: payload.readUInt16BE(1), message, headers }
}
