/** Two members of one group in one process: what one writes, the other reads. Run: node dist/examples/two-members.js */
import { createCluster } from '../lib/index.js'

const group = `example-${process.pid}`
const membership = { service: 'multicast', bind: '127.0.0.1', frequency: 100, dropTime: 1_000 } as const
const receiver = { address: '127.0.0.1', port: 4_000, autoBind: 100 }

await using left = await createCluster({ name: 'left', group, membership, receiver })
left.on('memberAdded', member => console.log(`left sees ${member.name}`))
await using right = await createCluster({ name: 'right', group, membership, receiver })

const session = left.sessions.create({ attributes: [['cart', ['apples']]] })
const receipt = await left.sessions.commit(session.set('user', 'Ada'), { ack: 'applied' })
console.log(`written: ${receipt?.outcome}, merged by ${receipt?.applied} other member(s)`)
console.log('right reads', right.sessions.find(session.id)?.get('user'))
