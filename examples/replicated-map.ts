/** A map that every member has, without any HTTP. Run: node dist/examples/replicated-map.js */
import { createCluster } from '../lib/index.js'

const group = `example-${process.pid}`
const membership = { service: 'multicast', bind: '127.0.0.1', frequency: 100, dropTime: 1_000 } as const
const receiver = { address: '127.0.0.1', port: 4_000, autoBind: 100 }

await using left = await createCluster({ name: 'left', group, membership, receiver })
await using right = await createCluster({ name: 'right', group, membership, receiver })

const prices = left.map<number>('prices')
const copy = right.map<number>('prices')
await Promise.all([prices.ready, copy.ready])
const receipt = await prices.setAcked('apples', 120, { ack: 'applied' })
console.log(`written: ${receipt.outcome}`)
console.log('right reads', copy.get('apples'))
