/**
 * What the middleware has counted: make one, hand it to any number of middlewares as option `stats`, and read it at any
 * time. Everything counts from its making, for this process; requests that were filtered are not in it.
 *
 * ```ts
 * const stats = new SessionHttpStats()
 * app.use(clusterSession({ cluster, secret, stats }))
 * ```
 */
export class SessionHttpStats {
  /** Requests that could have a session. */
  requests = 0
  /** Those that looked at a stored session and wrote nothing. */
  reads = 0
  /** Those that wrote. */
  writes = 0
  /** Deltas they wrote; one for each, unless a handler saves, changes the id or ends the session too. */
  deltas = 0
  /** Bytes of these deltas, each counted once however many members get it. */
  bytes = 0
  /** Waits of requests: for a write that the client had made elsewhere, or after a stall of the process. */
  waits = 0
  /** Milliseconds of these waits, all together, by the host's clock. */
  waitMs = 0
  /** Requests that were served although such a write was still not here: `req.session.stale` was true. */
  stale = 0
  /** Token cookies that were forged, foreign, malformed or too long; nobody waited for them. */
  refusedTokens = 0
  /** Clients that came from another member, as their route said. */
  moves = 0
}
