import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import type { Duplex } from 'node:stream'
import test from 'ava'
import { sign } from 'cookie-signature'
import { SeenCookie } from '../../../lib/http/cookies/seen-cookie.js'
import { upgradeSession } from '../../../lib/http/index.js'
import type { Session } from '../../../lib/session/session.js'
import { twoManagers } from '../../helpers/session-managers.js'

const secret = 'keep it to yourself'

test('a client that hangs up while its upgrade waits harms nobody, and has no session', async t => {
  const [a, b] = twoManagers()
  const session = a.sessions.create()
  a.store.held = true
  void a.sessions.commit(session.set('n', 1))
  const seen = new SeenCookie('tribeline_seen', [secret], 'tribeline.sid').value([session.writeToken as string])
  const cookie = `tribeline.sid=${encodeURIComponent(`s:${sign(session.id, secret)}`)}; tribeline_seen=${seen}`
  const find = upgradeSession({ cluster: b, secret })
  const server = createServer()
  t.teardown(() => server.close())
  const upgrades: [Duplex, Promise<Session | undefined>][] = []
  server.on('upgrade', (req, socket) => upgrades.push([socket, find(req)]))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const upgrade = async (): Promise<[ReturnType<typeof connect>, ...(typeof upgrades)[0]]> => {
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
    client.write(`GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\nCookie: ${cookie}\r\n\r\n`)
    await once(server, 'upgrade')
    return [client, ...(upgrades.pop() as (typeof upgrades)[0])]
  }
  const [quick, socket, late] = await upgrade()
  const [patient, other, found] = await upgrade()
  t.is(b.store.waiting, 2)
  quick.resetAndDestroy()
  await new Promise(resolve => socket.once('close', resolve))
  a.store.flush()
  t.is(await late, undefined)
  t.is((await found)?.get('n'), 1)
  t.deepEqual([other.listenerCount('error'), other.destroyed], [0, false])
  patient.destroy()
})
