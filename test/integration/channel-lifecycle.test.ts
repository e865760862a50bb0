import { createSocket } from 'node:dgram'
import test from 'ava'
import type { Channel } from '../../lib/channel/channel.js'
import { tcpFailureDetector } from '../../lib/channel/interceptors/tcp-failure-detector.js'
import { InvalidStateError, ListenError } from '../../lib/errors.js'
import { createNodeRuntime } from '../../lib/runtime/node-runtime.js'
import type { Network, Runtime } from '../../lib/runtime/runtime.js'
import { encodeDatagram } from '../../lib/wire/datagram.js'
import { destroyAll, sees, testChannel, testGroup } from './channel-helpers.js'

test.after.always(destroyAll)

interface Watched {
  readonly runtime: Runtime
  /** Listeners and datagram sockets that are open. */
  readonly open: Set<string>
  /** Called before and after each of them is opened. */
  step: (what: string) => void
}

/** A runtime that knows what it has opened. */
function watched(): Watched {
  const runtime = createNodeRuntime()
  const { network } = runtime
  const open = new Set<string>()
  async function tracked<T extends { close(): void }>(what: string, opening: () => Promise<T>): Promise<T> {
    made.step(`before ${what}`)
    const opened = await opening()
    open.add(what)
    const close = opened.close.bind(opened)
    opened.close = () => {
      open.delete(what)
      close()
    }
    made.step(`after ${what}`)
    return opened
  }
  const tracking: Network = {
    addresses: () => network.addresses(),
    connect: (endpoint, timeoutMs, handlers) => network.connect(endpoint, timeoutMs, handlers),
    listen: (endpoint, accept) => tracked('listener', () => network.listen(endpoint, accept)),
    bindDatagram: (options, handlers) => tracked('socket', () => network.bindDatagram(options, handlers)),
  }
  const made: Watched = { runtime: { ...runtime, network: tracking }, open, step() {} }
  return made
}

for (const moment of ['before listener', 'after listener', 'before socket', 'after socket']) {
  test(`stop during start, ${moment}: start rejects, nothing stays open`, async t => {
    const world = watched()
    const channel = testChannel(testGroup(), 'a', { runtime: world.runtime })
    let stopped: Promise<void> | undefined
    world.step = what => {
      if (what === moment) stopped = channel.stop()
    }
    await t.throwsAsync(channel.start(), { instanceOf: InvalidStateError })
    t.truthy(stopped)
    await stopped
    t.deepEqual([...world.open], [])
    await channel.stop()
    await t.throwsAsync(channel.start(), { instanceOf: InvalidStateError })
  })
}

test('a start that fails closes what it had opened', async t => {
  const noInterface = watched()
  const lost = testChannel(testGroup(), 'a', {
    runtime: noInterface.runtime,
    membership: { bind: '203.0.113.7' },
  })
  await t.throwsAsync(lost.start(), { instanceOf: ListenError })
  t.deepEqual([...noInterface.open], [])

  const failing = watched()
  const stops: string[] = []
  const broken = testChannel(testGroup(), 'b', {
    runtime: failing.runtime,
    interceptors: [
      {
        name: 'broken',
        start() {
          throw new RangeError('no such thing')
        },
        stop: () => stops.push('broken'),
      },
      tcpFailureDetector(),
    ],
  })
  await t.throwsAsync(broken.start(), { instanceOf: RangeError })
  t.deepEqual([...failing.open], [])
  t.deepEqual(stops, ['broken'])
})

test('a forged datagram that says a member leaves removes nobody, and a real leave is still seen at once', async t => {
  const group = testGroup()
  const a = testChannel(group, 'a')
  const b = testChannel(group, 'b')
  await Promise.all([a.start(), b.start()])
  await Promise.all([sees(a, 'b'), sees(b, 'a')])
  const told: string[] = []
  a.on('memberDisappeared', ({ name }, reason) => told.push(`${name} ${reason}`))
  const before = a.stats()['verifications'] as number
  const forged = encodeDatagram({
    group: group.group,
    member: b.local,
    incarnation: 0,
    count: 1_000_000,
    view: b.viewHash(),
    leaving: true,
    clusterTime: b.clusterTime(),
    advertisements: [],
  })
  const socket = createSocket('udp4')
  await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve))
  socket.setMulticastInterface('127.0.0.1')
  socket.send(forged, group.multicastPort, '228.0.0.4')
  // Waits for the datagram to have been acted upon: each later message is a round trip of its own.
  const deadlineMs = performance.now() + 5_000
  while ((a.stats()['verifications'] as number) === before && performance.now() < deadlineMs) {
    await a.send('still there?', { ack: 'received' })
  }
  t.is(a.stats()['verifications'], before + 1)
  t.is((await a.send('still there', { ack: 'received' })).outcome, 'met')
  await sees(a, 'b')
  t.deepEqual(told, [])
  socket.close()

  const leftMs = performance.now()
  const gone = new Promise<void>(resolve => a.on('memberDisappeared', () => resolve()))
  await Promise.all([b.stop(), gone])
  t.deepEqual(told, ['b left'])
  t.true(performance.now() - leftMs < 1_000)
  await a.stop()
})

test('members that end without a word under load are noticed by all survivors at once', async t => {
  const group = testGroup()
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  const channels = names.map(name => testChannel(group, name))
  await Promise.all(channels.map(channel => channel.start()))
  await Promise.all(channels.map((channel, n) => sees(channel, ...names.filter((_, other) => other !== n))))
  let loaded = true
  const load = channels.slice(0, 3).map(async (channel: Channel) => {
    while (loaded) await channel.send(new Uint8Array(1_000), { ack: 'received' })
  })
  const delaysMs: number[] = []
  for (let count = names.length; count > 3; count--) {
    const victim = channels.pop() as Channel
    const survivors = channels.map(
      channel =>
        new Promise<string>(resolve => {
          channel.once('memberDisappeared', ({ name }, reason) => {
            delaysMs.push(performance.now() - startedMs)
            resolve(`${name} ${reason}`)
          })
        }),
    )
    const startedMs = performance.now()
    victim.destroy()
    const seen = await Promise.all(survivors)
    t.true(seen.every(what => what === `${names[count - 1]} dead`))
  }
  loaded = false
  await Promise.all(load)
  t.log(`noticed after ${delaysMs.map(Math.round).join(', ')} ms`)
  t.true(Math.max(...delaysMs) < 250)
  await Promise.all(channels.map(channel => channel.stop()))
})
