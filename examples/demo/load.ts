import { Agent, type IncomingMessage, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { ATTEMPTS_HEADER, type CartState, STEP_HEADER, STEPS_KEPT } from './protocol.js'

const THINK_MIN_MS = 700
const THINK_MAX_MS = 1_300
const RAMP_MS = 2_000
const CLIENT_TIMEOUT_MS = 10_000

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

/** What the clients saw. */
export interface LoadFigures {
  requests: number
  clientErrors: number
  /** Sessions that a server did not know any more. */
  lostSessions: number
  /** Acknowledged writes that a later answer did not contain. */
  lostWrites: number
  /** The longest answer, in milliseconds, from a node that had not to stand in for another. */
  longestDirectMs: number
}

/** A bounded load: every client writes, waits for the answer, thinks, and checks that nothing it was told is gone. */
export class Load {
  readonly clients: readonly Client[]
  readonly figures: LoadFigures = { requests: 0, clientErrors: 0, lostSessions: 0, lostWrites: 0, longestDirectMs: 0 }
  /** Why requests failed, and how often. */
  readonly reasons: Map<string, number> = new Map()
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 512 })
  readonly #port: number
  #running = true
  #done: Promise<unknown> = Promise.resolve()
  #watch: { readonly dead: string; readonly since: number; resolve: (ms: number) => void } | undefined

  constructor(port: number, sessions: number) {
    this.#port = port
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
          await this.#write(client)
          await delay(THINK_MIN_MS + Math.random() * (THINK_MAX_MS - THINK_MIN_MS))
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

  async #write(client: Client): Promise<void> {
    const startedAt = Date.now()
    this.figures.requests++
    try {
      const { state, attempts, newSession } = await this.#post(client)
      if (attempts === 1) this.figures.longestDirectMs = Math.max(this.figures.longestDirectMs, Date.now() - startedAt)
      this.#failedOver(client, state)
      this.#check(client, state, newSession)
    } catch (error) {
      this.figures.clientErrors++
      const reason = error instanceof Error ? error.message : String(error)
      this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1)
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
    client.lastNode = state.node
  }

  #failedOver(client: Client, state: CartState): void {
    const watch = this.#watch
    if (!watch || client.lastNode !== watch.dead || state.node === watch.dead) return
    this.#watch = undefined
    watch.resolve(Date.now() - watch.since)
  }

  #post(client: Client): Promise<{ state: CartState; attempts: number; newSession: boolean }> {
    return new Promise((resolve, reject) => {
      const headers = { cookie: cookieHeader(client), [STEP_HEADER]: String(client.step), 'content-length': '0' }
      const options = {
        host: '127.0.0.1',
        port: this.#port,
        path: '/write',
        method: 'POST',
        agent: this.#agent,
        headers,
      }
      const req = request({ ...options, timeout: CLIENT_TIMEOUT_MS }, res => {
        readJson(res)
          .then(state => {
            if (res.statusCode !== 200) throw new Error(`Status ${res.statusCode}`)
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

function cookieHeader(client: Client): string {
  return [...client.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
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
