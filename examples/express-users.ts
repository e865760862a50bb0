/**
 * Users of a cluster with express-session: who is logged in where, at most two logins of each, and a logout everywhere.
 * Start it in two terminals:
 *   node dist/examples/express-users.js node1 8080
 *   node dist/examples/express-users.js node2 8081
 * then: curl -c jar -b jar localhost:8080/login/ann, curl -b jar localhost:8081, curl localhost:8081/end-all/ann
 */
import express, { type Request } from 'express'
import session from 'express-session'
import { routeCookie, sessionOf, TribelineStore } from '../lib/http/express.js'
import { createCluster } from '../lib/index.js'

const [name = 'node1', port = '8080'] = process.argv.slice(2)
const secret = process.env.SESSION_SECRET ?? 'only for this example'
const cluster = await createCluster({ name, group: 'express-users', users: { maxSessions: 2 } })
const { users } = cluster
const store = new TribelineStore({ cluster })

/** express-session gives the new id, which is why the cluster's login keeps it. */
async function login(req: Request, user: string): Promise<void> {
  await called(done => req.session.regenerate(done))
  await called(done => req.session.save(done))
  const stored = sessionOf(req)
  if (stored === undefined) throw new Error('The session has ended meanwhile')
  await users.login(stored, user, { keepId: true })
}

function called(run: (done: (error?: unknown) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => run(error => (error ? reject(error) : resolve())))
}

const app = express()
app.use(routeCookie({ cluster, secret }))
app.use(session({ secret, store, resave: false, saveUninitialized: false }))
app.get('/', (req, res) => {
  const user = sessionOf(req)?.principal
  res.send(user === undefined ? `${name}: nobody\n` : `${name}: ${user}, ${users.count(user)} logins\n`)
})
app.get('/login/:user', async (req, res) => {
  await login(req, req.params.user)
  res.send(`${name}: hello ${req.params.user}\n`)
})
app.get('/logout', (req, res, next) => {
  req.session.destroy(error => (error ? next(error) : res.send(`${name}: bye\n`)))
})
app.get('/end-all/:user', async (req, res) => {
  await users.endAll(req.params.user)
  res.send(`${name}: ${req.params.user} is logged out everywhere\n`)
})
const server = app.listen(Number(port), () => console.log(`${name}: http://localhost:${port}/`))

process.once('SIGINT', () => cluster.drain({ server, graceMs: 0 }).finally(() => process.exit(0)))
