import type { Buffer } from 'node:buffer'
import { ProtocolError } from '../errors.js'
import { ATTRIBUTE, HEADER_CODE, METHODS, NO_STRING, REQUEST_CODE, REQUEST_HEADERS, STORED_METHOD } from './codes.js'

/** A request as the web server forwards it. Text is as it came: Latin-1, except for the attributes, which are UTF-8. */
export interface ForwardRequest {
  readonly method: string
  /** As the client wrote it, `HTTP/1.1`. */
  readonly protocol: string
  /** The path alone. */
  readonly uri: string
  readonly query: string | undefined
  /** The client's address, and its name if the web server looked that up. */
  readonly remoteAddress: string
  readonly remoteHost: string | undefined
  readonly serverName: string
  readonly serverPort: number
  /** Whether the client speaks TLS with the web server. */
  readonly isSecure: boolean
  /** Names and values in turn, as `IncomingMessage.rawHeaders`. */
  readonly headers: readonly string[]
  readonly secret: string | undefined
  /** The user whom the web server authenticated, and how. */
  readonly remoteUser: string | undefined
  readonly authType: string | undefined
  /** The route of the worker that was chosen, `jvm_route`. */
  readonly route: string | undefined
  /** What the web server tells of the client's TLS connection; the certificate in PEM. */
  readonly tls: {
    readonly cipher: string | undefined
    readonly session: string | undefined
    readonly keySize: number | undefined
    readonly certificate: string | undefined
  }
  /** Attributes that have names instead of codes; a later one of the same name wins. */
  readonly attributes: ReadonlyMap<string, string>
}

/**
 * Reads the payload of a Forward Request packet. Every length is checked against what is there.
 *
 * @throws {ProtocolError} for anything that is not one
 */
export function decodeForwardRequest(payload: Buffer): ForwardRequest {
  const fields = new Fields(payload)
  if (fields.byte() !== REQUEST_CODE.forwardRequest) throw new ProtocolError('Not a Forward Request')
  const methodCode = fields.byte()
  const protocol = fields.required('latin1')
  const uri = fields.required('latin1')
  const remoteAddress = fields.string('latin1') ?? ''
  const remoteHost = fields.string('latin1')
  const serverName = fields.string('latin1') ?? ''
  const serverPort = fields.number()
  const isSecure = fields.byte() !== 0
  const headers: string[] = []
  for (let left = fields.number(); left > 0; left--) headers.push(fields.headerName(), fields.string('latin1') ?? '')
  const { texts, keySize, named } = decodeAttributes(fields)
  return {
    method: methodOf(methodCode, texts.get(ATTRIBUTE.storedMethod)),
    protocol,
    uri,
    query: texts.get(ATTRIBUTE.queryString),
    remoteAddress,
    remoteHost,
    serverName,
    serverPort,
    isSecure,
    headers,
    secret: texts.get(ATTRIBUTE.secret),
    remoteUser: texts.get(ATTRIBUTE.remoteUser),
    authType: texts.get(ATTRIBUTE.authType),
    route: texts.get(ATTRIBUTE.route),
    tls: {
      cipher: texts.get(ATTRIBUTE.sslCipher),
      session: texts.get(ATTRIBUTE.sslSession),
      keySize,
      certificate: texts.get(ATTRIBUTE.sslCert),
    },
    attributes: named,
  }
}

interface Attributes {
  readonly texts: ReadonlyMap<number, string>
  readonly keySize: number | undefined
  readonly named: ReadonlyMap<string, string>
}

function decodeAttributes(fields: Fields): Attributes {
  const texts = new Map<number, string>()
  const named = new Map<string, string>()
  let keySize: number | undefined
  for (let code = fields.byte(); code !== ATTRIBUTE.end; code = fields.byte()) {
    if (code === ATTRIBUTE.sslKeySize) keySize = fields.number()
    else if (code === ATTRIBUTE.named) named.set(fields.required('utf8'), fields.string('utf8') ?? '')
    else if (code >= ATTRIBUTE.context && code <= ATTRIBUTE.storedMethod) {
      const value = fields.string(code === ATTRIBUTE.queryString ? 'latin1' : 'utf8')
      if (value !== undefined) texts.set(code, value)
    } else throw new ProtocolError(`Unknown attribute ${code}`)
  }
  return { texts, keySize, named }
}

function methodOf(code: number, stored: string | undefined): string {
  const method = code === STORED_METHOD ? stored : METHODS[code - 1]
  if (method === undefined) throw new ProtocolError(`Unknown method ${code}`)
  return method
}

/** The fields of a payload, from left to right. */
class Fields {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  byte(): number {
    return this.#take(1)[0] as number
  }

  number(): number {
    return this.#take(2).readUInt16BE()
  }

  string(encoding: 'latin1' | 'utf8'): string | undefined {
    const length = this.number()
    return length === NO_STRING ? undefined : this.#text(length, encoding)
  }

  required(encoding: 'latin1' | 'utf8'): string {
    const text = this.string(encoding)
    if (text === undefined) throw new ProtocolError('A text is missing')
    return text
  }

  headerName(): string {
    const length = this.number()
    if (length === NO_STRING) throw new ProtocolError('A header without a name')
    if (length >> 8 !== HEADER_CODE) return this.#text(length, 'latin1')
    const name = REQUEST_HEADERS[(length & 0xff) - 1]
    if (name === undefined) throw new ProtocolError(`Unknown header ${length & 0xff}`)
    return name
  }

  #text(length: number, encoding: 'latin1' | 'utf8'): string {
    const bytes = this.#take(length + 1)
    if (bytes[length] !== 0) throw new ProtocolError('A text without its zero')
    return bytes.toString(encoding, 0, length)
  }

  #take(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new ProtocolError('The packet ends too early')
    const bytes = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return bytes
  }
}
