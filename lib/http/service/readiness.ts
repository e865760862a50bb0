import { Buffer } from 'node:buffer'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { InvalidOptionError } from '../../errors.js'

/**
 * Where a member stands. `joining`: its copy is not complete; `ready`; `draining`: it is about to leave and still serves;
 * `left`: it is no member any more.
 */
export type ClusterState = 'joining' | 'ready' | 'draining' | 'left'

/** What a balancer's question is answered from: a Cluster. */
export interface ReadinessHost {
  /** See {@link ClusterState}. */
  readonly state: ClusterState
  /** `fresh`: false after a stall of the process, until its copy has caught up. */
  readonly sessions: { readonly fresh: boolean }
}

/** The answer to a balancer, for a framework to send. */
export interface ReadyAnswer {
  /** 200: this member wants requests; 503: it does not. */
  readonly status: 200 | 503
  /** `Content-Type`, and `Cache-Control: no-store`. */
  readonly headers: Readonly<Record<string, string>>
  /** JSON: `{"ready":true}`, or `{"ready":false,"reason":"draining"}`. */
  readonly body: string
}

const HEADERS: ReadyAnswer['headers'] = Object.freeze({
  'content-type': 'application/json',
  'cache-control': 'no-store',
})

/**
 * Whether this member wants requests now: it has joined, has everything, is not about to leave, and did not just stand
 * still. The reason otherwise is `joining`, `draining`, `left` or `stalled`.
 *
 * ```ts
 * app.get('/ready', (_request, reply) => {                     // Fastify
 *   const { status, headers, body } = readyAnswer(cluster)
 *   return reply.code(status).headers(headers).send(body)
 * })
 * app.get('/ready', c => {                                     // Hono
 *   const { status, headers, body } = readyAnswer(cluster)
 *   return c.body(body, status, headers)
 * })
 * ```
 */
export function readyAnswer({ state, sessions }: ReadinessHost): ReadyAnswer {
  const reason = state !== 'ready' ? state : sessions.fresh ? undefined : 'stalled'
  const status = reason === undefined ? 200 : 503
  return { status, headers: HEADERS, body: JSON.stringify({ ready: reason === undefined, reason }) }
}

/**
 * Answers a balancer's readiness check from {@link readyAnswer}, in `node:http`, Connect and Express: to be mounted at
 * `/ready`, before sessions and logins. GET and HEAD; other methods get 405.
 *
 * Not meant as a liveness check: a member that drains or catches up must not be restarted for it.
 *
 * @throws {InvalidOptionError} when `cluster` is none
 */
export function readyHandler(cluster: ReadinessHost): (req: IncomingMessage, res: ServerResponse) => void {
  if (typeof cluster?.state !== 'string') throw new InvalidOptionError('cluster', 'a cluster', cluster)
  return function handleReady(req, res) {
    if (req.method !== 'GET' && req.method !== 'HEAD') {
      res.writeHead(405, { allow: 'GET, HEAD' }).end()
      return
    }
    const { status, headers, body } = readyAnswer(cluster)
    res.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) })
    res.end(req.method === 'HEAD' ? undefined : body)
  }
}
