import { Agent, type IncomingMessage, request } from 'node:http'
import type { CounterReply } from './counter-node.js'

/** Connections to each port at most. */
export const CLIENTS_AT_ONCE = 32

const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS_AT_ONCE })

/** Closes the connections of all clients. */
export function disconnect(): void {
  agent.destroy()
}

/** A client with its cookies. */
export class CounterClient {
  readonly #cookies: Map<string, string>

  constructor(cookies: Iterable<readonly [string, string]> = []) {
    this.#cookies = new Map(cookies)
  }

  /** One with the session cookie and nothing else. */
  stranger(): CounterClient {
    return new CounterClient([...this.#cookies].filter(([name]) => name.endsWith('.sid')))
  }

  ask(port: number, method: 'GET' | 'POST'): Promise<CounterReply> {
    return new Promise((resolve, reject) => {
      const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
      const headers = { ...(cookie === '' ? {} : { cookie }), ...(method === 'POST' ? { 'content-length': '0' } : {}) }
      const req = request({ host: '127.0.0.1', port, method, path: '/', agent, headers }, res => {
        for (const line of res.headers['set-cookie'] ?? []) this.#keep(line)
        text(res).then(body => {
          if (res.statusCode === 200) resolve(JSON.parse(body) as CounterReply)
          else
            reject(
              new Error(`Status ${res.statusCode} for ${method} with ${cookie || 'no cookie'}: ${body.slice(0, 200)}`),
            )
        }, reject)
      })
      req.on('error', reject)
      req.end()
    })
  }

  #keep(line: string): void {
    const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
    if (/; Max-Age=0/i.test(line)) this.#cookies.delete(name)
    else this.#cookies.set(name, value)
  }
}

async function text(res: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of res.setEncoding('utf8')) body += chunk
  return body
}
