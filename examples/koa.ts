/**
 * A Koa server with replicated sessions. Start it in two terminals with different names and ports:
 *   node dist/examples/koa.js node1 8080
 *   node dist/examples/koa.js node2 8081
 * then: curl -c jar -b jar localhost:8080 and localhost:8081 in turn; the counter goes on.
 */
import Koa from 'koa'
import { readyAnswer } from '../lib/http/index.js'
import { koaSession, type RequestSession } from '../lib/http/koa.js'
import { createCluster } from '../lib/index.js'

/** What this application keeps in the context. */
interface State extends Koa.DefaultContext {
  session: RequestSession
}

const [name = 'node1', port = '8080'] = process.argv.slice(2)
const cluster = await createCluster({ name, group: 'http-example' })
const app = new Koa<Koa.DefaultState, State>()
app.use(koaSession({ cluster, secret: process.env.SESSION_SECRET ?? 'only for this example' }))
app.use(ctx => {
  if (ctx.path === '/ready') {
    const { status, headers, body } = readyAnswer(cluster)
    ctx.status = status
    ctx.set(headers)
    ctx.body = body
    return
  }
  if (ctx.path === '/logout') {
    ctx.session.invalidate()
    ctx.body = 'bye\n'
    return
  }
  ctx.session.visits = (ctx.session.visits ?? 0) + 1
  ctx.body = `${name}: visit ${ctx.session.visits}\n`
})
const server = app.listen(Number(port), () => console.log(`${name}: http://localhost:${port}/`))

process.once('SIGINT', () => cluster.drain({ server, graceMs: 0 }).finally(() => process.exit(0)))
// A balancer in front notices within seconds that /ready says no.
process.once('SIGTERM', () => cluster.drain({ server }).finally(() => process.exit(0)))
