/** A member with a web server in a process of its own, which drains at SIGTERM as an application's would. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { clusterSession, readyHandler, type SessionRequest } from '../../lib/http/index.js'
import { createCluster } from '../../lib/index.js'

const [name = 'child', group = 'test', port, secret = 'secret', graceMs = '0'] = process.argv.slice(2)
const cluster = await createCluster({
  name,
  group,
  membership: { bind: '127.0.0.1', port: Number(port) },
  receiver: { address: '127.0.0.1', port: 0 },
})
const ready = readyHandler(cluster)
const handle = clusterSession({ cluster, secret, routeCookie: false })
const server = createServer((req, res) => {
  if (req.url === '/ready') return ready(req, res)
  handle(req, res, () => {
    const { session } = req as SessionRequest
    session.count = (session.count ?? 0) + 1
    res.end(String(session.count))
  })
})
process.once('SIGTERM', async () => {
  const report = await cluster.drain({ server, graceMs: Number(graceMs) })
  process.send?.({ report }, undefined, {}, () => process.disconnect())
})
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
