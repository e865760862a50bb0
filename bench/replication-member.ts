import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type AckMode, type Cluster, createCluster, type Session } from '../lib/index.js'
import { type Answer, answer, type Orders, peakMiB, resetPeak, takeOrders, Waits } from './orders.js'

/** What a member of the benchmark's cluster joins with. */
export interface ReplicationMemberConfig {
  readonly name: string
  readonly group: string
  readonly multicastPort: number
  readonly receiverPort: number
}

/** What may be under way unacknowledged when the writer wants no acknowledgement: our queues are bounded, by design. */
const WINDOW_COUNT = 4_096
const WINDOW_BYTES = 4_194_304
/** Of those every so-manieth asks for an acknowledgement, which makes room. */
const MARKS_PER_WINDOW = 16
const ACK_TIMEOUT_MS = 10_000
/** Counter of the write and index of the writer, at the head of each value. */
const HEAD_BYTES = 8
const POLL_MS = 1
const QUIET_MS = 5_000

type Write = (writer: number, ack: AckMode) => Promise<boolean> | undefined

/** One process of the benchmark: writes session deltas or raw messages when told, and counts what the others write. */
class ReplicationMember {
  readonly #cluster: Cluster
  readonly #raw: ReturnType<Cluster['channel']['topic']>
  readonly #ids: string[] = []
  #rawCount = 0
  #rawLast: number[] = []
  #inversions = 0
  #appliedBefore = 0

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    this.#raw = cluster.channel.topic('bench', {
      borrows: true,
      receive: payload => {
        const bytes = Buffer.from(payload.buffer, payload.byteOffset, HEAD_BYTES)
        const n = bytes.readUInt32LE(0)
        const writer = bytes.readUInt32LE(4)
        if (n < (this.#rawLast[writer] ?? 0)) this.#inversions++
        else this.#rawLast[writer] = n
        this.#rawCount++
        return 'applied'
      },
    })
  }

  async run(op: string, order: Orders): Promise<Answer> {
    switch (op) {
      case 'prepare':
        return await this.#prepare(order.number('writers'))
      case 'begin':
        resetPeak()
        this.#rawCount = 0
        this.#rawLast = []
        this.#inversions = 0
        this.#appliedBefore = this.#applied
        return {}
      case 'write':
        return await this.#write(order)
      case 'settle':
        return await this.#settle(order.text('kind'), order.number('count'))
      case 'report':
        return { peakMiB: peakMiB() }
      default:
        throw new Error(`Unknown order ${op}`)
    }
  }

  get #applied(): number {
    return this.#cluster.replication.stats().applied
  }

  async #write(order: Orders): Promise<Answer> {
    const writers = order.number('writers')
    const bytes = order.number('bytes')
    const ack = order.text('ack') as AckMode
    const write = order.text('kind') === 'raw' ? this.#rawWrite(bytes) : this.#deltaWrite(bytes)
    const startedAt = Date.now()
    const until = performance.now() + order.number('ms')
    const done =
      ack === 'none' ? await windowed(write, writers, bytes, until) : await waiting(write, writers, ack, until)
    return { startedAt, endedAt: Date.now(), ...done }
  }

  #rawWrite(bytes: number): Write {
    const sent: number[] = []
    return (writer, ack) => {
      // The channel keeps the bytes until they are written, so each message has its own.
      const payload = Buffer.allocUnsafe(bytes)
      const n = (sent[writer] ?? 0) + 1
      sent[writer] = n
      payload.writeUInt32LE(n, 0)
      payload.writeUInt32LE(writer, 4)
      if (ack === 'none') {
        this.#raw.send(payload, { ack })
        return undefined
      }
      return new Promise(resolve =>
        this.#raw.send(payload, { ack, timeoutMs: ACK_TIMEOUT_MS }, ({ outcome }) => resolve(outcome === 'met')),
      )
    }
  }

  /** A session for each writer, known to all members. */
  async #prepare(writers: number): Promise<Answer> {
    const { sessions } = this.#cluster
    for (; this.#ids.length < writers; ) {
      const session = sessions.create({ deferred: true })
      await sessions.commit(session, { storeEmpty: true, ack: 'applied', copies: 'all', ackTimeoutMs: ACK_TIMEOUT_MS })
      this.#ids.push(session.id)
    }
    return {}
  }

  /** Each write is what a request does: find the session, set an attribute, commit. */
  #deltaWrite(bytes: number): Write {
    const { sessions } = this.#cluster
    const value = randomBytes(bytes)
    const sent: number[] = []
    return (writer, ack) => {
      const session = sessions.find(this.#ids[writer] ?? '') as Session
      const n = (sent[writer] ?? 0) + 1
      sent[writer] = n
      // Another value each time: an attribute that did not change would not be written at all.
      value.writeUInt32LE(n, 0)
      value.writeUInt32LE(randomSalt, 4)
      session.set('v', value)
      const receipt = sessions.commit(session, { ack, copies: 'all', ackTimeoutMs: ACK_TIMEOUT_MS })
      return ack === 'none' ? undefined : receipt?.then(({ outcome }) => outcome === 'met')
    }
  }

  /** Waits until `count` writes are here, or none has come for long. */
  async #settle(kind: string, count: number): Promise<Answer> {
    let seen = -1
    for (let quietSince = performance.now(); performance.now() - quietSince < QUIET_MS; ) {
      const has = kind === 'raw' ? this.#rawCount : this.#applied - this.#appliedBefore
      if (has >= count) break
      if (has !== seen) quietSince = performance.now()
      seen = has
      await delay(POLL_MS)
    }
    const has = kind === 'raw' ? this.#rawCount : this.#applied - this.#appliedBefore
    // A delta that comes behind a later one of its session has nothing left to change and is not counted as applied.
    const inversions = kind === 'raw' ? this.#inversions : Math.max(0, count - has)
    return { count: has, endedAt: Date.now(), inversions }
  }
}

const randomSalt = randomBytes(4).readUInt32LE()

/** Writes as fast as the window allows; the acknowledgement of every so-manieth makes room. */
async function windowed(write: Write, writers: number, bytes: number, until: number): Promise<Answer> {
  const window = Math.max(MARKS_PER_WINDOW, Math.min(WINDOW_COUNT, Math.floor(WINDOW_BYTES / bytes)))
  const every = Math.floor(window / MARKS_PER_WINDOW)
  const marks: Promise<boolean>[] = []
  let count = 0
  let short = 0
  while (performance.now() < until) {
    for (let i = 0; i < every - 1; i++) write(count++ % writers, 'none')
    marks.push(write(count++ % writers, 'applied') ?? Promise.resolve(true))
    if (marks.length >= MARKS_PER_WINDOW && !(await marks.shift())) short++
  }
  for (const met of await Promise.all(marks)) if (!met) short++
  return { count, short, waits: [] }
}

/** Each writer waits for one write before it begins the next. */
async function waiting(write: Write, writers: number, ack: AckMode, until: number): Promise<Answer> {
  const waits = new Waits()
  let count = 0
  let short = 0
  const writer = async (index: number): Promise<void> => {
    for (let now = performance.now(); now < until; ) {
      count++
      if (!(await write(index, ack))) short++
      const then = performance.now()
      waits.add(then - now)
      now = then
    }
  }
  await Promise.all(Array.from({ length: writers }, (_, index) => writer(index)))
  return { count, short, waits: waits.quantiles() }
}

async function main({ name, group, multicastPort, receiverPort }: ReplicationMemberConfig): Promise<void> {
  const cluster = await createCluster({
    name,
    group,
    membership: { service: 'multicast', bind: '127.0.0.1', port: multicastPort, dropTime: 10_000 },
    receiver: { address: '127.0.0.1', port: receiverPort, autoBind: 100 },
  })
  const member = new ReplicationMember(cluster)
  takeOrders((op, order) => member.run(op, order))
  answer('ready')
}

await main(JSON.parse(process.argv[2] ?? '{}') as ReplicationMemberConfig)
