import { createServer } from 'node:http'
import test from 'ava'
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

class RecordedStream implements Stream {
  readonly remote = { host: '127.0.0.1', port: 1 }
  readonly bufferedBytes = 0
  isOver = false
  sentBytes = 0
  takes = true

  write(bytes: Uint8Array): boolean {
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
