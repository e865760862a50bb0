import type { IncomingMessage } from 'node:http'
import { METHODS as KNOWN_METHODS } from 'node:http'
import type { ForwardRequest } from './forward-request.js'

/** Headers that speak of one connection, not of the message (RFC 9110, 7.6.1). */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
  'http2-settings',
])
/** Methods whose requests say nothing of a body they do not have. */
const BODILESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE'])

/** The head of a request, as HTTP/1.1 has it. */
export interface HttpHead {
  readonly method: string
  readonly path: string
  /** Names and values in turn. */
  readonly headers: readonly string[]
  /** Bytes of the body; undefined: not known before it ends. */
  readonly bodyBytes: number | undefined
}

/** A status with which a request is refused. */
export type Refusal = 400 | 501

/** Turns a forwarded request into one of HTTP, whose only request on its connection it will be. */
export function httpHead(request: ForwardRequest): HttpHead | Refusal {
  const { method, query } = request
  if (!KNOWN_METHODS.includes(method) || method === 'CONNECT') return 501
  // The query comes apart from the path, so these in the path are what the web server decoded.
  const uri = printable(request.uri).replaceAll('?', '%3F').replaceAll('#', '%23')
  if (!uri.startsWith('/') && !(uri === '*' && method === 'OPTIONS')) return 400
  const lengths = valuesOf(request.headers, 'content-length')
  const encodings = valuesOf(request.headers, 'transfer-encoding')
  const isChunked = encodings.length > 0
  if (isChunked && (lengths.length > 0 || encodings.join().trim().toLowerCase() !== 'chunked')) return 400
  const [length = '0'] = lengths
  if (!/^\d{1,15}$/.test(length) || lengths.some(other => other !== length)) return 400
  const headers = endToEnd(request.headers)
  if (valuesOf(headers, 'host').length === 0) headers.push('Host', authority(request))
  if (isChunked) headers.push('Transfer-Encoding', 'chunked')
  else if (lengths.length === 0 && !BODILESS.has(method)) headers.push('Content-Length', '0')
  headers.push('Connection', 'close')
  return {
    method,
    path: query === undefined || query === '' ? uri : `${uri}?${printable(query)}`,
    headers,
    bodyBytes: isChunked ? undefined : Number(length),
  }
}

/** The headers of a response that are the client's concern: names and values in turn. */
export function responseHeaders(response: IncomingMessage): string[] {
  return endToEnd(response.rawHeaders)
}

function endToEnd(headers: readonly string[]): string[] {
  const named = valuesOf(headers, 'connection').flatMap(value => value.toLowerCase().split(/[ \t]*,[ \t]*/))
  const kept: string[] = []
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] as string
    const lower = name.toLowerCase()
    // What HTTP needs to find the message's end is not for a client to take away.
    const isNamed = named.includes(lower) && lower !== 'content-length' && lower !== 'host'
    if (!HOP_BY_HOP.has(lower) && !isNamed) kept.push(name, headers[at + 1] as string)
  }
  return kept
}

/** What no path may have is encoded: some settings of mod_jk forward it decoded. */
function printable(text: string): string {
  return text.replace(/[^!-~]/g, byte => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}

function valuesOf(headers: readonly string[], name: string): string[] {
  return headers.filter((_, index) => index % 2 === 1 && headers[index - 1]?.toLowerCase() === name)
}

function authority({ serverName, serverPort, isSecure }: ForwardRequest): string {
  const host = serverName.includes(':') && !serverName.startsWith('[') ? `[${serverName}]` : serverName
  return serverPort === (isSecure ? 443 : 80) ? host : `${host}:${serverPort}`
}
