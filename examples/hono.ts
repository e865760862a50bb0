/**
 * A Hono server with replicated sessions. Start it in two terminals with different names and ports:
 *   node dist/examples/hono.js node1 8080
 *   node dist/examples/hono.js node2 8081
 * then: curl -c jar -b jar localhost:8080 and localhost:8081 in turn; the counter goes on.
 */
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { type HonoSession, honoSession } from '../lib/http/hono.js'
import { readyAnswer } from '../lib/http/index.js'
import { createCluster } from '../lib/index.js'

const [name = 'node1', port = '8080'] = process.argv.slice(2)
const cluster = await createCluster({ name, group: 'http-example' })
const app = new Hono<HonoSession>()
app.get('/ready', c => {
  const { status, headers, body } = readyAnswer(cluster)
  return c.body(body, status, headers)
})
app.use(honoSession({ cluster, secret: process.env.SESSION_SECRET ?? 'only for this example' }))
app.get('/', c => {
  const session = c.get('session')
  session.visits = (session.visits ?? 0) + 1
  return c.text(`${name}: visit ${session.visits}\n`)
})
app.get('/logout', c => {
  c.get('session').invalidate()
  return c.text('bye\n')
})
const server = serve({ fetch: app.fetch, port: Number(port) }, () => console.log(`${name}: http://localhost:${port}/`))

process.once('SIGINT', () => cluster.drain({ server, graceMs: 0 }).finally(() => process.exit(0)))
// A balancer in front notices within seconds that /ready says no.
process.once('SIGTERM', () => cluster.drain({ server }).finally(() => process.exit(0)))
