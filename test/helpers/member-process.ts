/** A member in a process of its own: tells its parent when it has joined, and its digest when asked. */
import { createCluster } from '../../lib/index.js'

const [name, group, port] = process.argv.slice(2)
const cluster = await createCluster({
  name: name ?? 'child',
  group: group ?? 'test',
  membership: { bind: '127.0.0.1', port: Number(port) },
  receiver: { address: '127.0.0.1', port: 0 },
})
process.on('message', () => process.send?.({ records: digestOf(cluster.replication.replica.bucketHashes()) }))
process.on('disconnect', () => process.exit())
process.send?.({ joined: cluster.channel.local.id })

/** Text that is equal for equal records. */
function digestOf(hashes: unknown): string {
  return JSON.stringify(hashes)
}
