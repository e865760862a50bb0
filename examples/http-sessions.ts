/**
 * A server with replicated sessions. Start it in two terminals with different names and ports:
 *   node dist/examples/http-sessions.js node1 8080
 *   node dist/examples/http-sessions.js node2 8081
 * then: curl -c jar -b jar localhost:8080 and localhost:8081 in turn; the counter goes on.
 */
import express from 'express'
import session from 'express-session'
import { TribelineStore } from '../lib/http/express.js'
import { readyHandler } from '../lib/http/index.js'
import { createCluster } from '../lib/index.js'

declare module 'express-session' {
  interface SessionData {
    visits: number
  }
}

const [name = 'node1', port = '8080'] = process.argv.slice(2)
const cluster = await createCluster({ name, group: 'http-example' })
const app = express()
app.get('/ready', readyHandler(cluster))
app.use(
  session({
    secret: process.env.SESSION_SECRET ?? 'only for this example',
    store: new TribelineStore({ cluster }),
    resave: false,
    saveUninitialized: false,
  }),
)
app.get('/', (req, res) => {
  req.session.visits = (req.session.visits ?? 0) + 1
  res.send(`${name}: visit ${req.session.visits}\n`)
})
const server = app.listen(Number(port), () => console.log(`${name}: http://localhost:${port}/`))

process.once('SIGINT', () => cluster.drain({ server, graceMs: 0 }).finally(() => process.exit(0)))
// A balancer in front notices within seconds that /ready says no.
process.once('SIGTERM', () => cluster.drain({ server }).finally(() => process.exit(0)))
