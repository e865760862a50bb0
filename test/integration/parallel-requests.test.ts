import test, { type ExecutionContext } from 'ava'
import type { Cluster } from '../../lib/index.js'
import { Browser, secret } from '../conformance/adapter-suite.js'
import { adapters } from '../conformance/adapters.js'
import { type Bag, libraries } from '../conformance/session-libraries.js'
import { loopbackGroup, until } from '../helpers/loopback-cluster.js'

/** Serves a session on one member: with a library above our store, or with an adapter of ours. */
type Serve = (t: ExecutionContext, cluster: Cluster, handler: Handler) => Promise<number>
type Handler = (url: string, bag: Bag) => Promise<'end' | undefined>

const stacks: readonly { readonly name: string; readonly serve: Serve }[] = [
  ...libraries,
  ...adapters.map(({ name, serve }) => ({
    name,
    serve: ((t, cluster, handler) =>
      serve(t, { cluster, secret }, async visit => {
        if ((await handler(visit.url, visit.session)) === 'end') visit.end()
        return ''
      })) satisfies Serve,
  })),
]

const WRITERS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']

async function group(t: ExecutionContext, size: number): Promise<Cluster[]> {
  const start = loopbackGroup(t)
  const members: Cluster[] = []
  for (let index = 1; index <= size; index++) members.push(await start(`node${index}`))
  await until(() => members.every(member => member.members.length === size - 1))
  return members
}

function attributes(member: Cluster): string {
  const [session] = member.sessions
  return (session?.names() ?? []).sort().join()
}

for (const size of [1, 3]) {
  test(`${size} of a group: eight parallel writers keep eight of eight, and a logout stays one`, async t => {
    const members = await group(t, size)
    for (const { name, serve } of stacks) {
      let inside = 0
      let open = (): void => {}
      let opened = new Promise<void>(resolve => {
        open = resolve
      })
      const handler: Handler = async (url, bag) => {
        if (url === '/logout') return 'end'
        if (url === '/') bag.begun = true
        else {
          void bag.begun
          inside++
          await opened
          bag[url.slice(1)] = { by: url }
        }
        return undefined
      }
      const ports: number[] = []
      for (const member of members) ports.push(await serve(t, member, handler))
      const browser = new Browser(ports[0] as number)
      await browser.get('/')
      await until(() => members.every(member => member.sessions.size === 1))
      const ask = (path: string, index: number): Promise<unknown> =>
        new Browser(ports[index % size] as number, browser.cookies).get(path)

      const answers = WRITERS.map((writer, index) => ask(`/${writer}`, index))
      await until(() => inside === WRITERS.length)
      open()
      await Promise.all(answers)
      const all = ['begun', ...WRITERS].sort().join()
      await until(() => members.every(member => attributes(member) === all))
      t.deepEqual(
        members.map(attributes),
        members.map(() => all),
        name,
      )

      opened = new Promise<void>(resolve => {
        open = resolve
      })
      const slow = [0, 1, 2].map(index => ask('/late', index))
      await until(() => inside === WRITERS.length + slow.length)
      await ask('/logout', 1)
      await until(() => members.every(member => member.sessions.size === 0))
      open()
      await Promise.all(slow)
      // What the slow requests sent, if anything, arrives before these.
      const after = members.map(member => member.sessions.create())
      await until(() => members.every(({ sessions }) => after.every(({ id }) => sessions.find(id) !== undefined)))
      t.deepEqual(
        members.map(member => member.sessions.size),
        members.map(() => size),
        name,
      )
      for (const session of after) session.invalidate()
      await until(() => members.every(member => member.sessions.size === 0))
    }
  })
}
