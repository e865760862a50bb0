/** An interceptor that counts the bytes each member sends. Run: node dist/examples/custom-interceptor.js */
import { createCluster, type Interceptor } from '../lib/index.js'

/** Counts payload bytes by the name of their sender, then passes the message on unchanged. */
function byteCounter(bytes: Map<string, number>): Interceptor {
  return {
    name: 'byte-counter',
    receive(message, from, next) {
      bytes.set(from.name, (bytes.get(from.name) ?? 0) + message.payload.length)
      return next(message, from)
    },
  }
}

const group = `example-${process.pid}`
const membership = { service: 'multicast', bind: '127.0.0.1', frequency: 100, dropTime: 1_000 } as const
const receiver = { address: '127.0.0.1', port: 4_000, autoBind: 100 }
const bytes = new Map<string, number>()

await using left = await createCluster({ name: 'left', group, membership, receiver })
await using right = await createCluster({
  name: 'right',
  group,
  membership,
  receiver,
  interceptors: [byteCounter(bytes)],
})

const session = left.sessions.create()
for (let count = 1; count <= 10; count++) await left.sessions.commit(session.set('count', count), { ack: 'applied' })
console.log(`${right.name} received`, Object.fromEntries(bytes))
