import { Agent, type IncomingMessage, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { ATTEMPTS_HEADER, type CartState, ROUTE_COOKIE, STEP_HEADER, STEPS_KEPT } from './protocol.js'

const RAMP_MS = 2_000
const CLIENT_TIMEOUT_MS = 10_000
/** Failures told one by one. */
const FAILURES_MAX = 50

/** One browser: its cookies, and what it was told is saved. */
export interface Client {
  readonly cookies: Map<string, string>
  /** The last writes that were answered with success, at most `STEPS_KEPT`, without those found missing. */
  acknowledged: readonly number[]
  /** The write under way or to be repeated. */
  step: number
  lastNode: string
  lost: boolean
}

/** How the clients behave. */
export interface LoadOptions {
  /** Shortest and longest pause between an answer and the next request, in milliseconds. Default 700 and 1300. */
  readonly thinkMs?: readonly [number, number]
  /** The share of requests that only read, from 0 to 1. Default 0. */
  readonly reads?: number
  /** Whether the clients keep connections open from one request to the next. Default true. */
  readonly keepAlive?: boolean
}

/** What the clients saw. */
export interface LoadFigures {
  requests: number
  /** Requests that ended in an error; those at a node that was being killed are among them. */
  clientErrors: number
  /** Those that were under way at a node when it was killed (see `doom`): writes, reads. */
  doomedWriteErrors: number
  doomedReadErrors: number
  /** Requests that were under way at a killed node, whether they ended in an error or were repeated elsewhere. */
  doomed: number
  /** Reads whose answer lacked an acknowledged write. */
  staleReads: number
  /** Sessions that a server did not know any more. */
  lostSessions: number
  /** Acknowledged writes that a later answer did not contain. */
  lostWrites: number
  /** The longest answer, in milliseconds, from a node that had not to stand in for another. */
  longestDirectMs: number
}

/** One request under way. */
interface Call {
  /** Where its route cookie sends it. */
  readonly route: string | undefined
  doomed: boolean
}

/** A bounded load: every client writes, waits for the answer, thinks, and checks that nothing it was told is gone. */
export class Load {
  readonly clients: readonly Client[]
  readonly figures: LoadFigures = {
    requests: 0,
    clientErrors: 0,
    doomedWriteErrors: 0,
    doomedReadErrors: 0,
    doomed: 0,
    staleReads: 0,
    lostSessions: 0,
    lostWrites: 0,
    longestDirectMs: 0,
  }
  /** Why requests failed, and how often. */
  readonly reasons: Map<string, number> = new Map()
  /** The first 50 failures: when each ended, what was asked, of whom, and what came of it. */
  readonly failures: string[] = []
  readonly #agent: Agent
  readonly #port: number
  readonly #options: Required<LoadOptions>
  readonly #underWay = new Set<Call>()
  #doomedRoute: string | undefined
  #running = true
  #done: Promise<unknown> = Promise.resolve()
  #watch: { readonly dead: string; readonly since: number; resolve: (ms: number) => void } | undefined

  constructor(port: number, sessions: number, options: LoadOptions = {}) {
    this.#port = port
    this.#options = { thinkMs: [700, 1_300], reads: 0, keepAlive: true, ...options }
    this.#agent = new Agent({ keepAlive: this.#options.keepAlive, maxSockets: 512 })
    this.clients = Array.from({ length: sessions }, () => ({
      cookies: new Map(),
      acknowledged: [],
      step: 1,
      lastNode: '',
      lost: false,
    }))
  }

  /** Lets all clients go, spread over the first two seconds. */
  start(): void {
    this.#done = Promise.all(
      this.clients.map(async (client, index) => {
        await delay((index / this.clients.length) * RAMP_MS)
        while (this.#running) {
          await this.#turn(client)
          await delay(this.#think())
        }
      }),
    )
  }

  /** Resolves when every client has its last answer. */
  async stop(): Promise<void> {
    this.#running = false
    await this.#done
    this.#agent.destroy()
  }

  /** How many clients have at least one acknowledged write. */
  get started(): number {
    return this.clients.filter(client => client.acknowledged.length > 0).length
  }

  /** Forgets the longest answer so far. */
  resetLongest(): void {
    this.figures.longestDirectMs = 0
  }

  /** Milliseconds from `since` to the first success of a client whose last answer came from `dead`. */
  failover(dead: string, since: number): Promise<number> {
    return new Promise(resolve => {
      this.#watch = { dead, since, resolve }
    })
  }

  /** From now on, until `spare`, every request under way at `node` may end in an error without blame. */
  doom(node: string): void {
    this.#doomedRoute = node
    for (const call of this.#underWay) this.#mark(call)
  }

  /** The node is dead: requests from now on must not fail. */
  spare(): void {
    this.#doomedRoute = undefined
  }

  /** Sends every client to this node from now on, as long as the balancer agrees. */
  moveTo(node: string): void {
    for (const client of this.clients) client.cookies.set(ROUTE_COOKIE, node)
  }

  #think(): number {
    const [least, most] = this.#options.thinkMs
    return least + Math.random() * (most - least)
  }

  #mark(call: Call): void {
    if (call.doomed || call.route !== this.#doomedRoute) return
    call.doomed = true
    this.figures.doomed++
  }

  async #turn(client: Client): Promise<void> {
    const startedAt = Date.now()
    const reads = client.acknowledged.length > 0 && Math.random() < this.#options.reads
    const call: Call = { route: client.cookies.get(ROUTE_COOKIE), doomed: false }
    this.figures.requests++
    this.#underWay.add(call)
    if (this.#doomedRoute !== undefined) this.#mark(call)
    try {
      const { state, attempts, newSession } = await this.#ask(client, reads)
      if (attempts === 1) this.figures.longestDirectMs = Math.max(this.figures.longestDirectMs, Date.now() - startedAt)
      this.#failedOver(client, state)
      if (!reads) this.#check(client, state, newSession)
      else if (missing(client.acknowledged, state).length > 0) this.figures.staleReads++
      client.lastNode = state.node
    } catch (error) {
      this.figures.clientErrors++
      if (call.doomed) this.figures[reads ? 'doomedReadErrors' : 'doomedWriteErrors']++
      const reason = error instanceof Error ? error.message : String(error)
      this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1)
      if (this.failures.length < FAILURES_MAX) {
        const when = `${new Date().toISOString()}, after ${Date.now() - startedAt} ms`
        const what = `${reads ? 'read' : `write ${client.step}`} for ${call.route ?? 'any node'}`
        this.failures.push(`${when}: ${what}${call.doomed ? ', which was being killed' : ''}: ${reason}`)
      }
    } finally {
      this.#underWay.delete(call)
    }
  }

  #check(client: Client, state: CartState, newSession: boolean): void {
    const told = [...client.acknowledged, client.step].slice(-STEPS_KEPT)
    if (newSession && client.acknowledged.length > 0) {
      if (!client.lost) this.figures.lostSessions++
      client.lost = true
    } else if (!client.lost) this.figures.lostWrites += missing(told, state).length
    // Each missing write counts once.
    client.acknowledged = told.filter(step => state.steps.includes(step))
    client.step++
  }

  #failedOver(client: Client, state: CartState): void {
    const watch = this.#watch
    if (!watch || client.lastNode !== watch.dead || state.node === watch.dead) return
    this.#watch = undefined
    watch.resolve(Date.now() - watch.since)
  }

  #ask(client: Client, reads: boolean): Promise<{ state: CartState; attempts: number; newSession: boolean }> {
    return new Promise((resolve, reject) => {
      const cookie = cookieHeader(client)
      const headers = reads ? { cookie } : { cookie, [STEP_HEADER]: String(client.step), 'content-length': '0' }
      const options = {
        host: '127.0.0.1',
        port: this.#port,
        path: reads ? '/session' : '/write',
        method: reads ? 'GET' : 'POST',
        agent: this.#agent,
        headers,
      }
      const req = request({ ...options, timeout: CLIENT_TIMEOUT_MS }, res => {
        if (res.statusCode !== 200) {
          res.resume()
          return reject(new Error(`Status ${res.statusCode}`))
        }
        readJson(res)
          .then(state => {
            const newSession = takeCookies(client, res)
            resolve({ state: state as CartState, attempts: Number(res.headers[ATTEMPTS_HEADER] ?? 1), newSession })
          })
          .catch(reject)
      })
      req.on('timeout', () => req.destroy(new Error('No answer')))
      req.on('error', reject)
      req.end()
    })
  }
}

/** Those of the writes that this state does not contain, as far back as it tells. */
export function missing(writes: readonly number[], { steps }: CartState): number[] {
  return writes.filter(step => !steps.includes(step))
}

/** The session id inside the signed cookie; undefined before the first answer. */
export function sessionId(client: Client): string | undefined {
  const cookie = client.cookies.get('sid')
  return cookie === undefined ? undefined : /^s:(.*)\.[^.]*$/.exec(decodeURIComponent(cookie))?.[1]
}

function cookieHeader({ cookies }: Client): string {
  return [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
}

/** Keeps the cookies of an answer; true if it names another session than before. */
function takeCookies(client: Client, res: IncomingMessage): boolean {
  const before = client.cookies.get('sid')
  for (const line of res.headers['set-cookie'] ?? []) {
    const [pair = ''] = line.split(';', 1)
    const equals = pair.indexOf('=')
    client.cookies.set(pair.slice(0, equals), pair.slice(equals + 1))
  }
  return client.cookies.get('sid') !== before
}

async function readJson(res: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of res as AsyncIterable<Buffer>) chunks.push(chunk)
  return JSON.parse(Buffer.concat(chunks).toString('utf8'))
}
