import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { AjpConnection, type AjpContext, noCounts } from '../../../lib/ajp/ajp-connection.js'
import { decodeForwardRequest } from '../../../lib/ajp/forward-request.js'
import { ProtocolError } from '../../../lib/errors.js'
import { createNodeRuntime } from '../../../lib/runtime/node-runtime.js'
import type { Stream } from '../../../lib/runtime/runtime.js'
import { attribute, bodyPacket, forwardRequest, packet } from '../../helpers/ajp-client.js'

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 1_000)

const request = forwardRequest({
  method: 4,
  headers: [
    [11, 'h'],
    ['x-own', 'v'],
    [8, '300'],
  ],
  attributes: [attribute(5, 'a=b'), attribute(10, 'AJP_REMOTE_PORT', '1'), attribute(12, 'secret')],
})
const conversation = Buffer.concat([packet(Buffer.of(10)), packet(request), bodyPacket(Buffer.alloc(300))])

/** Flips, cuts and inserts bytes. */
function damaged(sample: Buffer): fc.Arbitrary<Buffer> {
  const step = fc.tuple(fc.nat(sample.length), fc.uint8Array({ maxLength: 6 }), fc.nat(6))
  return fc.array(step, { minLength: 1, maxLength: 4 }).map(steps =>
    steps.reduce<Buffer>((bytes, [at, put, drop]) => {
      return Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + drop)])
    }, sample),
  )
}

test('a request of any bytes is read or refused', t => {
  fc.assert(
    fc.property(fc.oneof(damaged(request), fc.uint8Array({ maxLength: 200 })), bytes => {
      try {
        decodeForwardRequest(Buffer.from(bytes))
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error
      }
    }),
    { numRuns: RUNS },
  )
  t.pass()
})

test('a connection takes any bytes, in any pieces, without a throw', async t => {
  const server = createServer((req, res) => req.resume().on('end', () => res.end('ok')))
  const outcomes = new Set<string>()
  await fc.assert(
    fc.asyncProperty(damaged(conversation), fc.integer({ min: 1, max: 400 }), async (bytes, size) => {
      const stream = new RecordedStream()
      const connection = new AjpConnection(stream, contextOf(server))
      for (let at = 0; at < bytes.length && !stream.isOver; at += size) {
        connection.data(bytes.subarray(at, at + size))
      }
      // Lets the server see what it got, as the real network would.
      await new Promise(resolve => setImmediate(resolve))
      outcomes.add(stream.isOver ? 'closed' : 'open')
      connection.closed()
      if (stream.sentBytes > 20_000) throw new Error(`${stream.sentBytes} bytes for ${bytes.length}`)
    }),
    { numRuns: RUNS },
  )
  t.deepEqual([...outcomes].sort(), ['closed', 'open'])
})

test('who pings and never reads is cut off', t => {
  const stream = new RecordedStream()
  const context = contextOf(createServer())
  const connection = new AjpConnection(stream, context)
  connection.data(packet(Buffer.of(10)))
  t.false(stream.isOver)
  stream.takes = false
  connection.data(Buffer.concat([packet(Buffer.of(10)), packet(Buffer.of(10)), packet(Buffer.of(10))]))
  t.true(stream.isOver)
  t.is(stream.sentBytes, 2 * 5)
  t.is(context.counters.protocolErrors, 1)
})

/** A connection with a GET under way, whose response is in our hands, and a clock. */
async function asked(t: ExecutionContext) {
  const stream = new RecordedStream()
  const clock = { nowMs: 0 }
  const server = createServer()
  const context = contextOf(server)
  const connection = new AjpConnection(stream, {
    ...context,
    clock: Object.create(context.clock, { monotonic: { value: () => clock.nowMs } }),
  })
  t.teardown(() => connection.closed())
  const request = once(server, 'request') as Promise<[unknown, ServerResponse]>
  connection.data(packet(forwardRequest()))
  const [, response] = await request
  /** What the application does, and what comes of it. */
  const on = async (nowMs: number, act: () => void = () => {}): Promise<void> => {
    clock.nowMs = nowMs
    act()
    for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve))
  }
  return { stream, connection, response, on }
}

test('an answer that lasts is not idle while what is written is taken', async t => {
  const { stream, connection, response, on } = await asked(t)
  for (let minute = 0; minute <= 12; minute++) await on(minute * 60_000, () => response.write(`event ${minute}`))
  stream.bufferedBytes = 100
  connection.expire(120_000)
  t.false(stream.isOver, 'the last was written this very moment')
  // A client so slow that the next is always there before the last is taken.
  for (let minute = 13; minute <= 40; minute++) {
    await on(minute * 60_000, () => response.write(`event ${minute}`))
    connection.expire((minute - 10) * 60_000)
  }
  t.false(stream.isOver)
  // From here on nothing is taken, though ever more is written.
  let minute = 41
  for (; minute <= 60 && !stream.isOver; minute++) {
    const before = stream.sentBytes
    await on(minute * 60_000, () => response.write(`event ${minute}`))
    stream.bufferedBytes += stream.sentBytes - before
    connection.expire((minute - 10) * 60_000)
  }
  t.is(minute, 51)
})

test('a large piece is sent as it is taken', async t => {
  const { stream, connection, response, on } = await asked(t)
  const bytes = 1_000_000
  stream.takes = false
  await on(0, () => response.end(Buffer.alloc(bytes)))
  t.true(stream.sentBytes < 100_000, `${stream.sentBytes}`)
  stream.bufferedBytes = 50_000
  let drains = 0
  for (let sent = 0; sent !== stream.sentBytes; drains++) {
    sent = stream.sentBytes
    await on(drains * 60_000, () => connection.drain())
    connection.expire((drains - 2) * 60_000)
  }
  t.true(drains > bytes / 65_536 && stream.sentBytes > bytes, `${drains} ${stream.sentBytes}`)
  t.false(stream.isOver)
  t.deepEqual(Buffer.from(stream.last).subarray(-6), Buffer.of(0x41, 0x42, 0, 2, 5, 1), 'the end comes last')
  stream.takes = true
  connection.data(packet(Buffer.of(10)))
  t.is(stream.last.at(-1), 9, 'and the next may come')
})

class RecordedStream implements Stream {
  readonly remote = { host: '127.0.0.1', port: 1 }
  bufferedBytes = 0
  isOver = false
  sentBytes = 0
  takes = true
  last: Uint8Array = new Uint8Array()

  write(bytes: Uint8Array): boolean {
    this.last = bytes
    this.sentBytes += bytes.length
    return this.takes
  }
  end(): void {
    this.isOver = true
  }
  destroy(): void {
    this.isOver = true
  }
  pause(): void {}
  resume(): void {}
}

function contextOf(server: AjpContext['server']): AjpContext {
  return {
    server,
    packetSize: 8_192,
    allowedRequestAttributes: undefined,
    counters: noCounts(),
    clock: createNodeRuntime().clock,
    admits: () => true,
    closed: () => {},
  }
}
