import { connect, type Socket } from 'node:net'
import { serve, sharedNow } from './worker.js'

/** Orders to the load generator. */
export interface LoadOrders {
  /** Begins sessions, so many that connections share none; each belongs to one of the servers. */
  prepare(config: LoadConfig): Promise<{ cookies: number }>
  run(config: { readonly path: string; readonly requests: number }): Promise<LoadResult>
  /** Closes the connections. */
  close(): void
}

/** Who asks whom. */
export interface LoadConfig {
  readonly ports: readonly number[]
  readonly connections: number
  readonly sessions: number
}

/** One run. */
export interface LoadResult {
  readonly elapsedMs: number
  /** Answers that were no 200, or did not count up what a session had counted. */
  readonly wrong: number
  /** Waits, ascending, in milliseconds. */
  readonly waits: readonly number[]
}

/** One client with its session. */
interface Client {
  requests: Map<string, Buffer>
  cookies: Map<string, string>
  count: number
}

interface Answer {
  readonly status: number
  readonly cookies: readonly string[]
  readonly body: string
}

const HEAD_END = '\r\n\r\n'

/** One keep-alive connection and the clients that take turns on it. Bytes are read here: a client must cost little. */
class Connection {
  readonly clients: readonly Client[]
  readonly #port: number
  readonly #socket: Socket
  #text = ''
  #answered: (answer: Answer) => void = () => {}
  #failed: (error: Error) => void = () => {}

  constructor(port: number, clients: readonly Client[]) {
    this.clients = clients
    this.#port = port
    this.#socket = connect(port, '127.0.0.1').setNoDelay().setEncoding('latin1')
    this.#socket.on('data', text => this.#read(String(text)))
    this.#socket.on('error', error => this.#failed(error))
    this.#socket.on('close', () => this.#failed(new Error('The server closed the connection')))
  }

  close(): void {
    this.#socket.destroy()
  }

  async ask(client: Client, path: string): Promise<Answer> {
    let request = client.requests.get(path)
    if (request === undefined) {
      const cookie = [...client.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
      const lines = [`GET ${path} HTTP/1.1`, `Host: 127.0.0.1:${this.#port}`, ...(cookie ? [`Cookie: ${cookie}`] : [])]
      client.requests.set(path, (request = Buffer.from(lines.join('\r\n') + HEAD_END)))
    }
    if (this.#socket.destroyed) throw new Error('The server has closed the connection')
    return new Promise((resolve, reject) => {
      this.#answered = resolve
      this.#failed = reject
      this.#socket.write(request)
    })
  }

  #read(text: string): void {
    this.#text += text
    const headEnd = this.#text.indexOf(HEAD_END)
    if (headEnd < 0) return
    const head = this.#text.slice(0, headEnd)
    const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1]
    if (length === undefined) return this.#failed(new Error(`An answer without a length: ${head.slice(0, 200)}`))
    const end = headEnd + HEAD_END.length + Number(length)
    if (this.#text.length < end) return
    const body = this.#text.slice(headEnd + HEAD_END.length, end)
    this.#text = this.#text.slice(end)
    const cookies = [...head.matchAll(/\r\nset-cookie: ([^;\r]+)/gi)].map(match => match[1] as string)
    this.#answered({ status: Number(head.slice(9, 12)), cookies, body })
  }
}

let connections: Connection[] = []

serve<LoadOrders>({
  async prepare({ ports, connections: count, sessions }) {
    connections = Array.from({ length: count }, (_, index) => {
      const clients = Array.from({ length: Math.ceil(sessions / count) }, () => newClient())
      return new Connection(ports[index % ports.length] as number, clients)
    })
    await Promise.all(connections.map(connection => begin(connection)))
    return { cookies: connections.flatMap(({ clients }) => clients).filter(({ cookies }) => cookies.size > 0).length }
  },
  async run({ path, requests }) {
    const waits: number[] = []
    let wrong = 0
    let left = requests
    const startedAt = sharedNow()
    await Promise.all(
      connections.map(async connection => {
        const { clients } = connection
        for (let turn = 0; left > 0; turn++) {
          left--
          const client = clients[turn % clients.length] as Client
          const askedAt = performance.now()
          const answer = await connection.ask(client, path)
          waits.push(performance.now() - askedAt)
          if (!isRight(client, path, answer)) wrong++
        }
      }),
    )
    return { elapsedMs: sharedNow() - startedAt, wrong, waits: waits.sort((a, b) => a - b) }
  },
  close() {
    for (const connection of connections) connection.close()
    connections = []
  },
})

function newClient(): Client {
  return { requests: new Map(), cookies: new Map(), count: 0 }
}

/** Every client gets its session, and a second request so that all cookies are there. */
async function begin(connection: Connection): Promise<void> {
  for (const client of connection.clients) {
    for (const path of ['/begin', '/read']) {
      const { status, cookies } = await connection.ask(client, path)
      if (status !== 200) throw new Error(`${path} answered ${status}`)
      for (const cookie of cookies) {
        const cut = cookie.indexOf('=')
        client.cookies.set(cookie.slice(0, cut), cookie.slice(cut + 1))
      }
      client.requests.clear()
    }
  }
}

/** Without sessions nothing counts; with them every write must have been kept. */
function isRight(client: Client, path: string, { status, body }: Answer): boolean {
  if (status !== 200) return false
  if (client.cookies.size === 0) return true
  if (path === '/write') client.count++
  return body === `{"n":${client.count}}`
}
