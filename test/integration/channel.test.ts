import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import test from 'ava'
import type { Channel } from '../../lib/channel/channel.js'
import type { Interceptor } from '../../lib/channel/interceptor.js'
import { dispatch } from '../../lib/channel/interceptors/dispatch.js'
import { tcpFailureDetector } from '../../lib/channel/interceptors/tcp-failure-detector.js'
import { throughput } from '../../lib/channel/interceptors/throughput.js'
import { ListenError } from '../../lib/errors.js'
import { createNodeRuntime } from '../../lib/runtime/node-runtime.js'
import type { Runtime } from '../../lib/runtime/runtime.js'
import { destroyAll, sees, testChannel, testGroup } from './channel-helpers.js'

test.after.always(destroyAll)

async function trio(): Promise<[Channel, Channel, Channel]> {
  const group = testGroup()
  const channels: [Channel, Channel, Channel] = [
    testChannel(group, 'a'),
    testChannel(group, 'b'),
    testChannel(group, 'c'),
  ]
  const [a, b, c] = channels
  await Promise.all(channels.map(channel => channel.start()))
  await Promise.all([sees(a, 'b', 'c'), sees(b, 'a', 'c'), sees(c, 'a', 'b')])
  return channels
}

test('three members find each other by multicast, agree on the view, and see a leave at once', async t => {
  const [a, b, c] = await trio()
  t.is(a.viewHash(), b.viewHash())
  t.is(b.viewHash(), c.viewHash())
  const gone = once(a, 'memberDisappeared')
  await c.stop()
  t.like((await gone)[0], { name: 'c' })
  t.is((await gone)[1], 'left')
  await Promise.all([sees(a, 'b'), sees(b, 'a')])
  await Promise.all([a.stop(), b.stop()])
})

test('values arrive with every acknowledgement mode, and the receipt says what happened', async t => {
  const [a, b, c] = await trio()
  for (const ack of ['none', 'received', 'applied'] as const) {
    const value = { ack, at: new Date(7), big: 12n, map: new Map([['k', new Set([1])]]), bytes: Uint8Array.of(1, 2) }
    const heard = [once(b, 'message'), once(c, 'message')]
    const receipt = await a.send(value, { ack })
    t.is(receipt.outcome, 'met')
    t.is(receipt.wanted, ack === 'none' ? 0 : 2)
    for (const [got, from] of await Promise.all(heard)) {
      t.deepEqual({ ...got, bytes: [...got.bytes] }, { ...value, bytes: [1, 2] })
      t.is(from.name, 'a')
    }
  }
  const one = once(b, 'message')
  t.like(await a.send('only b', { ack: 'applied', to: [b.local.id] }), { outcome: 'met', wanted: 1, applied: 1 })
  t.is((await one)[0], 'only b')
  await Promise.all([a.stop(), b.stop(), c.stop()])
})

test('order is kept, and large messages on their own connection arrive whole', async t => {
  const [a, b, c] = await trio()
  const numbers: unknown[] = []
  b.on('message', value => numbers.push(value))
  const heard = once(c, 'message')
  const sends = Array.from({ length: 500 }, (_, n) => a.send(n, { ack: 'applied', to: [b.local.id] }))
  const receipts = await Promise.all(sends)
  t.true(receipts.every(({ outcome }) => outcome === 'met'))
  t.deepEqual(
    numbers,
    Array.from({ length: 500 }, (_, n) => n),
  )
  const large = new Uint8Array(700_000).fill(7)
  t.is((await a.send(large, { ack: 'applied', to: [c.local.id], bulk: true })).outcome, 'met')
  t.is((await heard)[0].length, large.length)
  await Promise.all([a.stop(), b.stop(), c.stop()])
})

test('a member that ends without a word is noticed at once, and what was asked of it is short', async t => {
  const [a, b, c] = await trio()
  const gone = [once(a, 'memberDisappeared'), once(b, 'memberDisappeared')]
  const startedMs = performance.now()
  c.destroy()
  for (const [member, reason] of await Promise.all(gone)) {
    t.is(member.name, 'c')
    t.is(reason, 'dead')
  }
  t.true(performance.now() - startedMs < 1_000)
  t.like(await a.send(1, { ack: 'received', copies: 2 }), { outcome: 'short', wanted: 2 })
  await Promise.all([a.stop(), b.stop()])
})

test('a restart on the same port under the same name leaves no ghost', async t => {
  const group = testGroup()
  const a = testChannel(group, 'a')
  const old = testChannel(group, 'b')
  await Promise.all([a.start(), old.start()])
  await Promise.all([sees(a, 'b'), sees(old, 'a')])
  old.destroy()
  const fresh = testChannel(group, 'b', { port: old.local.port })
  await fresh.start()
  await sees(fresh, 'a')
  if (a.members[0]?.id !== fresh.local.id) {
    await new Promise<void>(resolve => {
      a.on('memberAdded', member => {
        if (member.id === fresh.local.id) resolve()
      })
    })
  }
  t.deepEqual(
    a.members.map(({ id }) => id),
    [fresh.local.id],
  )
  t.is(fresh.local.port, old.local.port)
  await Promise.all([a.stop(), fresh.stop()])
})

test('static seeds suffice, and heartbeats then carry advertisements over the connections', async t => {
  const group = testGroup()
  const a = testChannel(group, 'a', { membership: { service: 'static' } })
  await a.start()
  const seeds = { service: 'static', members: [`127.0.0.1:${a.local.port}`] } as const
  const b = testChannel(group, 'b', { membership: seeds })
  const c = testChannel(group, 'c', { membership: seeds })
  const heard = new Promise<string>(resolve => {
    b.topic('t', {
      receive: () => 'applied',
      advertised: (bytes, from) => {
        if (from.name === 'c') resolve(Buffer.from(bytes).toString())
      },
    })
  })
  c.topic('t', { receive: () => 'applied', advertise: () => Buffer.from('mine') })
  await Promise.all([b.start(), c.start()])
  await Promise.all([sees(a, 'b', 'c'), sees(b, 'a', 'c'), sees(c, 'a', 'b')])
  t.is(await heard, 'mine')
  await Promise.all([a.stop(), b.stop(), c.stop()])
})

test('a member that hears no datagrams stays, and gets its heartbeats over the connection', async t => {
  const group = testGroup()
  const runtime = createNodeRuntime()
  const { network } = runtime
  const deaf: Runtime = {
    ...runtime,
    network: {
      addresses: () => network.addresses(),
      listen: (endpoint, accept) => network.listen(endpoint, accept),
      connect: (endpoint, timeoutMs, handlers) => network.connect(endpoint, timeoutMs, handlers),
      bindDatagram: (options, handlers) => network.bindDatagram(options, { ...handlers, message() {} }),
    },
  }
  const membership = { dropTime: 600 }
  const a = testChannel(group, 'a', { runtime: deaf, membership })
  const b = testChannel(group, 'b', { membership })
  const changes: string[] = []
  a.on('memberDisappeared', member => changes.push(member.name))
  b.on('memberDisappeared', member => changes.push(member.name))
  let beats = 0
  const enough = new Promise<void>(resolve => {
    a.topic('t', {
      receive: () => 'applied',
      advertised: () => {
        if (++beats === 8) resolve()
      },
    })
  })
  b.topic('t', { receive: () => 'applied', advertise: () => Uint8Array.of(1) })
  await Promise.all([a.start(), b.start()])
  await Promise.all([sees(a, 'b'), sees(b, 'a')])
  await enough
  t.is(a.stats()['falseSuspicions'], 0)
  t.deepEqual(changes, [])
  t.is((a.stats()['membership'] as { heard: number }).heard, 0)
  await Promise.all([a.stop(), b.stop()])
})

test('another group is refused and counted, by datagram and by connection', async t => {
  const group = testGroup()
  const other = { ...group, group: `${group.group}-other` }
  const a = testChannel(group, 'a')
  await a.start()
  const stranger = testChannel(other, 's', { membership: { members: [`127.0.0.1:${a.local.port}`] } })
  await stranger.start()
  const socket = createSocket('udp4')
  socket.send('no heartbeat at all', group.multicastPort, '228.0.0.4')
  const b = testChannel(group, 'b')
  await b.start()
  await sees(a, 'b')
  t.deepEqual(stranger.members, [])
  t.deepEqual(a.stats()['hellosRefused'], { group: 1 })
  t.true((a.stats()['membership'] as { foreign: number }).foreign > 0)
  socket.close()
  await Promise.all([a.stop(), b.stop(), stranger.stop()])
})

test('requests are answered by first, majority and all; errors travel as text', async t => {
  const [a, b, c] = await trio()
  b.rpc('sum', numbers => (numbers as number[]).reduce((x, y) => x + y, 0))
  c.rpc('sum', async () => {
    throw new Error('cannot count')
  })
  const rpc = a.rpc('sum')
  const all = await rpc.request([1, 2, 3])
  t.false(all.complete)
  const said = all.replies.map(({ member, value, error }) => [member.name, value ?? error])
  t.deepEqual(Object.fromEntries(said), { b: 6, c: 'cannot count' })
  const first = await rpc.request([4], { mode: 'first' })
  t.true(first.complete)
  const abort = new AbortController()
  const waiting = rpc.request([1], { signal: abort.signal })
  abort.abort(new Error('enough'))
  await t.throwsAsync(waiting, { message: 'enough' })
  await Promise.all([a.stop(), b.stop(), c.stop()])
})

test('interceptors see every message both ways and may drop it', async t => {
  const group = testGroup()
  let dropped = 0
  const drop: Interceptor = {
    name: 'drop',
    send(message, next) {
      if (message.topic === 't' && dropped === 0) dropped++
      else next(message)
    },
  }
  const meter = throughput()
  const a = testChannel(group, 'a', { interceptors: [dispatch(), meter, drop, tcpFailureDetector()] })
  const b = testChannel(group, 'b')
  const got: string[] = []
  b.topic('t', {
    receive: payload => {
      got.push(Buffer.from(payload).toString())
      return 'deferred'
    },
  })
  const topic = a.topic('t', { receive: () => 'applied' })
  await Promise.all([a.start(), b.start()])
  await Promise.all([sees(a, 'b'), sees(b, 'a')])
  const receipt = (text: string, timeoutMs: number): Promise<unknown> =>
    new Promise(resolve => topic.send(Buffer.from(text), { ack: 'applied', timeoutMs }, resolve))
  t.like(await receipt('one', 50), { outcome: 'unknown', faulty: [{ reason: 'timeout' }] })
  t.like(await receipt('two', 2_000), { outcome: 'short', received: 1, applied: 0, faulty: [{ reason: 'deferred' }] })
  t.deepEqual(got, ['two'])
  t.is(meter.snapshot().out.messages, 2)
  await Promise.all([a.stop(), b.stop()])
})

test('no free port and a missing interface are told as ListenError', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const group = testGroup()
  const a = testChannel(group, 'a', { port })
  const lost = testChannel(group, 'lost', { membership: { bind: '203.0.113.7' } })
  await t.throwsAsync(lost.start(), { instanceOf: ListenError })
  await a.start()
  t.not(a.local.port, port)
  await a.stop()
  server.close()
})
