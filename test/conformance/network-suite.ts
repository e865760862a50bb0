import test from 'ava'
import type { Listener, Runtime, Stream, StreamEnd } from '../../lib/runtime/runtime.js'

/** Two hosts of one network, and a way to let it work. */
export interface NetworkUnderTest {
  readonly runtimes: readonly [Runtime, Runtime]
  /** The address of each. */
  readonly hosts: readonly [string, string]
  /** Lets some milliseconds of the network's time pass: real ones, or simulated ones. */
  settle(): Promise<void>
  /** Multicast on these hosts: group and interface of each; undefined where there is none. */
  readonly multicast?: { readonly address: string; readonly bind: readonly [string, string] }
  dispose?(): void
}

const TURNS = 2_000

/** What every implementation of Network and Clock promises, run over the one that `make` gives. */
export function networkConformance(name: string, make: () => NetworkUnderTest | Promise<NetworkUnderTest>): void {
  const check = (title: string, run: (net: Bench, t: import('ava').ExecutionContext) => Promise<void>): void => {
    test(`${name}: ${title}`, async t => {
      const under = await make()
      const bench = new Bench(under)
      try {
        await run(bench, t)
      } finally {
        bench.close()
        under.dispose?.()
      }
    })
  }

  check('bytes arrive in order on both sides', async (net, t) => {
    const { client, server } = await net.pair()
    for (let n = 0; n < 100; n += 1) client.stream.write(Uint8Array.of(n))
    server.stream.write(Uint8Array.of(7, 8))
    await net.until(() => server.bytes.length === 100 && client.bytes.length === 2)
    t.deepEqual(
      server.bytes,
      Array.from({ length: 100 }, (_, n) => n),
    )
    t.deepEqual(client.bytes, [7, 8])
  })

  check('bytes written before the stream is open are not lost', async (net, t) => {
    const { server } = await net.pair(stream => stream.write(Uint8Array.of(1, 2, 3)))
    await net.until(() => server.bytes.length === 3)
    t.deepEqual(server.bytes, [1, 2, 3])
  })

  check('opened is called once and never for accepted streams', async (net, t) => {
    const { client, server } = await net.pair()
    await net.until(() => client.opened > 0)
    t.is(client.opened, 1)
    t.is(server.opened, 0)
  })

  check('nobody listening: closed with refused, never within connect', async (net, t) => {
    const listener = await net.wait(
      net.b.network.listen({ host: net.hostB, port: 0 }, () => ({ data() {}, closed() {} })),
    )
    const { endpoint } = listener
    listener.close()
    await net.turns(2)
    const peer = new Peer()
    net.a.network.connect(endpoint, 5_000, { data() {}, closed: end => peer.closed(end) })
    t.deepEqual(peer.ends, [])
    await net.until(() => peer.ends.length > 0)
    t.deepEqual(peer.ends, ['refused'])
  })

  check('end sends what is buffered; the other side is told end', async (net, t) => {
    const { client, server } = await net.pair()
    client.stream.write(new Uint8Array(100_000))
    client.stream.end()
    await net.until(() => server.ends.length > 0 && client.ends.length > 0)
    t.is(server.bytes.length, 100_000)
    t.deepEqual(server.ends, ['end'])
  })

  check('destroy tells local here and an end there, each once', async (net, t) => {
    const { client, server } = await net.pair()
    client.stream.destroy()
    client.stream.destroy()
    await net.until(() => server.ends.length > 0 && client.ends.length > 0)
    await net.turns(3)
    t.deepEqual(client.ends, ['local'])
    t.is(server.ends.length, 1)
    t.true(server.ends[0] === 'end' || server.ends[0] === 'reset')
  })

  check('a paused reader fills the writer, and resuming drains it', async (net, t) => {
    const { client, server } = await net.pair()
    server.stream.pause()
    let written = 0
    let room = true
    for (let n = 0; n < 4_000 && room; n += 1) {
      for (let k = 0; k < 16 && room; k += 1) {
        room = client.stream.write(new Uint8Array(65_536))
        written += 65_536
      }
      await net.turns(1)
      if (!room && client.drains > 0) {
        client.drains = 0
        room = true
      }
    }
    t.false(room)
    t.true(client.stream.bufferedBytes > 0)
    server.stream.resume()
    await net.until(() => server.count === written && client.drains > 0)
    t.is(client.stream.bufferedBytes, 0)
  })

  check('a taken port is refused with EADDRINUSE, a closed one is free again', async (net, t) => {
    const first = await net.wait(net.a.network.listen({ host: net.hostA, port: 0 }, () => ({ data() {}, closed() {} })))
    t.true(first.endpoint.port > 0)
    const error = await net.wait(
      net.a.network
        .listen(first.endpoint, () => ({ data() {}, closed() {} }))
        .then(
          () => undefined,
          (reason: { code?: string }) => reason,
        ),
    )
    t.is(error?.code, 'EADDRINUSE')
    first.close()
    await net.turns(2)
    const again = await net.wait(net.a.network.listen(first.endpoint, () => ({ data() {}, closed() {} })))
    t.is(again.endpoint.port, first.endpoint.port)
    again.close()
  })

  check('accepted streams outlive their listener', async (net, t) => {
    const { client, server, listener } = await net.pair()
    listener.close()
    await net.turns(2)
    client.stream.write(Uint8Array.of(9))
    await net.until(() => server.bytes.length === 1)
    t.deepEqual(server.ends, [])
  })

  check('datagrams reach the socket they are sent to', async (net, t) => {
    const port = 20_000 + (net.a.random.uint32() % 20_000)
    const got: number[][] = []
    const handlers = { message: (bytes: Uint8Array) => void got.push([...bytes]), failed: () => t.fail() }
    const receiver = await net.wait(net.b.network.bindDatagram({ port }, handlers))
    const sender = await net.wait(net.a.network.bindDatagram({ port: port + 1 }, handlers))
    await net.until(() => {
      sender.send(Uint8Array.of(4, 2), { host: net.hostB, port })
      return got.length > 0
    })
    t.deepEqual(got[0], [4, 2])
    receiver.close()
    sender.close()
    sender.send(Uint8Array.of(1), { host: net.hostB, port })
  })

  check('multicast reaches every member of the group, the sender too', async (net, t) => {
    const { multicast } = net.under
    if (multicast === undefined) return void t.pass('no multicast on this network')
    const port = 40_000 + (net.a.random.uint32() % 20_000)
    const heard = [0, 0]
    const bind = (runtime: Runtime, index: 0 | 1) =>
      runtime.network.bindDatagram(
        { port, multicast: { address: multicast.address, bind: multicast.bind[index], ttl: 1 } },
        { message: () => void (heard[index] = (heard[index] ?? 0) + 1), failed: () => t.fail() },
      )
    const a = await net.wait(bind(net.a, 0))
    const b = await net.wait(bind(net.b, 1))
    await net.until(() => {
      a.send(Uint8Array.of(1), { host: multicast.address, port })
      return heard.every(count => count > 0)
    })
    t.true(heard.every(count => count > 0))
    a.close()
    b.close()
  })

  check('a multicast interface that does not exist is refused', async (net, t) => {
    const options = { port: 0, multicast: { address: '228.0.0.4', bind: '203.0.113.77' } }
    const bound = net.a.network.bindDatagram(options, { message() {}, failed() {} })
    const error = await net.wait(
      bound.then(
        () => undefined,
        (reason: Error) => reason,
      ),
    )
    t.true(error instanceof Error)
  })

  check('the clock: timers in order, cancelled ones never, soon before timers', async (net, t) => {
    const { clock } = net.a
    const ran: string[] = []
    const start = clock.monotonic()
    clock.setTimer(20, () => void ran.push('late'))
    clock.setTimer(2, () => void ran.push('early'))
    const cancelled = clock.setTimer(3, () => void ran.push('cancelled'))
    cancelled.cancel()
    cancelled.cancel()
    clock.soon(() => void ran.push('soon'))
    t.deepEqual(ran, [])
    await net.until(() => ran.includes('late'))
    t.deepEqual(ran, ['soon', 'early', 'late'])
    // Host timers are rounded to whole milliseconds.
    t.true((clock.recent?.() ?? 0) >= start + 19, 'before a timer runs there is a look')
    const end = clock.monotonic()
    t.true(end - start >= 19)
    t.is(clock.recent?.(), end)
    t.true(clock.wall() > 0)
  })
}

class Peer {
  stream!: Stream
  readonly bytes: number[] = []
  readonly ends: StreamEnd[] = []
  count = 0
  opened = 0
  drains = 0

  data(bytes: Uint8Array): void {
    this.count += bytes.length
    if (this.bytes.length < 200_000) for (const byte of bytes) this.bytes.push(byte)
  }

  drain(): void {
    this.drains += 1
  }

  closed(end: StreamEnd): void {
    this.ends.push(end)
  }
}

class Bench {
  readonly under: NetworkUnderTest
  readonly #listeners: Listener[] = []

  constructor(under: NetworkUnderTest) {
    this.under = under
  }

  /** A listening socket keeps the process alive. */
  close(): void {
    for (const listener of this.#listeners) listener.close()
  }

  get a(): Runtime {
    return this.under.runtimes[0]
  }

  get b(): Runtime {
    return this.under.runtimes[1]
  }

  get hostA(): string {
    return this.under.hosts[0]
  }

  get hostB(): string {
    return this.under.hosts[1]
  }

  async turns(count: number): Promise<void> {
    for (let n = 0; n < count; n += 1) await this.under.settle()
  }

  async until(condition: () => boolean): Promise<void> {
    for (let n = 0; n < TURNS; n += 1) {
      if (condition()) return
      await this.under.settle()
    }
    throw new Error('The network did not get there')
  }

  async wait<T>(promise: Promise<T>): Promise<T> {
    let over = false
    const done = () => {
      over = true
    }
    promise.then(done, done)
    await this.until(() => over)
    return promise
  }

  async pair(early?: (stream: Stream) => void): Promise<{ client: Peer; server: Peer; listener: Listener }> {
    const accepted: Peer[] = []
    const listener = await this.wait(
      this.b.network.listen({ host: this.hostB, port: 0 }, stream => {
        const peer = new Peer()
        peer.stream = stream
        accepted.push(peer)
        return {
          opened: () => void (peer.opened += 1),
          data: bytes => peer.data(bytes),
          drain: () => peer.drain(),
          closed: end => peer.closed(end),
        }
      }),
    )
    this.#listeners.push(listener)
    const client = new Peer()
    client.stream = this.a.network.connect(listener.endpoint, 5_000, {
      opened: () => void (client.opened += 1),
      data: bytes => client.data(bytes),
      drain: () => client.drain(),
      closed: end => client.closed(end),
    })
    early?.(client.stream)
    await this.until(() => accepted.length > 0 && client.opened > 0)
    return { client, server: accepted[0] as Peer, listener }
  }
}
