import type { IncomingMessage } from 'node:http'
import type { Session } from '../../session/session.js'
import { SessionGate } from './session-gate.js'
import type { ClusterSessionOptions } from './session-options.js'

/**
 * Reads the session of `upgrade` requests (WebSocket), which never pass through middleware. Takes the same options as the
 * application's `clusterSession`, or those of the Fastify, Koa or Hono adapter that speak of the cookie. The function it
 * returns finds the session that the request's cookie names, and notes that it was used; as for any request, it waits
 * until the copy has caught up after a stall and has what the client wrote elsewhere. Undefined: there is no such
 * session, `filter` or the cookie's path leave the request out, or the client has hung up meanwhile. None is ever begun,
 * for an upgrade is no place to set a cookie.
 *
 * A connection outlives any one view: to read what has changed, take a new one, `cluster.sessions.find(session.id)`; to
 * write, change a view and `cluster.sessions.commit` it; and `touch` it now and then, or the session expires.
 *
 * ```ts
 * const options = { cluster, secret }
 * app.use(clusterSession(options))
 * const sessionOfUpgrade = upgradeSession(options)
 * server.on('upgrade', async (req, socket, head) => {
 *   socket.on('error', () => socket.destroy())   // or whoever hangs up at the wrong moment ends the process
 *   const session = await sessionOfUpgrade(req)
 *   if (session === undefined) return void socket.end('HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n')
 *   const over = AbortSignal.any([session.signal, cluster.signal])
 *   const end = () => socket.end()
 *   over.addEventListener('abort', end, { once: true })
 *   socket.once('close', () => over.removeEventListener('abort', end))
 *   // …
 * })
 * ```
 *
 * @throws {InvalidOptionError} when an option is out of range; the function itself never throws
 */
export function upgradeSession(options: ClusterSessionOptions): (req: IncomingMessage) => Promise<Session | undefined> {
  const gate = new SessionGate(options)
  const { sessions } = gate
  return async function sessionOfUpgrade(req) {
    if (!gate.admits(req.url ?? '/', req)) return undefined
    const { id } = gate.read(req.headers.cookie)
    if (id === undefined) return undefined
    const wait = gate.whenReady(req.headers.cookie)
    if (wait !== undefined) await waited(wait, req.socket)
    if (req.socket?.destroyed) return undefined
    const session = sessions.find(id, gate.view(req.url ?? '/', req))
    session?.touch()
    return session
  }
}

/** Nobody else listens to the socket yet, and an error that nobody hears would end the process. */
async function waited(wait: Promise<unknown>, socket: IncomingMessage['socket']): Promise<void> {
  const ignore = (): void => {}
  socket.on('error', ignore)
  await wait
  socket.off('error', ignore)
}
