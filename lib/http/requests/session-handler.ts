import type { IncomingMessage, ServerResponse } from 'node:http'
import { InvalidStateError } from '../../errors.js'
import { NodeExchange } from './node-exchange.js'
import { attach, exchangeOf, exposeSession } from './node-hooks.js'
import type { RequestSession } from './request-session.js'
import { SessionGate } from './session-gate.js'
import type { ClusterSessionOptions } from './session-options.js'

/** A request that came through {@link clusterSession}. */
export interface SessionRequest extends IncomingMessage {
  /** Loaded when first read. Assigning null or undefined ends the session. */
  session: RequestSession
}

/** What Connect, Express and express-session add. */
interface ConnectRequest extends IncomingMessage {
  readonly originalUrl?: string
  readonly sessionStore?: unknown
}

/** The shape of middleware in Connect, Express and plain `node:http`. */
export type SessionHandler = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void

/** The session of a request that came through {@link clusterSession}; undefined for others and for filtered ones. */
export function sessionOf(req: IncomingMessage): RequestSession | undefined {
  return exchangeOf(req)?.facade
}

/**
 * Sessions of the cluster on `req.session`, for `node:http`, Connect and Express. Loading is lazy and local. What a
 * request changed is written as one delta when its headers go out (later changes when it ends), and the response ends
 * when the delta is acknowledged as `ack` asks, or after `ackTimeoutMs`: a client that follows a redirect to another
 * member finds what it wrote. A response that streams before it ends has sent its headers by then.
 *
 * Clients need not stay with one member: a response that wrote names the write in a signed cookie, and a request waits
 * until this member has it, up to `catchUpMs`, before its session is looked for and `next` is called. After that it is
 * served with `req.session.stale`. See {@link SessionOptions.seenCookie}.
 *
 * After a stall of this process (see {@link SessionManager.whenFresh}) requests wait until the local copy has caught up;
 * those whose client hung up meanwhile are dropped, for it asks elsewhere by now. A request that was under way commits
 * once the copy has caught up. If another member has changed the same attributes, nothing of it is stored, and it is
 * answered with 503, or cut off when its headers are out: what was not stored is not confirmed.
 *
 * @throws {InvalidOptionError} when an option is out of range.
 */
export function clusterSession(options: ClusterSessionOptions): SessionHandler {
  const gate = new SessionGate(options)
  const begin = (exchange: NodeExchange, req: IncomingMessage, res: ServerResponse): void => {
    attach(exchange, req, res)
    exposeSession(req)
  }
  return function handleSession(req: ConnectRequest, res, next) {
    // Below a path where something is mounted, Express and Connect shorten `url`.
    if (exchangeOf(req) !== undefined || !gate.admits(req.originalUrl ?? req.url ?? '/', req)) return next()
    // Its hooks on the response would look for its own cookie in our session, and throw where nobody catches.
    if (req.sessionStore !== undefined) {
      return next(new InvalidStateError('a request without a session', 'one to which express-session gave its own'))
    }
    const exchange = new NodeExchange(gate, req, res)
    const wait = exchange.whenReady()
    if (wait === undefined) {
      begin(exchange, req, res)
      return next()
    }
    // Outside the promise, where an error would be an unhandled rejection.
    const goOn = (): void => {
      if (res.destroyed || res.writableEnded || exchangeOf(req) !== undefined) return
      begin(exchange, req, res)
      next()
    }
    void wait.then(() => process.nextTick(goOn))
  }
}
