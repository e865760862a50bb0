/**
 * Logging out reaches open connections, on whatever member they are. Start it in two terminals:
 *   node dist/examples/live-logout.js node1 8080
 *   node dist/examples/live-logout.js node2 8081
 * then log in at one, listen at the other, and log out everywhere at the first:
 *   curl -c jar -b jar 'localhost:8080/login?ann'
 *   curl -b jar localhost:8081/events &
 *   curl localhost:8080/end-all?ann
 * A third login of the same user ends the first one (`users`), and its events with it.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { clusterSession, type SessionRequest } from '../lib/http/index.js'
import { createCluster } from '../lib/index.js'

const [name = 'node1', port = '8080'] = process.argv.slice(2)
const cluster = await createCluster({ name, group: 'live-logout', users: { maxSessions: 2 } })
const handleSession = clusterSession({ cluster, secret: process.env.SESSION_SECRET ?? 'only for this example' })

cluster.users.on('ended', ({ principal, why, cause }) => {
  console.log(`${name}: a session of ${principal} has ended (${why}, ${cause})`)
})

async function serve({ session, url = '' }: SessionRequest, res: ServerResponse): Promise<void> {
  const [path, query = 'ann'] = url.split('?')
  switch (path) {
    case '/login':
      await session.login(decodeURIComponent(query))
      res.end(`${name}: ${cluster.users.count(session.principal ?? '')} logins of ${session.principal}\n`)
      break
    case '/logout':
      await session.logout()
      res.end(`${name}: bye\n`)
      break
    case '/end-all':
      await cluster.users.endAll(decodeURIComponent(query))
      res.end(`${name}: ${query} is logged out everywhere\n`)
      break
    case '/events':
      listen(session, res)
      break
    default:
      res.end(`${name}: ${session.principal ?? 'nobody'}\n`)
  }
}

/** Server-sent events for as long as the session lives and this member serves. */
function listen(session: SessionRequest['session'], res: ServerResponse): void {
  if (session.principal === undefined) {
    res.writeHead(401).end(`${name}: log in first\n`)
    return
  }
  res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
  // Listening is using: without it the session would expire meanwhile.
  const beat = setInterval(() => {
    session.touch()
    res.write(`data: ${name}: still ${session.principal}\n\n`)
  }, 1_000)
  const over = AbortSignal.any([session.signal, cluster.signal])
  const end = (): void => {
    res.end(`event: end\ndata: ${over.reason.why ?? 'this member leaves'}\n\n`)
  }
  over.addEventListener('abort', end, { once: true })
  res.once('close', () => {
    clearInterval(beat)
    over.removeEventListener('abort', end)
  })
}

const server = createServer((req: IncomingMessage, res) => {
  handleSession(req, res, () => {
    serve(req as SessionRequest, res).catch(error => res.writeHead(500).end(`${name}: ${error.message}\n`))
  })
})
server.listen(Number(port), () => console.log(`${name}: http://localhost:${port}/`))

process.once('SIGINT', () => {
  cluster.drain({ server, graceMs: 0 }).finally(() => process.exit(0))
})
