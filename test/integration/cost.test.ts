import test from 'ava'
import { tappedNetwork } from '../../bench/tapped-network.js'
import { type Cluster, createCluster, type Session } from '../../lib/index.js'
import { SimCluster } from '../../lib/testing/index.js'

/*
 * What a write costs, counted instead of timed, so that it is the same on every machine: bytes on the wire, writes to
 * sockets, bytes copied, memory asked for. The bounds are what the code does today. A change that lowers a figure lowers its bound too; one
 * that raises it should know why.
 */

/** Bytes of a delta of one attribute on the wire beyond the attribute's own: frame, topic, key, stamp, context. */
const OVERHEAD_BYTES = 95
/** Times a value's bytes are moved by `set`, `slice` and `copy` from `Session.set` to the socket, one peer, one batch. */
const COPIES_OUT = 2
/** And from the socket to the record of the receiver, over the value that was there, and to the ring. */
const COPIES_IN = 2
/** Looks at the clock for finding a session, setting an attribute and committing it; each takes as long as a copy of 1 KiB. */
const LOOKS_OUT = 3
/** And for merging it elsewhere. */
const LOOKS_IN = 1

/** Heap that finding a session, setting an attribute of 64 B and committing it asks for, in bytes, compiled or not. */
const HEAP_OUT = 2_600

interface Traffic {
  writes: number
  bytes: number
}

interface Tapped {
  readonly cluster: Cluster
  /** Over connections this member dialled: its messages. */
  readonly dialled: Traffic
  /** Over connections it accepted: its acknowledgements. */
  readonly accepted: Traffic
  /** At the clock. */
  readonly looks: { count: number }
}

test('a small delta costs its bytes and a bounded overhead on the wire', async t => {
  for (const size of [64, 1_024]) {
    const { writer, settle } = await group('bytes', 2)
    const session = await warmedUp(writer.cluster, settle)
    reset(writer)
    for (let n = 0; n < 100; n++) write(writer.cluster, session, size, n)
    await settle()
    const overhead = writer.dialled.bytes / 100 - size
    t.log(`${size} B: ${overhead.toFixed(1)} B more on the wire`)
    t.true(overhead <= OVERHEAD_BYTES, `${size} B cost ${overhead} B more, not ${OVERHEAD_BYTES}`)
  }
})

test('each further peer costs the same bytes again and no more', async t => {
  const { writer, settle } = await group('peers', 4)
  const session = await warmedUp(writer.cluster, settle)
  reset(writer)
  for (let n = 0; n < 100; n++) write(writer.cluster, session, 64, n)
  await settle()
  t.true(writer.dialled.bytes / 300 - 64 <= OVERHEAD_BYTES)
})

test('deltas of one turn leave in one write per peer', async t => {
  for (const [nodes, count] of [
    [2, 1],
    [2, 100],
    [2, 1_000],
    [4, 100],
  ] as const) {
    const { writer, settle } = await group('batch', nodes)
    const session = await warmedUp(writer.cluster, settle)
    reset(writer)
    for (let n = 0; n < count; n++) write(writer.cluster, session, 64, n)
    await settle()
    t.is(writer.dialled.writes, nodes - 1, `${count} deltas, ${nodes} members`)
  }
})

test('a batch that waits for its acknowledgements gets one for all', async t => {
  const { writer, members, settle } = await group('acks', 2)
  const session = await warmedUp(writer.cluster, settle)
  for (const member of members) reset(member)
  const receipts = Array.from({ length: 100 }, (_, n) => write(writer.cluster, session, 64, n, 'applied'))
  await settle()
  const outcomes = await Promise.all(receipts)
  t.true(outcomes.every(receipt => receipt?.outcome === 'met'))
  const [answer] = members.filter(member => member !== writer).map(({ accepted }) => accepted)
  t.is(answer?.writes, 1)
  t.true((answer?.bytes ?? 0) <= 16, `an acknowledgement of ${answer?.bytes} bytes`)
})

test('a delta costs few looks at the clock', async t => {
  const { writer, members, settle } = await group('looks', 2)
  const { id } = await warmedUp(writer.cluster, settle)
  for (const member of members) reset(member)
  for (let n = 0; n < 1_000; n++) write(writer.cluster, writer.cluster.sessions.find(id) as Session, 64, n)
  const out = writer.looks.count / 1_000
  await settle()
  const [inward] = members.filter(member => member !== writer).map(({ looks }) => looks.count / 1_000)
  t.log(`${out.toFixed(2)} looks on the way out, ${inward?.toFixed(2)} on the way in`)
  t.true(Math.round(out) <= LOOKS_OUT, `${out} looks on the way out`)
  t.true(Math.round(inward ?? Infinity) <= LOOKS_IN, `${inward} looks on the way in`)
})

test.serial('a small write asks for little memory', async t => {
  const { writer, settle } = await group('heap', 2)
  const { id } = await warmedUp(writer.cluster, settle)
  const used: number[] = []
  for (let round = 0; round < 160; round++) {
    const before = process.memoryUsage().heapUsed
    for (let n = 0; n < 500; n++) write(writer.cluster, writer.cluster.sessions.find(id) as Session, 64, n)
    used.push((process.memoryUsage().heapUsed - before) / 500)
    await settle()
  }
  // The first are not compiled yet, and in some of the others the collector ran.
  const median = used.slice(-41).toSorted((a, b) => a - b)[20] as number
  t.log(`${Math.round(median)} B of heap: ${used.map(Math.round).join(' ')}`)
  t.true(median <= HEAP_OUT, `${median} B of heap`)
})

test.serial('the bytes of a value are copied a bounded number of times', async t => {
  const size = 16_384
  const { writer, settle, sent } = await group('copies', 2)
  const session = await warmedUp(writer.cluster, settle)
  const copied = countCopies(size)
  try {
    for (let n = 0; n < 10; n++) write(writer.cluster, session, size, n)
    await sent()
    const out = copied.bytes / (10 * size)
    copied.bytes = 0
    await settle()
    const inward = copied.bytes / (10 * size)
    t.log(`copied ${out.toFixed(2)} times on the way out, ${inward.toFixed(2)} times on the way in`)
    t.true(Math.round(out) <= COPIES_OUT, `${out} copies on the way out`)
    t.true(Math.round(inward) <= COPIES_IN, `${inward} copies on the way in`)
  } finally {
    copied.end()
  }
})

interface Group {
  readonly writer: Tapped
  readonly members: readonly Tapped[]
  /** Until the writer has given everything to its sockets; nothing has arrived. */
  sent(): Promise<void>
  /** Long enough for everything to arrive and be answered, too short for a heartbeat to make a difference. */
  settle(): Promise<void>
}

/** Members on virtual time, known to each other, idle, with nothing under way. */
async function group(seed: string, nodes: number): Promise<Group> {
  const taps = new Map<string, Omit<Tapped, 'cluster'>>()
  const sim = new SimCluster<Cluster>({
    seed,
    network: {
      quality: { minDelayMs: 5, maxDelayMs: 5 },
      // Room for every batch, so that what is counted is the library's own doing.
      limits: { highWaterBytes: 16_777_216, windowBytes: 16_777_216, splitting: 0 },
    },
    launch: ({ name, runtime }) => {
      const tap = { dialled: { writes: 0, bytes: 0 }, accepted: { writes: 0, bytes: 0 }, looks: { count: 0 } }
      taps.set(name, tap)
      const written = (bytes: number, dialled: boolean): void => {
        const traffic = dialled ? tap.dialled : tap.accepted
        traffic.writes++
        traffic.bytes += bytes
      }
      const { clock, network } = runtime
      const monotonic = (): number => {
        tap.looks.count++
        return clock.monotonic()
      }
      const tapped = { ...runtime, clock: { ...clock, monotonic }, network: tappedNetwork(network, { written }) }
      // Heartbeats stay out of the way.
      const membership = { frequency: 2_000, dropTime: 10_000 }
      return createCluster({ name, runtime: tapped, membership, receiver: { port: 4_000 } })
    },
  })
  const names = Array.from({ length: nodes }, (_, index) => `member${index}`)
  await sim.started(...names)
  await sim.runUntil(() => names.every(name => sim.node(name).members.length === nodes - 1), { within: 20_000 })
  await sim.run(10_000)
  const members = names.map(name => ({ cluster: sim.node(name), ...(taps.get(name) as Omit<Tapped, 'cluster'>) }))
  return { writer: members[0] as Tapped, members, sent: () => sim.run(1), settle: () => sim.run(200) }
}

/** A session past its first writes: connections open, running numbers of two bytes. */
async function warmedUp(cluster: Cluster, settle: () => Promise<void>): Promise<Session> {
  const session = cluster.sessions.create()
  for (let n = 0; n < 200; n++) write(cluster, session, 64, n + 10_000)
  await settle()
  await settle()
  return session
}

function write(
  cluster: Cluster,
  session: Session,
  size: number,
  n: number,
  ack: 'none' | 'applied' = 'none',
): ReturnType<Cluster['sessions']['commit']> {
  const value = Buffer.alloc(size, 7)
  value.writeUInt32LE(n, 0)
  return cluster.sessions.commit(session.set('v', value), { ack })
}

function reset({ dialled, accepted, looks }: Tapped): void {
  looks.count = 0
  Object.assign(dialled, { writes: 0, bytes: 0 })
  Object.assign(accepted, { writes: 0, bytes: 0 })
}

/** Counts the bytes that JavaScript moves between buffers, in pieces of at least half of `size`. */
function countCopies(size: number): { bytes: number; end(): void } {
  const typed = Object.getPrototypeOf(Uint8Array.prototype) as Uint8Array
  const { set, slice } = typed
  const { copy } = Buffer.prototype
  const count = { bytes: 0, end }
  const add = (bytes: number): void => {
    if (bytes >= size / 2) count.bytes += bytes
  }
  typed.set = function (this: Uint8Array, from, offset) {
    add(from.length)
    set.call(this, from, offset)
  }
  typed.slice = function (this: Uint8Array, start, end) {
    const part = slice.call(this, start, end)
    add(part.length)
    return part
  } as Uint8Array['slice']
  Buffer.prototype.copy = function (this: Buffer, ...to: Parameters<Buffer['copy']>) {
    const bytes = copy.apply(this, to)
    add(bytes)
    return bytes
  }
  return count

  function end(): void {
    Object.assign(typed, { set, slice })
    Object.assign(Buffer.prototype, { copy })
  }
}
