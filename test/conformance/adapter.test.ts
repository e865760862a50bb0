import test from 'ava'
import { oneManager } from '../helpers/session-managers.js'
import { adapterSuite, Browser } from './adapter-suite.js'
import { adapters } from './adapters.js'

for (const adapter of adapters) adapterSuite(test, adapter)

test('one session is read and written by all frameworks in turn', async t => {
  const cluster = oneManager()
  const secret = 'shared'
  let cookies: Iterable<readonly [string, string]> = []
  for (const [turn, adapter] of adapters.entries()) {
    const port = await adapter.serve(t, { cluster, secret }, ({ session }) => {
      session.visitors = [...(session.visitors ?? []), adapter.name]
      session.seen ??= new Map()
      session.seen.set(adapter.name, new Date(turn))
      return ''
    })
    const browser = new Browser(port, cookies)
    t.is((await browser.get('/')).status, 200)
    cookies = browser.cookies
  }
  t.is(cluster.sessions.size, 1)
  const [session] = cluster.sessions
  const names = adapters.map(({ name }) => name)
  t.deepEqual(session?.get('visitors'), names)
  t.deepEqual(session?.get('seen'), new Map(names.map((name, turn) => [name, new Date(turn)])))
})
