/** A member with a web server in a process of its own: every POST adds one to the session's counter and tells it. */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { clusterSession, type SessionRequest } from '../../lib/http/index.js'
import { createCluster } from '../../lib/index.js'

const [name = 'child', group = 'test', port, secret = 'secret', membership = '{}'] = process.argv.slice(2)
const cluster = await createCluster({
  name,
  group,
  membership: { bind: '127.0.0.1', port: Number(port), ...(JSON.parse(membership) as object) },
  receiver: { address: '127.0.0.1', port: 0 },
})
const handle = clusterSession({ cluster, secret, routeCookie: false })
const server = createServer((req: IncomingMessage, res) =>
  handle(req, res, () => {
    const { session } = req as SessionRequest
    if (req.method === 'POST') session.count = (session.count ?? 0) + 1
    res.end(String(session.count ?? 0))
  }),
)
process.on('message', () => process.send?.(cluster.stats().replication))
process.on('disconnect', () => process.exit())
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
