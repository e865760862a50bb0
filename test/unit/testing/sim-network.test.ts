import test from 'ava'
import type { Stream, StreamEnd, StreamHandlers } from '../../../lib/runtime/runtime.js'
import { SimNetwork } from '../../../lib/testing/sim-network.js'
import { createSimRuntime, type SimRuntime } from '../../../lib/testing/sim-runtime.js'
import { Simulator } from '../../../lib/testing/simulator.js'

class End implements StreamHandlers {
  stream: Stream | undefined
  bytes: number[] = []
  isOpen = false
  drained = 0
  over: StreamEnd | undefined

  opened(): void {
    this.isOpen = true
  }

  data(bytes: Uint8Array): void {
    this.bytes.push(...bytes)
  }

  drain(): void {
    this.drained++
  }

  closed(end: StreamEnd): void {
    this.over = end
  }
}

interface Pair {
  readonly sim: Simulator
  readonly network: SimNetwork
  readonly a: SimRuntime
  readonly b: SimRuntime
  readonly client: End
  readonly server: End
}

async function pair(): Promise<Pair> {
  const sim = new Simulator({ seed: 3 })
  const network = new SimNetwork(sim, {
    quality: { minDelayMs: 1, maxDelayMs: 9 },
    limits: { splitting: 0.5, stallTimeoutMs: 5_000 },
  })
  const a = createSimRuntime(sim, network, network.addHost('a'))
  const b = createSimRuntime(sim, network, network.addHost('b'))
  const client = new End()
  const server = new End()
  await b.network.listen({ host: '10.0.0.2', port: 4_000 }, stream => {
    server.stream = stream
    return server
  })
  client.stream = a.network.connect({ host: '10.0.0.2', port: 4_000 }, 3_000, client)
  await sim.run(50)
  return { sim, network, a, b, client, server }
}

function numbers(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => i % 251)
}

test('bytes arrive whole and in order however they are cut', async t => {
  const { sim, client, server } = await pair()
  t.true(client.isOpen)
  const sent = numbers(10_000)
  for (let i = 0; i < sent.length; i += 97) {
    client.stream?.write(sent.subarray(i, i + 97))
    await sim.run(1)
  }
  await sim.run(100)
  t.deepEqual(Uint8Array.from(server.bytes), sent)
})

test('a reader that pauses holds the writer back until it resumes', async t => {
  const { sim, client, server } = await pair()
  server.stream?.pause()
  let accepted = 0
  while (client.stream?.write(numbers(10_000)) === true) accepted++
  await sim.run(1_000)
  t.true(accepted > 5 && accepted < 50)
  t.true((client.stream?.bufferedBytes ?? 0) > 0)
  t.is(client.drained, 0)
  server.stream?.resume()
  await sim.run(1_000)
  t.is(client.drained, 1)
  t.is(client.stream?.bufferedBytes, 0)
  t.is(server.bytes.length, (accepted + 1) * 10_000)
})

test('bytes stall at a cut and go on when it heals, or the stream times out', async t => {
  const { sim, network, a, b, client, server } = await pair()
  network.cut([a.process.host], [b.process.host])
  client.stream?.write(numbers(100))
  await sim.run(1_000)
  t.is(server.bytes.length, 0)
  network.restore([a.process.host], [b.process.host])
  await sim.run(50)
  t.deepEqual(Uint8Array.from(server.bytes), numbers(100))
  network.cut([a.process.host], [b.process.host])
  client.stream?.write(numbers(1))
  await sim.run(6_000)
  t.is(client.over, 'timeout')
  t.is(server.over, undefined)
})

test('what was under way when the link was cut still comes before what was written later', async t => {
  const { sim, network, a, b, client, server } = await pair()
  const sent = numbers(200)
  for (let i = 0; i < sent.length; i++) {
    client.stream?.write(sent.subarray(i, i + 1))
    if (i % 20 === 10) network.cut([a.process.host], [b.process.host])
    if (i % 20 === 19) network.heal()
    await sim.run(1)
  }
  await sim.run(100)
  t.deepEqual(Uint8Array.from(server.bytes), sent)
})

test('ends: end, local, refused, timeout, unreachable, and the end of a killed process', async t => {
  const first = await pair()
  first.client.stream?.write(numbers(5))
  first.client.stream?.end()
  await first.sim.run(100)
  t.deepEqual([first.server.bytes.length, first.server.over, first.client.over], [5, 'end', 'end'])

  const second = await pair()
  second.client.stream?.destroy()
  t.is(second.client.over, undefined)
  await second.sim.run(100)
  t.deepEqual([second.client.over, second.server.over], ['local', 'end'])

  const { sim, network, a, b, client } = await pair()
  const dial = async (host: string, port: number, ms: number): Promise<StreamEnd | undefined> => {
    const end = new End()
    a.network.connect({ host, port }, 2_000, end)
    await sim.run(ms)
    return end.over
  }
  t.is(await dial('10.0.0.2', 4_001, 100), 'refused')
  t.is(await dial('10.9.9.9', 4_000, 100), 'unreachable')
  network.cut([b.process.host], [a.process.host])
  t.is(await dial('10.0.0.2', 4_000, 2_500), 'timeout')
  network.heal()
  b.process.kill()
  await sim.run(100)
  t.true(client.over === 'reset' || client.over === 'end')
  t.is(await dial('10.0.0.2', 4_000, 100), 'refused')
  network.setDark(b.process.host, true)
  t.is(await dial('10.0.0.2', 4_000, 2_500), 'timeout')
})

test('the system of a paused process accepts and buffers; its input and timers come when it goes on', async t => {
  const { sim, a, b, client, server } = await pair()
  let ticks = 0
  b.clock.setTimer(10, () => ticks++)
  const cancelled = b.clock.setTimer(10, () => t.fail())
  b.process.pause()
  client.stream?.write(numbers(10))
  const late = new End()
  a.network.connect({ host: '10.0.0.2', port: 4_000 }, 1_000, late)
  await sim.run(500)
  t.deepEqual([ticks, server.bytes.length, late.isOpen], [0, 0, true])
  cancelled.cancel()
  b.process.resume()
  await sim.run(1)
  t.deepEqual([ticks, server.bytes.length], [1, 10])
})

test('nothing of a killed process runs again, and its port is free', async t => {
  const { sim, network, b } = await pair()
  await t.throwsAsync(
    b.network.listen({ host: '10.0.0.2', port: 4_000 }, () => new End()),
    { code: 'EADDRINUSE' },
  )
  b.clock.setTimer(10, () => t.fail())
  b.clock.soon(() => t.fail())
  b.process.kill()
  await sim.run(100)
  const again = createSimRuntime(sim, network, b.process.host)
  const { endpoint } = await again.network.listen({ host: '10.0.0.2', port: 4_000 }, () => new End())
  t.is(endpoint.port, 4_000)
})

test('datagrams reach every member of the group once, and fewer or more as the link says', async t => {
  const sim = new Simulator({ seed: 5 })
  const network = new SimNetwork(sim)
  const heard: string[] = []
  const sockets = await Promise.all(
    ['a', 'b', 'c'].map(name => {
      const { network: own } = createSimRuntime(sim, network, network.addHost(name))
      return own.bindDatagram(
        { port: 45_564, multicast: { address: name === 'c' ? '228.0.0.5' : '228.0.0.4' } },
        {
          message: (bytes, from) => heard.push(`${name} ${bytes.length} ${from.host}:${from.port}`),
          failed: () => t.fail(),
        },
      )
    }),
  )
  const send = (count: number): void => {
    for (let i = 0; i < count; i++) sockets[0]?.send(numbers(3), { host: '228.0.0.4', port: 45_564 })
  }
  send(1)
  await sim.run(20)
  t.deepEqual(heard.sort(), ['a 3 10.0.0.1:45564', 'b 3 10.0.0.1:45564'])
  network.setQuality({ loss: 1 })
  heard.length = 0
  send(10)
  await sim.run(50)
  t.is(heard.filter(line => line.startsWith('b')).length, 0)
  network.setQuality({ loss: 0, duplication: 1 })
  heard.length = 0
  send(10)
  await sim.run(50)
  t.is(heard.filter(line => line.startsWith('b')).length, 20)
  t.true(network.stats.datagramsLost >= 10)
})

test('a wall clock jumps; the monotonic clock does not', async t => {
  const { sim, a } = await pair()
  const wall = a.clock.wall()
  const monotonic = a.clock.monotonic()
  a.process.host.wallOffsetMs += 3_600_000
  await sim.run(10)
  t.is(a.clock.wall() - wall, 3_600_010)
  t.is(a.clock.monotonic() - monotonic, 10)
})
