import { createInterface } from 'node:readline'
import { createCluster } from '../../lib/index.js'

/** One line of the driver. */
export interface NodeCommand {
  readonly op: 'create' | 'write' | 'invalidate' | 'dump' | 'leave'
  readonly id?: string
  readonly values?: Record<string, string>
}

/** One line back. `sessions`: every session with its attributes, both in order of their names. */
export interface NodeReply {
  readonly op: NodeCommand['op'] | 'ready'
  readonly members: readonly string[]
  readonly sessions?: Record<string, Record<string, unknown>>
}

/** A member that does what the lines on its input say. */
async function main(name: string, address: string, group: string): Promise<void> {
  const cluster = await createCluster({
    name,
    group,
    membership: { service: 'multicast', bind: address, frequency: 500, dropTime: 3_000 },
    receiver: { address },
    sessions: { ack: 'none' },
  })
  const { sessions } = cluster
  const find = (id = ''): NonNullable<ReturnType<typeof sessions.find>> => {
    const session = sessions.find(id)
    if (!session) throw new Error(`${name} has no session ${id}`)
    return session
  }
  const reply = (op: NodeReply['op'], more: Partial<NodeReply> = {}): void => {
    const members = cluster.members.map(member => member.name)
    process.stdout.write(`${JSON.stringify({ op, members, ...more } satisfies NodeReply)}\n`)
  }
  reply('ready')
  for await (const line of createInterface({ input: process.stdin })) {
    const { op, id, values = {} } = JSON.parse(line) as NodeCommand
    if (op === 'create') sessions.create({ ...(id !== undefined && { id }), attributes: Object.entries(values) })
    else if (op === 'write') {
      const session = find(id)
      for (const [attribute, value] of Object.entries(values)) session.set(attribute, value)
      sessions.commit(session)
    } else if (op === 'invalidate') find(id).invalidate()
    else if (op === 'leave') break
    const all = [...sessions].map(
      session => [session.id, Object.fromEntries([...session.entries()].sort(byName))] as const,
    )
    reply(op, { sessions: Object.fromEntries(all.sort(byName)) })
  }
  await cluster.leave()
}

function byName(a: readonly [string, unknown], b: readonly [string, unknown]): number {
  return a[0] < b[0] ? -1 : 1
}

const [name = '', address = '', group = ''] = process.argv.slice(2)
await main(name, address, group)
process.exit(0)
