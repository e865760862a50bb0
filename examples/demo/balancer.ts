import { Agent, createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { createProxyServer } from 'httpxy'
import {
  ATTEMPTS_HEADER,
  type BalancerCommand,
  type BalancerMessage,
  type NodeRow,
  ROUTE_COOKIE,
  type Target,
} from './protocol.js'

const BODY_BYTES_MAX = 65_536
const PROXY_TIMEOUT_MS = 2_000
const REFUSED_PAUSE_MS = 500
const SILENT_PAUSE_MS = 3_000
const CHECK_MS = 500
const ROUTE = new RegExp(`(?:^|;\\s*)${ROUTE_COOKIE}=([\\w-]+)`)

/** A sticky balancer: the route cookie's node first, any other node if that one does not answer. */
class Balancer {
  readonly #proxy = createProxyServer({
    agent: new Agent({ keepAlive: true, maxSockets: 256 }),
    proxyTimeout: PROXY_TIMEOUT_MS,
  })
  readonly #pausedUntil = new Map<string, number>()
  readonly #unready = new Set<string>()
  #targets: readonly Target[] = []
  #rows: readonly NodeRow[] = []
  #turn = 0

  /** Takes what the main process says. */
  command(command: BalancerCommand): void {
    if (command.type === 'rows') this.#rows = command.rows
    else {
      this.#targets = command.targets
      this.#pausedUntil.clear()
      this.#unready.clear()
    }
  }

  /** Serves one request: the page's control calls itself, everything else through a node. */
  async serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (req.url?.startsWith('/control/')) return this.#control(req, res)
    const body = await readBody(req)
    if (!body) return answer(res, 413, { error: 'too large' })
    const tried: string[] = []
    for (let target = this.#choose(req, tried); target; target = this.#choose(req, tried)) {
      tried.push(target.name)
      res.setHeader(ATTEMPTS_HEADER, tried.length)
      try {
        await this.#proxy.web(req, res, { target: `http://127.0.0.1:${target.port}`, buffer: Readable.from([body]) })
        return
      } catch (error) {
        const refused = (error as NodeJS.ErrnoException).code === 'ECONNREFUSED'
        this.#pausedUntil.set(target.name, Date.now() + (refused ? REFUSED_PAUSE_MS : SILENT_PAUSE_MS))
        if (res.headersSent || res.destroyed) return void res.destroy()
      }
    }
    answer(res, 503, { error: 'no server answers' })
  }

  /** Asks every server whether it wants requests. One that says no gets none until it says yes. */
  check(): void {
    for (const { name, port } of this.#targets) {
      const question = get({ host: '127.0.0.1', port, path: '/ready', agent: false, timeout: CHECK_MS }, answer => {
        answer.resume()
        if (answer.statusCode === 200) this.#unready.delete(name)
        else this.#unready.add(name)
      })
      question.on('timeout', () => question.destroy())
      // What cannot be asked shows with the next request.
      question.on('error', () => {})
    }
  }

  #choose(req: IncomingMessage, tried: readonly string[]): Target | undefined {
    const left = this.#targets.filter(target => !tried.includes(target.name))
    const awake = left.filter(
      ({ name }) => !this.#unready.has(name) && (this.#pausedUntil.get(name) ?? 0) <= Date.now(),
    )
    const route = ROUTE.exec(req.headers.cookie ?? '')?.[1]
    const sticky = awake.find(target => target.name === route)
    if (sticky) return sticky
    const candidates = awake.length > 0 ? awake : left
    return candidates[this.#turn++ % Math.max(1, candidates.length)]
  }

  #control(req: IncomingMessage, res: ServerResponse): void {
    const url = new URL(req.url ?? '/', 'http://localhost')
    if (req.method === 'GET') return answer(res, 200, this.#rows)
    // A page of another origin cannot send this header without asking first, and we grant nothing.
    if (req.headers['x-demo'] !== '1') return answer(res, 403, { error: 'forbidden' })
    const type = url.pathname === '/control/kill' ? 'kill' : url.pathname === '/control/start' ? 'start' : undefined
    if (!type) return answer(res, 404, { error: 'not found' })
    tell({ type, name: url.searchParams.get('name') ?? '' })
    answer(res, 202, {})
  }
}

async function readBody(req: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of req as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > BODY_BYTES_MAX) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function answer(res: ServerResponse, status: number, value: unknown): void {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

function tell(message: BalancerMessage): void {
  if (process.connected) process.send?.(message, undefined, {}, () => {})
}

const balancer = new Balancer()
setInterval(() => balancer.check(), CHECK_MS)
process.on('message', (command: BalancerCommand) => balancer.command(command))
process.on('disconnect', () => process.exit(0))
process.on('SIGINT', () => {})
const server = createServer((req, res) => {
  balancer.serve(req, res).catch(() => res.destroy())
})
server.listen(0, '127.0.0.1', () => tell({ type: 'listening', port: (server.address() as AddressInfo).port }))
