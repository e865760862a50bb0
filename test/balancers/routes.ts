import { CounterClient, disconnect } from './counter-client.js'
import type { CounterNodes } from './counter-nodes.js'

const CLIENTS = 30
const VISITS = 5

/**
 * Clients whose session cookie carries the route: each stays with its node, and those of a node that is killed are bound
 * to another by the first answer from there.
 *
 * @returns How many moved.
 */
export async function keepsRoutes(port: number, nodes: CounterNodes): Promise<number> {
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const client = new CounterClient()
      return { client, node: (await client.ask(port, 'POST')).node }
    }),
  )
  const stay = async (visitors: typeof clients): Promise<void> => {
    for (const { client, node } of visitors) {
      for (let visit = 0; visit < VISITS; visit++) {
        const reply = await client.ask(port, 'GET')
        if (reply.node !== node) throw new Error(`A client of ${node} was sent to ${reply.node}`)
        if (reply.n !== 1) throw new Error(`${reply.node} shows ${reply.n} in place of 1`)
      }
    }
  }
  await stay(clients)
  const victim = clients[0]?.node as string
  await nodes.kill(victim)
  const moved = clients.filter(({ node }) => node === victim)
  for (const one of moved) one.node = (await one.client.ask(port, 'GET')).node
  await stay(clients)
  disconnect()
  return moved.length
}
