import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { type Cluster, createCluster, type Runtime } from '../../lib/index.js'
import { decodeMessage } from '../../lib/replication/codec.js'
import type { ReplicationMessage } from '../../lib/replication/messages.js'
import { createNodeRuntime } from '../../lib/runtime/node-runtime.js'
import { decodeFrame, encodeFrame } from '../../lib/wire/codec.js'
import { FrameDecoder, PREFIX_BYTES } from '../../lib/wire/frame.js'
import type { Frame } from '../../lib/wire/messages.js'
import { until } from '../helpers/loopback-cluster.js'

/** Times, addresses and names as the frozen messages have them. */
const GOLDEN = { group: 'shop', host: '10.0.0.1', port: 4_000, wallMs: 1_750_000_000_123 }
/** When the frozen records were written. */
const DELTA_WALL_MS = 1_800_000_000_000

const golden = (name: string): Buffer => {
  const file = new URL(`../../../test/golden/0.1/${name}.hex`, import.meta.url)
  return Buffer.from(readFileSync(file, 'latin1').trim(), 'hex')
}

/** A peer that speaks in frozen bytes: what it dials, and what it is dialled by. */
class Peer {
  readonly heard: Frame[] = []
  /** Connections on which a member greeted us. */
  readonly greeted: Socket[] = []
  readonly #t: ExecutionContext

  constructor(t: ExecutionContext) {
    this.#t = t
  }

  /** Listens where members believe the frozen member to be, and welcomes them in its words. */
  async listen(welcome: Uint8Array): Promise<number> {
    const server = createServer(socket => {
      this.greeted.push(socket)
      this.#hear(socket, frame => {
        if (frame.kind === 'hello') socket.write(welcome)
        // Its own clock, or it would be taken for a member whose clock runs away.
        if (frame.kind === 'echo')
          socket.write(encodeFrame({ kind: 'echoReply', nonce: frame.nonce, clusterTime: GOLDEN.wallMs }))
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    this.#t.teardown(() => server.close())
    return (server.address() as AddressInfo).port
  }

  async dial(port: number): Promise<Socket> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    this.#hear(socket)
    return socket
  }

  frames<K extends Frame['kind']>(kind: K): Extract<Frame, { kind: K }>[] {
    return this.heard.filter((frame): frame is Extract<Frame, { kind: K }> => frame.kind === kind)
  }

  #hear(socket: Socket, heard: (frame: Frame) => void = () => {}): void {
    const decoder = new FrameDecoder()
    this.#t.teardown(() => socket.destroy())
    socket.on('error', () => {})
    socket.on('data', bytes => {
      decoder.push(bytes)
      for (let body = decoder.next(); body !== undefined; body = decoder.next()) {
        const frame = decodeFrame(body)
        if (frame === undefined) continue
        this.heard.push(frame)
        heard(frame)
      }
    })
  }
}

/** A member of today whose clock shows `wallMs`, and to whom the address of the frozen messages is `port` of this host. */
async function member(t: ExecutionContext, port: number, wallMs = GOLDEN.wallMs): Promise<Cluster> {
  const { clock, random, network } = createNodeRuntime()
  const offsetMs = wallMs - clock.wall()
  const runtime: Runtime = {
    random,
    clock: {
      wall: () => clock.wall() + offsetMs,
      monotonic: () => clock.monotonic(),
      soon: run => clock.soon(run),
      setTimer: (delayMs, run) => clock.setTimer(delayMs, run),
    },
    network: {
      addresses: () => network.addresses(),
      listen: (endpoint, accept) => network.listen(endpoint, accept),
      bindDatagram: (options, handlers) => network.bindDatagram(options, handlers),
      connect: (to, timeoutMs, handlers) =>
        network.connect(to.host === GOLDEN.host ? { host: '127.0.0.1', port } : to, timeoutMs, handlers),
    },
  }
  const cluster = await createCluster({
    name: 'today',
    group: GOLDEN.group,
    runtime,
    membership: { service: 'static' },
    receiver: { address: '127.0.0.1', port: 0 },
    replication: { joinTimeoutMs: 100 },
  })
  t.teardown(() => cluster.leave())
  return cluster
}

/** A frozen handshake at the time of the frozen records. */
function timed(name: 'hello' | 'welcome'): Uint8Array {
  const frame = decodeFrame(golden(name).subarray(PREFIX_BYTES))
  if (frame?.kind !== name) throw new Error(`${name}.hex is something else`)
  return encodeFrame({ ...frame, clusterTime: DELTA_WALL_MS })
}

function known<K extends ReplicationMessage['kind']>(
  bytes: Uint8Array,
  kind: K,
): Extract<ReplicationMessage, { kind: K }> {
  const message = decodeMessage(bytes)
  if (message.kind !== kind) throw new Error(`Not ${kind} but ${message.kind}`)
  return message as Extract<ReplicationMessage, { kind: K }>
}

/** A message of today's `Message` frame around a frozen payload. */
function carried(payload: Uint8Array): Uint8Array {
  return encodeFrame({ kind: 'message', topic: '~sessions', ack: 2, payload })
}

test('a member of release 0.1 greets, is greeted, asks, is answered, and leaves', async t => {
  const peer = new Peer(t)
  const port = await peer.listen(golden('welcome'))
  const today = await member(t, port)
  const session = today.sessions.create({ attributes: [['user', 'Ada']] })

  const socket = await peer.dial(today.channel.local.port)
  socket.write(golden('hello'))
  await until(() => peer.frames('welcome').length === 1)
  const [welcome] = peer.frames('welcome')
  t.deepEqual([welcome?.protocol, welcome?.member.name], [1, 'today'])
  await until(() => today.members.length === 1)
  t.is(today.members[0]?.name, 'node1')
  t.is(peer.frames('hello')[0]?.protocolMin, 1)

  socket.write(golden('echo'))
  await until(() => peer.frames('echoReply').length === 1)
  t.is(peer.frames('echoReply')[0]?.nonce, 4_294_967_295)

  // Topic `sessions` is nobody's: received, refused, and the connection lives on.
  socket.write(golden('message'))
  await until(() => peer.frames('ack').length > 0)
  t.deepEqual(peer.frames('ack')[0], {
    kind: 'ack',
    received: 1,
    applied: 1,
    exceptions: [{ number: 1, reason: 'rejected' }],
  })

  socket.write(carried(golden('replication-askDigest')))
  const digests = (): number => payloads(peer).filter(({ kind }) => kind === 'digest').length
  const before = digests()
  await until(() => digests() > before)
  socket.write(carried(golden('replication-reconcileStart')))
  await until(() => payloads(peer).some(({ kind }) => kind === 'reconcileHeader'))
  socket.write(carried(golden('replication-reconcileRequest')))
  const sent = ['touches', 'check', 'pull', 'fetch', 'notKept', 'checked', 'tombstone', 'reconcileBusy']
  for (const kind of sent) socket.write(carried(golden(`replication-${kind}`)))
  await until(() => peer.frames('ack').some(ack => ack.received === 4 + sent.length))
  await until(() => payloads(peer).some(({ kind }) => kind === 'checked'))
  t.is(today.replication.stats().unreadable, 0)
  t.is(today.replication.stats().internalErrors, 0)

  // What this member writes is for the other to read: the same frames, and what it does not know it may skip.
  session.set('user', 'Grace')
  today.sessions.commit(session)
  await until(() => payloads(peer).some(message => message.kind === 'delta' && message.delta.key === session.key))
  t.false(socket.destroyed)

  // The last heartbeat says that it leaves.
  socket.write(golden('heartbeat'))
  await until(() => today.members.length === 0)
  t.is(today.sessions.find(session.id)?.get('user'), 'Grace')
})

test('a record, a delta and a removal of release 0.1 are merged as they were', async t => {
  const peer = new Peer(t)
  // The frozen records are younger than the frozen handshake, so the handshake is given their time.
  const port = await peer.listen(timed('welcome'))
  const today = await member(t, port, DELTA_WALL_MS)
  const socket = await peer.dial(today.channel.local.port)
  socket.write(timed('hello'))
  await until(() => today.members.length === 1)
  const { replica } = today.replication
  // A write to a record that is not here: it is asked for.
  const { delta } = known(golden('replication-delta'), 'delta')
  socket.write(carried(golden('replication-delta')))
  await until(() => payloads(peer).some(message => message.kind === 'fetch' && message.key === delta.key))

  const { record } = known(golden('replication-record'), 'record')
  socket.write(carried(golden('replication-record')))
  await until(() => replica.has(record.key))
  const live = record.attributes.filter(([, { value }]) => value !== undefined)
  t.true(live.length > 0)
  for (const [name, { value, stamp }] of live) {
    t.deepEqual(Buffer.from(replica.attribute(record.key, name) ?? []), Buffer.from(value ?? []))
    t.deepEqual(replica.stamp(record.key, name), stamp)
  }

  const { key } = known(golden('replication-tombstone'), 'tombstone')
  t.is(key, record.key)
  socket.write(carried(golden('replication-tombstone')))
  await until(() => !replica.has(key))
  const { unreadable, internalErrors, rejectedAhead } = today.replication.stats()
  t.deepEqual([unreadable, internalErrors, rejectedAhead], [0, 0, 0])
})

test('what a future release may send is skipped and counted, and the connection stays', async t => {
  const peer = new Peer(t)
  const port = await peer.listen(extended(golden('welcome')))
  const today = await member(t, port)
  const socket = await peer.dial(today.channel.local.port)
  // Protocols 1 to 3, with fields nobody here knows.
  socket.write(extended(golden('hello')))
  await until(() => today.members.length === 1)
  t.is(peer.frames('welcome')[0]?.protocol, 1)
  // A kind of frame that is not known: field 31, two bytes.
  socket.write(framed(Uint8Array.of(0xfa, 0x01, 0x02, 0x08, 0x01)))
  // A kind of replication message that is not known: number 99.
  socket.write(carried(Uint8Array.of(0x08, 99)))
  // A known message with a field that is not.
  socket.write(carried(Buffer.concat([golden('replication-askDigest'), UNKNOWN_FIELD])))
  socket.write(extended(golden('echo')))
  await until(() => peer.frames('echoReply').length === 1)
  await until(() => peer.frames('ack').some(ack => ack.received === 2))
  t.is(today.replication.stats().unreadable, 1)
  const { transport } = today.channel.stats() as { transport: { receiver: { badFrames: number } } }
  t.is(transport.receiver.badFrames, 0)
  t.false(socket.destroyed)
  t.is(today.members.length, 1)
})

test('a future release that does not speak our protocol any more is refused with the reason', async t => {
  const peer = new Peer(t)
  const today = await member(t, 1)
  const hello = decodeFrame(golden('hello').subarray(PREFIX_BYTES))
  if (hello?.kind !== 'hello') throw new Error('hello.hex is something else')
  const socket = await peer.dial(today.channel.local.port)
  socket.write(encodeFrame({ ...hello, protocolMin: 2 }))
  await once(socket, 'close')
  t.deepEqual(peer.frames('refused'), [{ kind: 'refused', reason: 'protocol', detail: 'speaking 1 to 1' }])
  t.deepEqual(today.channel.stats()['hellosRefused'], { protocol: 1 })
  t.is(today.members.length, 0)
})

/** Field 100, two bytes of it. */
const UNKNOWN_FIELD = Uint8Array.of(0xa2, 0x06, 0x02, 0x01, 0x02)

/** The same frame with an unknown field at the end of its message. */
function extended(frame: Uint8Array): Uint8Array {
  const tag = frame[PREFIX_BYTES] as number
  const at = PREFIX_BYTES + ((frame[PREFIX_BYTES + 1] as number) > 127 ? 3 : 2)
  const body = Buffer.concat([frame.subarray(at), UNKNOWN_FIELD])
  const length = body.length > 127 ? [(body.length & 127) | 128, body.length >> 7] : [body.length]
  return framed(Buffer.concat([Uint8Array.of(tag, ...length), body]))
}

function framed(body: Uint8Array): Uint8Array {
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix.writeUInt32BE(body.length)
  return Buffer.concat([prefix, body])
}

function payloads(peer: Peer): ReplicationMessage[] {
  return peer.frames('message').flatMap(({ topic, payload }) => (topic === '~sessions' ? [decodeMessage(payload)] : []))
}
