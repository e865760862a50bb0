import type { Buffer } from 'node:buffer'
import { createHash, timingSafeEqual } from 'node:crypto'
import { createServer, type RequestListener, Server } from 'node:http'
import { InvalidOptionError, ListenError } from '../errors.js'
import { checkNames, custom, type RulesOf, resolve, text, wholeNumber } from '../options.js'
import { createNodeRuntime } from '../runtime/node-runtime.js'
import type { Endpoint, Listener, Runtime, Stream, StreamHandlers, Timer } from '../runtime/runtime.js'
import { AjpConnection, type AjpContext, type AjpCounters, noCounts } from './ajp-connection.js'

/** Connections are looked at this often within `idleTimeoutMs`. */
const LOOKS = 4
/** So long after `close` a web server that was told "here I am" may still send the request it asked for. */
const PROMISE_MS = 1_000

/** Options of {@link createAjpServer}. */
export interface AjpServerOptions {
  /** Where to listen: an IP address or a name. Default `127.0.0.1`. Anything but this host's own needs a `secret`. */
  readonly host?: string
  /** 0 to 65,535; 0: any that is free. Default 8009, as Tomcat's. */
  readonly port?: number
  /**
   * What every request must bring, mod_jk's `worker.<name>.secret`; others are answered with 403. Default: none. AJP
   * believes what the web server says of the client, its user and its TLS, so nobody else may be able to speak it
   * (CVE-2020-1938).
   */
  readonly secret?: string
  /** Bytes of the largest packet, 8,192 to 65,536, as mod_jk's `max_packet_size`. Headers must fit into one. Default 8,192. */
  readonly packetSize?: number
  /** Open connections, 1 to 65,536; more are closed at once. Default 1,024. Apache keeps one for each of its threads. */
  readonly maxConnections?: number
  /**
   * Milliseconds, up to 86,400,000 (a day), for which a web server may leave us waiting: for its next request (mod_jk's
   * `connection_pool_timeout`, Tomcat's `connectionTimeout`), for the rest of one, or until it takes what we send. Then the
   * connection is closed, a quarter of that later at most. The time an application needs does not count. 0: never.
   * Default 600,000. Longer than the web server's own, or it finds connections closed; `ping_mode=A` notices in time.
   */
  readonly idleTimeoutMs?: number
  /**
   * Names of the attributes (`JkEnvVar`) that the application may see; the whole name must match. Default: none. Those
   * of AJP itself, such as the client's port, are always there. Others are dropped.
   */
  readonly allowedRequestAttributes?: RegExp
}

/** Figures of an {@link AjpServer} since its start; all but `connections` only grow. */
export interface AjpStats extends Readonly<AjpCounters> {
  /** Open now. */
  readonly connections: number
  /** Accepted since the start. */
  readonly accepted: number
  /** Closed at once, as there were `maxConnections` already. */
  readonly refusedConnections: number
}

type ResolvedOptions = Required<Omit<AjpServerOptions, 'allowedRequestAttributes'>>

const RULES: RulesOf<ResolvedOptions> = {
  host: text('127.0.0.1', /^[\w.:%-]{1,255}$/, 'an IP address or a host name'),
  port: wholeNumber(8_009, 0, 65_535),
  secret: custom('', 'a text that is not empty', value => typeof value === 'string' && value !== ''),
  packetSize: wholeNumber(8_192, 8_192, 65_536),
  maxConnections: wholeNumber(1_024, 1, 65_536),
  idleTimeoutMs: wholeNumber(600_000, 0, 86_400_000),
}

/**
 * The server side of AJP/1.3, the protocol that Apache's mod_jk and mod_proxy_ajp speak with Tomcat: web servers
 * forward requests, and an ordinary `http.Server` answers them. Made by {@link createAjpServer}.
 */
export class AjpServer {
  readonly #context: AjpContext
  readonly #limits: Required<Pick<AjpServerOptions, 'maxConnections' | 'idleTimeoutMs'>>
  readonly #connections = new Set<AjpConnection>()
  readonly #figures = { accepted: 0, refusedConnections: 0 }
  #listener: Listener | undefined
  #look: Timer | undefined
  #isClosing = false
  #empty = (): void => {}
  readonly #emptied = new Promise<void>(resolve => {
    this.#empty = resolve
  })

  /** Use {@link createAjpServer}. */
  constructor(
    context: Omit<AjpContext, 'closed'>,
    limits: Required<Pick<AjpServerOptions, 'maxConnections' | 'idleTimeoutMs'>>,
  ) {
    this.#context = { ...context, closed: connection => this.#forget(connection) }
    this.#limits = limits
  }

  /** Where it listens: the port it got. */
  get port(): number {
    return this.#listener?.endpoint.port ?? 0
  }

  /** A copy of the figures. */
  stats(): AjpStats {
    return { connections: this.#connections.size, ...this.#figures, ...this.#context.counters }
  }

  /**
   * A planned stop: accepts no connection and answers no CPing, so that the web server turns to another node, and closes
   * each connection when its request is answered. With mod_jk and `ping_mode=A` no request is lost. Waits as long as the
   * requests take; see `closeAllConnections`. `cluster.drain({ server })` takes this server among its servers.
   *
   * @param callback Called when the last connection is closed, as the promise is fulfilled.
   */
  close(callback?: () => void): Promise<void> {
    if (!this.#isClosing) this.#beginToClose()
    return callback === undefined ? this.#emptied : this.#emptied.then(callback)
  }

  /** Cuts off all connections, with what is under way on them. */
  closeAllConnections(): void {
    for (const connection of this.#connections) connection.destroy()
  }

  /** Tells how many connections there are, as `net.Server` does. */
  getConnections(callback: (error: null, count: number) => void): void {
    callback(null, this.#connections.size)
  }

  /** Listens to the requests of the `http.Server` that answers, before the application does. */
  prependListener(event: 'request', listener: RequestListener): this {
    this.#context.server.prependListener(event, listener)
    return this
  }

  /** Takes back `prependListener`. */
  off(event: 'request', listener: RequestListener): this {
    this.#context.server.off(event, listener)
    return this
  }

  /** For {@link createAjpServer}. */
  async listen(runtime: Pick<Runtime, 'network'>, endpoint: Endpoint): Promise<void> {
    try {
      this.#listener = await runtime.network.listen(endpoint, stream => this.#accept(stream))
    } catch (cause) {
      throw new ListenError(`Cannot listen on ${endpoint.host}:${endpoint.port}`, cause)
    }
  }

  #accept(stream: Stream): StreamHandlers {
    if (this.#isClosing || this.#connections.size >= this.#limits.maxConnections) {
      this.#figures.refusedConnections++
      stream.destroy()
      return { data: () => {}, closed: () => {} }
    }
    this.#figures.accepted++
    const connection = new AjpConnection(stream, this.#context)
    this.#connections.add(connection)
    if (this.#look === undefined) this.#lookLater()
    return connection
  }

  #lookLater(): void {
    const { clock } = this.#context
    const { idleTimeoutMs } = this.#limits
    if (idleTimeoutMs === 0) return
    this.#look = clock.setTimer(idleTimeoutMs / LOOKS, () => {
      this.#look = undefined
      const sinceMs = clock.monotonic() - idleTimeoutMs
      for (const connection of this.#connections) connection.expire(sinceMs)
      if (this.#connections.size > 0) this.#lookLater()
    })
  }

  #beginToClose(): void {
    this.#isClosing = true
    this.#listener?.close()
    this.#closeAll(true)
    if (this.#connections.size === 0) this.#empty()
  }

  #closeAll(keepsPromises: boolean): void {
    for (const connection of this.#connections) connection.close(keepsPromises)
    if (this.#connections.size > 0) this.#context.clock.setTimer(PROMISE_MS, () => this.#closeAll(false))
  }

  #forget(connection: AjpConnection): void {
    this.#connections.delete(connection)
    if (this.#connections.size === 0) {
      this.#look?.cancel()
      this.#look = undefined
    }
    if (this.#isClosing && this.#connections.size === 0) this.#empty()
  }
}

/**
 * Listens for web servers that speak AJP/1.3, and hands their requests to `target`: an `http.Server`, which need not
 * listen itself, or a handler such as an Express application. What the application sees is an ordinary request whose
 * `req.socket` has the client's addresses and `encrypted`; the rest is in {@link ajpOf}. There are no upgrades, and an
 * informational response (103) is not forwarded, since AJP has neither. Resolves when it listens. It keeps the process
 * alive until it is closed.
 *
 * @param runtime The clock and the network; by default the host's.
 * @throws {InvalidOptionError} for an unknown or bad option, and for a `host` that others can reach without a `secret`.
 * @throws {ListenError} when the address or the port is not to be had.
 */
export async function createAjpServer(
  target: Server | RequestListener,
  options: AjpServerOptions = {},
  runtime: Pick<Runtime, 'clock' | 'network'> = createNodeRuntime(),
): Promise<AjpServer> {
  checkNames(options, [...Object.keys(RULES), 'allowedRequestAttributes'])
  const { allowedRequestAttributes, ...given } = options
  const { host, port, secret, packetSize, ...limits } = resolve<ResolvedOptions>(RULES, given)
  if (allowedRequestAttributes !== undefined && !(allowedRequestAttributes instanceof RegExp)) {
    throw new InvalidOptionError('allowedRequestAttributes', 'a regular expression', allowedRequestAttributes)
  }
  if (secret === '' && !isLoopback(host)) {
    throw new InvalidOptionError('secret', `set when host is not this host's own (here ${host})`, undefined)
  }
  const server = new AjpServer(
    {
      server: serverOf(target),
      packetSize,
      allowedRequestAttributes: wholeName(allowedRequestAttributes),
      counters: noCounts(),
      clock: runtime.clock,
      admits: secretCheck(secret),
    },
    limits,
  )
  await server.listen(runtime, { host, port })
  return server
}

function serverOf(target: Server | RequestListener): Server {
  if (target instanceof Server) return target
  if (typeof target === 'function') return createServer(target)
  throw new InvalidOptionError('target', 'an http.Server or a request handler', target)
}

/** The pattern, for the whole name, as in Tomcat; without flags that make it remember. */
function wholeName(pattern: RegExp | undefined): RegExp | undefined {
  return pattern && new RegExp(`^(?:${pattern.source})$`, pattern.flags.replace(/[gmy]/g, ''))
}

/** Compares digests, so that neither the length nor the time tells anything. */
function secretCheck(secret: string): (given: string | undefined) => boolean {
  if (secret === '') return () => true
  const digest = (value: string): Buffer => createHash('sha256').update(value).digest()
  const expected = digest(secret)
  return given => given !== undefined && timingSafeEqual(digest(given), expected)
}

function isLoopback(host: string): boolean {
  return /^(127(\.\d{1,3}){3}|::1|localhost)$/i.test(host)
}
