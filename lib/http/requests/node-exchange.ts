import type { IncomingMessage, OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { SessionExchange } from './session-exchange.js'
import type { SessionGate } from './session-gate.js'

/** A request and response of `node:http`, hooked by `attach`. */
export class NodeExchange extends SessionExchange<IncomingMessage> {
  /** Whether the hooks are the response's own, and not its prototype's. */
  hasOwnHooks = false
  protected override readonly request: IncomingMessage
  readonly #res: ServerResponse
  #held = false

  constructor(gate: SessionGate<IncomingMessage>, req: IncomingMessage, res: ServerResponse) {
    super(gate, req.headers.cookie)
    this.request = req
    this.#res = res
  }

  protected override get url(): string {
    const { request } = this
    // Below a path where something is mounted, Express and Connect shorten `url`.
    return (request as { originalUrl?: string }).originalUrl ?? request.url ?? '/'
  }

  override get isSecure(): boolean {
    return isSecureRequest(this.request, this.gate)
  }

  protected override get isHeaded(): boolean {
    return this.#res.headersSent
  }

  /** In place of `res.writeHead`, which is `original`. */
  writeHead(original: ServerResponse['writeHead'], args: unknown[]): ServerResponse {
    const cookies = this.takeCookies()
    if (cookies.length > 0) addCookies(this.#res, args, cookies)
    return Reflect.apply(original, this.#res, args) as ServerResponse
  }

  /** In place of `res.end`, which is `original`. */
  end(original: ServerResponse['end'], args: unknown[]): ServerResponse {
    if (this.isClosed) return Reflect.apply(original, this.#res, args) as ServerResponse
    // The first end is under way; what it will send is settled.
    if (this.#held) return this.#res
    if (this.isFresh) this.#finish(original, args)
    else this.#finishLater(original, args)
    return this.#res
  }

  #finishLater(original: ServerResponse['end'], args: unknown[]): void {
    this.#held = true
    this.whenFresh(() => {
      this.#held = false
      this.#finish(original, args)
    })
  }

  #finish(original: ServerResponse['end'], args: unknown[]): void {
    const res = this.#res
    if (res.headersSent) {
      if (!res.writableEnded) this.commit()
    } else addCookies(res, [], this.takeCookies())
    if (this.takeRefusal()) {
      if (res.headersSent) {
        res.destroy()
        return
      }
      refuse(res, args)
    }
    if (!this.isAwaitingReceipts || res.writableEnded) {
      Reflect.apply(original, res, args)
      return
    }
    this.#held = true
    this.afterReceipts(Reflect.apply, original, res, args)
  }
}

/** Whether a request came over TLS, as far as proxies are trusted. */
export function isSecureRequest(req: IncomingMessage, gate: SessionGate<IncomingMessage>): boolean {
  if ((req.socket as { encrypted?: boolean }).encrypted === true) return true
  // Express says so, by its own rule for proxies.
  return gate.isForwardedSecure(req.headers['x-forwarded-proto']) || (req as { secure?: boolean }).secure === true
}

/** Says that the request had no effect instead of what its handler wanted to say. */
function refuse(res: ServerResponse, args: unknown[]): void {
  for (const name of res.getHeaderNames()) if (describesBody(name)) res.removeHeader(name)
  res.statusCode = 503
  res.statusMessage = ''
  res.setHeader('Retry-After', '0')
  const callback = args.find(arg => typeof arg === 'function')
  args.splice(0, args.length, ...(callback === undefined ? [] : [callback]))
}

/** Whether a header speaks of a body that is not sent. `name` in lower case. */
export function describesBody(name: string): boolean {
  return /^(content-|etag$|last-modified$)/.test(name)
}

/** Adds Set-Cookie beside those of `setHeader` and those in the arguments of `writeHead`, which would replace them. */
export function addCookies(res: ServerResponse, args: unknown[], cookies: readonly string[]): void {
  if (cookies.length === 0) return
  const headers = args.find(arg => typeof arg === 'object' && arg !== null)
  if (Array.isArray(headers) && hasSetCookie(headers)) {
    const pairs = Array.isArray(headers[0])
    const more = cookies.flatMap<unknown>(value => (pairs ? [['Set-Cookie', value]] : ['Set-Cookie', value]))
    args[args.indexOf(headers)] = [...headers, ...more]
    return
  }
  const map = Array.isArray(headers) ? undefined : (headers as OutgoingHttpHeaders | undefined)
  const name = Object.keys(map ?? {}).find(key => key.toLowerCase() === 'set-cookie')
  if (map !== undefined && name !== undefined) {
    args[args.indexOf(map)] = { ...map, [name]: [...listOf(map[name]), ...cookies] }
    return
  }
  res.setHeader('Set-Cookie', [...listOf(res.getHeader('Set-Cookie')), ...cookies])
}

function hasSetCookie(headers: readonly unknown[]): boolean {
  const names = Array.isArray(headers[0])
    ? headers.map(pair => (pair as unknown[])[0])
    : headers.filter((_, index) => index % 2 === 0)
  return names.some(name => String(name).toLowerCase() === 'set-cookie')
}

function listOf(header: OutgoingHttpHeader | undefined): string[] {
  if (header === undefined) return []
  return Array.isArray(header) ? header : [String(header)]
}
