import { randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type Server, Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { type Cluster, createChannel, createCluster, ListenError } from '../../lib/index.js'
import type { Member } from '../../lib/membership/member.js'
import { encodeMessage } from '../../lib/replication/codec.js'
import { NO_WRITES } from '../../lib/replication/delta.js'
import { decodeFrame, encodeFrame, PROTOCOL_VERSIONS } from '../../lib/wire/codec.js'
import { encodeDatagram } from '../../lib/wire/datagram.js'
import { FrameDecoder } from '../../lib/wire/frame.js'
import type { Frame, Heartbeat, Hello } from '../../lib/wire/messages.js'
import { encodeValue } from '../../lib/wire/value-codec.js'
import { loopbackGroup, until } from '../helpers/loopback-cluster.js'
import { testGroup } from './channel-helpers.js'

/** What the world may do to a member: ports taken, addresses that are not ours, strangers that speak nonsense. */

interface Figures {
  readonly hellosRefused: Readonly<Record<string, number>>
  readonly dialsFailed: number
  readonly unknownTopic: number
  readonly listenerErrors: number
  readonly membership: { readonly heard: number; readonly foreign: number; readonly garbage: number }
  readonly transport: {
    readonly receiver: { readonly connections: number; readonly badFrames: number; readonly refused: number }
  }
}

const figures = ({ channel }: Cluster): Figures => channel.stats() as unknown as Figures
const silent = { service: 'static' } as const
/** Nobody listens there. */
const CLOSED_PORT = 9

function stranger(name = 'stranger'): Member {
  return { id: randomBytes(16).toString('hex'), name, host: '127.0.0.1', port: CLOSED_PORT }
}

function helloTo({ channel }: Cluster, group: string, more: Partial<Hello> = {}): Hello {
  return {
    kind: 'hello',
    protocolMin: PROTOCOL_VERSIONS.min,
    protocolMax: PROTOCOL_VERSIONS.max,
    group,
    purpose: 'data',
    member: stranger(),
    incarnation: 0,
    clusterTime: channel.clusterTime(),
    clockSettled: true,
    ...more,
  }
}

/** A connection that writes whatever it is told to. */
class RawPeer {
  readonly frames: (Frame | undefined)[] = []
  readonly closed: Promise<unknown>
  readonly #socket = new Socket()
  readonly #decoder = new FrameDecoder()

  constructor(t: ExecutionContext, { channel }: Cluster) {
    this.#socket.on('error', () => {})
    this.#socket.on('data', bytes => {
      this.#decoder.push(bytes)
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next())
        this.frames.push(decodeFrame(frame))
    })
    this.closed = once(this.#socket, 'close')
    this.#socket.connect(channel.local.port, '127.0.0.1')
    t.teardown(() => this.#socket.destroy())
  }

  write(...pieces: readonly Uint8Array[]): void {
    for (const piece of pieces) this.#socket.write(piece)
  }

  async answers(count: number): Promise<readonly (Frame | undefined)[]> {
    await until(() => this.frames.length >= count)
    return this.frames
  }
}

/** A member of a group of one, whose name the test knows. */
async function alone(t: ExecutionContext): Promise<{ a: Cluster; group: string; port: number }> {
  const { group, multicastPort: port } = testGroup()
  const a = await createCluster({
    name: 'a',
    group,
    membership: { bind: '127.0.0.1', port, frequency: 100 },
    receiver: { address: '127.0.0.1', port: 0 },
  })
  t.teardown(() => a.leave())
  return { a, group, port }
}

async function occupy(t: ExecutionContext, port: number): Promise<Server> {
  const server = createServer()
  server.listen({ port, host: '127.0.0.1', exclusive: true })
  await once(server, 'listening')
  t.teardown(() => server.close())
  return server
}

/** Two ports next to each other, both taken. */
async function occupyTwo(t: ExecutionContext): Promise<number> {
  for (;;) {
    const { port } = (await occupy(t, 0)).address() as { port: number }
    const next = await occupy(t, port + 1).catch(() => undefined)
    if (next !== undefined) return port
  }
}

test('a port range that is full: the error names it, and one more port is enough', async t => {
  const port = await occupyTwo(t)
  const join = loopbackGroup(t)
  const error = await t.throwsAsync(join('a', { membership: silent, receiver: { port, autoBind: 2 } }), {
    instanceOf: ListenError,
  })
  t.is(error?.message, `No free port on 127.0.0.1 from ${port} to ${port + 1}`)
  t.is(error?.code, 'LISTEN_FAILED')
  const b = await join('b', { membership: silent, receiver: { port, autoBind: 50 } })
  t.true(b.channel.local.port > port + 1)
})

for (const address of ['192.0.2.7', '203.0.113.1']) {
  test(`an address that is not this host's is named: ${address}`, async t => {
    const join = loopbackGroup(t)
    const error = await t.throwsAsync(join('a', { membership: silent, receiver: { address } }), {
      instanceOf: ListenError,
    })
    t.regex(error?.message ?? '', new RegExp(`${address.replaceAll('.', '\\.')}:0`))
  })
}

for (const bind of ['192.0.2.7', '203.0.113.1']) {
  test(`a multicast interface that does not exist is named: ${bind}`, async t => {
    const channel = createChannel({
      group: testGroup().group,
      membership: { bind },
      receiver: { address: '127.0.0.1', port: 0 },
    })
    const error = await t.throwsAsync(channel.start(), { instanceOf: ListenError })
    t.true(error?.message.includes(bind))
    const { port } = channel.local
    await occupy(t, port)
    t.pass('the port it had is free again')
  })
}

test('diallers of another group, another version, without a past or with a wrong clock are told why and counted', async t => {
  const { a, group } = await alone(t)
  const { min, max } = PROTOCOL_VERSIONS
  const cases: readonly (readonly [reason: string, hello: Partial<Hello>])[] = [
    ['group', { group: 'another' }],
    ['protocol', { protocolMin: max + 1, protocolMax: max + 5 }],
    ['protocol', { protocolMin: min - 1, protocolMax: min - 1 }],
    ['self', { member: { ...a.channel.local, name: 'liar' } }],
    ['clock', { clusterTime: a.channel.clusterTime() + 3_600_000 }],
    ['clock', { clusterTime: Number.MAX_SAFE_INTEGER }],
  ]
  for (const [reason, hello] of cases) {
    const peer = new RawPeer(t, a)
    peer.write(encodeFrame(helloTo(a, group, hello)))
    await peer.closed
    t.is(peer.frames.length, 1)
    t.like(peer.frames[0], { kind: 'refused', reason })
  }
  t.deepEqual(figures(a).hellosRefused, { group: 1, protocol: 2, self: 1, clock: 2 })
  t.is(figures(a).transport.receiver.refused, cases.length)
  t.deepEqual(a.members, [])
})

test('a dialler that also speaks later versions is answered in the highest common one', async t => {
  const { a, group } = await alone(t)
  const peer = new RawPeer(t, a)
  peer.write(encodeFrame(helloTo(a, group, { protocolMax: PROTOCOL_VERSIONS.max + 7 })))
  t.like((await peer.answers(1))[0], { kind: 'welcome', protocol: PROTOCOL_VERSIONS.max })
})

test('bytes that are no frames close the connection, are counted, and cost nobody else anything', async t => {
  const { a, group } = await alone(t)
  const hello = encodeFrame(helloTo(a, group))
  const damaged = Uint8Array.from(hello, (byte, index) => (index > 8 ? byte ^ 0x80 : byte))
  const inputs: readonly (readonly Uint8Array[])[] = [
    [Uint8Array.of(0, 0, 0, 0)],
    [Uint8Array.of(0xff, 0xff, 0xff, 0xff)],
    [Uint8Array.of(0, 0x20, 0, 0), new Uint8Array(100)],
    [Buffer.from('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')],
    [Buffer.from('FLT2002 and what a Tomcat sends')],
    [damaged],
    [encodeFrame({ kind: 'echo', nonce: 1 })],
    [encodeFrame({ kind: 'message', topic: '~sessions', ack: 2, payload: randomBytes(10) })],
    [hello, hello],
    [hello, encodeFrame({ kind: 'ack', received: 5, applied: 5, exceptions: [] })],
    [
      encodeFrame(helloTo(a, group, { purpose: 'control' })),
      encodeFrame({ kind: 'message', topic: 'x', ack: 0, payload: hello }),
    ],
    [encodeFrame(helloTo(a, group, { purpose: 'probe' })), encodeFrame({ kind: 'goodbye', member: stranger().id })],
  ]
  for (const [index, pieces] of inputs.entries()) {
    const peer = new RawPeer(t, a)
    peer.write(...pieces)
    await peer.closed
    await until(() => figures(a).transport.receiver.badFrames === index + 1)
  }
  await until(() => figures(a).transport.receiver.connections === 0)
  t.deepEqual(a.members, [])
})

test('messages no honest member sends are rejected and counted; the member goes on', async t => {
  const { a, group } = await alone(t)
  const session = a.sessions.create()
  session.set('kept', 1)
  await a.sessions.commit(session)
  const peer = new RawPeer(t, a)
  peer.write(encodeFrame(helloTo(a, group)))
  t.like((await peer.answers(1))[0], { kind: 'welcome' })
  const garbage = [new Uint8Array(), Uint8Array.of(0xff), randomBytes(200), Buffer.from([0x08, 99])]
  for (const payload of garbage) peer.write(encodeFrame({ kind: 'message', topic: '~sessions', ack: 2, payload }))
  peer.write(encodeFrame({ kind: 'message', topic: 'no such topic', ack: 2, payload: randomBytes(10) }))
  const count = garbage.length + 1
  await until(() => peer.frames.some(frame => frame?.kind === 'ack' && frame.received === count))
  const rejected = peer.frames.flatMap(frame => (frame?.kind === 'ack' ? frame.exceptions : []))
  t.deepEqual(
    rejected,
    Array.from({ length: count }, (_, index) => ({ number: index + 1, reason: 'rejected' as const })),
  )
  t.like(a.stats().replication, { unreadable: garbage.length, internalErrors: 0 })
  t.is(figures(a).unknownTopic, 1)
  t.is(a.sessions.find(session.id)?.get('kept'), 1)
})

test('well-formed replication messages of somebody who is no member break nothing', async t => {
  const { a, group } = await alone(t)
  const session = a.sessions.create()
  await a.sessions.commit(session)
  const peer = new RawPeer(t, a)
  const hello = helloTo(a, group)
  peer.write(encodeFrame(hello))
  t.like((await peer.answers(1))[0], { kind: 'welcome' })
  const payloads: Uint8Array[] = readdirSync('test/golden')
    .filter(file => file.startsWith('replication-'))
    .map(file => new Uint8Array(Buffer.from(readFileSync(`test/golden/${file}`, 'utf8').trim(), 'hex')))
  const stamp = { wallMs: 2 ** 48 - 1, counter: 65_535, origin: hello.member.id, seq: Number.MAX_SAFE_INTEGER }
  payloads.push(
    encodeMessage({
      kind: 'delta',
      delta: { kind: 'create', key: `${stamp.origin}#${stamp.seq}`, stamp, deps: [], writes: NO_WRITES },
    }),
    encodeMessage({ kind: 'pull', missing: [{ origin: a.channel.local.id, ranges: [[1, Number.MAX_SAFE_INTEGER]] }] }),
  )
  for (const payload of payloads) peer.write(encodeFrame({ kind: 'message', topic: '~sessions', ack: 2, payload }))
  await until(() => peer.frames.some(frame => frame?.kind === 'ack' && frame.received === payloads.length))
  t.like(a.stats().replication, { unreadable: 0, internalErrors: 0 })
  t.is(figures(a).listenerErrors, 0)
  t.is(a.sessions.find(session.id)?.id, session.id)
})

test('requests and replies no honest member sends are rejected', async t => {
  const { a, group } = await alone(t)
  const rpc = a.channel.rpc('ask', () => 'answer')
  t.teardown(() => rpc.close())
  const peer = new RawPeer(t, a)
  peer.write(encodeFrame(helloTo(a, group)))
  await peer.answers(1)
  const topic = '~rpc:ask'
  const values = [null, 1, [], ['request', 'x', 1], ['error', 1, { toString: 1, valueOf: 1 }], ['other', 1, 1]]
  for (const payload of [randomBytes(50), ...values.map(encodeValue)])
    peer.write(encodeFrame({ kind: 'message', topic, ack: 2, payload }))
  await until(() => peer.frames.some(frame => frame?.kind === 'ack' && frame.received === values.length + 1))
  t.is(figures(a).unknownTopic, 0)
  t.is(figures(a).listenerErrors, 0)
})

test('random, foreign, oversized and forged datagrams are counted and dropped; real members still come in', async t => {
  const { a, group, port } = await alone(t)
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  socket.setMulticastInterface('127.0.0.1')
  t.teardown(() => socket.close())
  const send = (bytes: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      socket.send(bytes, port, '228.0.0.4', error => (error ? reject(error) : resolve()))
    })
  const heartbeat = (more: Partial<Heartbeat> = {}): Uint8Array =>
    encodeDatagram({
      group,
      member: stranger(),
      incarnation: 0,
      count: 1,
      view: '0123456789abcdef',
      leaving: false,
      clusterTime: a.channel.clusterTime(),
      advertisements: [],
      ...more,
    })
  const valid = heartbeat()
  const garbage = [
    new Uint8Array(),
    randomBytes(100),
    randomBytes(1_400),
    Buffer.from('TRIBES-B and what a Tomcat sends'),
    Buffer.concat([valid.subarray(0, 4), randomBytes(60)]),
    valid.subarray(0, valid.length - 1),
    Buffer.concat([valid, new Uint8Array(1_400)]),
    Buffer.concat([valid, new Uint8Array(60_000)]),
  ]
  // One at a time: a datagram lost to a full buffer would not be counted.
  for (const [index, bytes] of garbage.entries()) {
    await send(bytes)
    await until(() => figures(a).membership.garbage === index + 1)
  }
  await send(heartbeat({ group: 'another' }))
  await until(() => figures(a).membership.foreign === 1)

  const own = a.channel.local
  const forged = [
    heartbeat({ member: own, count: Number.MAX_SAFE_INTEGER, leaving: true }),
    heartbeat({ member: own, count: Number.MAX_SAFE_INTEGER, incarnation: Number.MAX_SAFE_INTEGER }),
    heartbeat({ leaving: true }),
    heartbeat({ advertisements: [{ topic: '~sessions', bytes: randomBytes(17) }] }),
    ...Array.from({ length: 200 }, (_, index) => heartbeat({ member: stranger(`ghost${index}`) })),
  ]
  for (const bytes of forged) {
    const { heard } = figures(a).membership
    await send(bytes)
    await until(() => figures(a).membership.heard > heard)
  }
  await until(() => figures(a).dialsFailed > 0)
  t.deepEqual(a.members, [])
  t.is(figures(a).membership.garbage, garbage.length)

  const b = await createCluster({
    name: 'b',
    group,
    membership: { bind: '127.0.0.1', port, frequency: 100 },
    receiver: { address: '127.0.0.1', port: 0 },
  })
  t.teardown(() => b.leave())
  await until(() => a.members.length === 1 && b.members.length === 1)
  t.deepEqual(
    a.members.map(({ name }) => name),
    ['b'],
  )
})
