/**
 * A Fastify server with replicated sessions. Start it in two terminals with different names and ports:
 *   node dist/examples/fastify.js node1 8080
 *   node dist/examples/fastify.js node2 8081
 * then: curl -c jar -b jar localhost:8080 and localhost:8081 in turn; the counter goes on.
 */
import fastify from 'fastify'
import { fastifySession, type RequestSession } from '../lib/http/fastify.js'
import { readyAnswer } from '../lib/http/index.js'
import { createCluster } from '../lib/index.js'

declare module 'fastify' {
  interface FastifyRequest {
    session: RequestSession
  }
}

const [name = 'node1', port = '8080'] = process.argv.slice(2)
const cluster = await createCluster({ name, group: 'http-example' })
const app = fastify()
await app.register(fastifySession, { cluster, secret: process.env.SESSION_SECRET ?? 'only for this example' })
app.get('/ready', (_request, reply) => {
  const { status, headers, body } = readyAnswer(cluster)
  return reply.code(status).headers(headers).send(body)
})
app.get('/', async request => {
  request.session.visits = (request.session.visits ?? 0) + 1
  return `${name}: visit ${request.session.visits}\n`
})
app.get('/logout', async request => {
  request.session.invalidate()
  return 'bye\n'
})
console.log(`${name}: ${await app.listen({ port: Number(port) })}/`)

process.once('SIGINT', () => cluster.drain({ server: app.server, graceMs: 0 }).finally(() => app.close()))
// A balancer in front notices within seconds that /ready says no.
process.once('SIGTERM', () => cluster.drain({ server: app.server }).finally(() => app.close()))
