import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../../runtime/runtime.js'

/** A request that ends with keep-alive leaves an idle connection behind; they are looked for this often. */
const LOOK_MS = 50

/** What is used of a server of `node:http` or `node:https`. */
export interface EndableServer {
  prependListener(event: 'request', listener: (req: IncomingMessage, res: ServerResponse) => void): unknown
  off(event: 'request', listener: (req: IncomingMessage, res: ServerResponse) => void): unknown
  close(callback?: (error?: Error) => void): unknown
  getConnections?(callback: (error: Error | null, count: number) => void): unknown
  closeIdleConnections?(): void
  closeAllConnections?(): void
}

/**
 * Ends a server so that no client notices: from the beginning every reply says `Connection: close`, so that balancers
 * and browsers come back over another connection and to another server; `close` then waits for what is under way.
 */
export class ServerEnd {
  readonly #server: EndableServer
  readonly #clock: Clock

  constructor(server: EndableServer, clock: Clock) {
    this.#server = server
    this.#clock = clock
    // Before the application, which may send its headers at once.
    server.prependListener('request', sayClose)
  }

  /**
   * Accepts nothing any more, and waits for requests under way. After `timeoutMs`, or when the signal is aborted, what is
   * still open is cut; fulfilled with how many connections that were, never rejected. Connections that were upgraded
   * (WebSocket) are waited for and counted as well, but they are the application's to end; so are those on which nothing
   * was ever asked, which Node does not count as idle (browsers open some in advance, balancers do not).
   */
  close(timeoutMs: number, signal: AbortSignal): Promise<number> {
    const server = this.#server
    return new Promise(resolve => {
      const deadline = this.#clock.monotonic() + timeoutMs
      let timer = this.#clock.setTimer(LOOK_MS, () => look())
      const finish = (cut: number): void => {
        timer.cancel()
        signal.removeEventListener('abort', cutAll)
        server.off('request', sayClose)
        resolve(cut)
      }
      const cutAll = (): void => {
        connections(server, count => {
          server.closeAllConnections?.()
          finish(count)
        })
      }
      const look = (): void => {
        if (this.#clock.monotonic() >= deadline) return cutAll()
        server.closeIdleConnections?.()
        timer = this.#clock.setTimer(LOOK_MS, look)
      }
      signal.addEventListener('abort', cutAll, { once: true })
      // The error of a server that does not run says that there is nothing to wait for.
      server.close(() => finish(0))
      server.closeIdleConnections?.()
      if (signal.aborted) cutAll()
    })
  }
}

function sayClose(_req: IncomingMessage, res: ServerResponse): void {
  if (!res.headersSent) res.setHeader('Connection', 'close')
}

function connections(server: EndableServer, done: (count: number) => void): void {
  if (server.getConnections === undefined) return done(0)
  server.getConnections((error, count) => done(error === null ? count : 0))
}
