import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { type Answer, answer, type Orders, peakMiB, resetPeak, takeOrders, Waits } from '../orders.js'

/** Which end of the bare connection a process is. */
export interface EchoMemberConfig {
  readonly role: 'asks' | 'answers'
  readonly port: number
}

/** Length of a message, at its head. */
const HEAD_BYTES = 4
/** As large as an acknowledgement of ours. */
const ANSWER: Buffer = Buffer.alloc(16)
const READ: Buffer = Buffer.allocUnsafe(131_072)

/** Answers each message once all of it has come. */
function answerAll(port: number): Promise<unknown> {
  const server = createServer({ noDelay: true }, socket => {
    let missing = 0
    socket.on('data', bytes => {
      // One is under way at a time, so each begins with a chunk.
      if (missing === 0) missing = bytes.readUInt32LE(0)
      missing -= bytes.length
      if (missing === 0) socket.write(ANSWER)
    })
  })
  server.listen(port, '127.0.0.1')
  return once(server, 'listening')
}

/** One message after the other, each sent when the one before it was answered. */
class Asker {
  readonly #socket: Socket
  #answered = (): void => {}

  constructor(port: number) {
    let missing = ANSWER.length
    const callback = (length: number): boolean => {
      missing -= length
      if (missing > 0) return true
      missing = ANSWER.length
      this.#answered()
      return true
    }
    this.#socket = connect({ port, host: '127.0.0.1', noDelay: true, onread: { buffer: READ, callback } })
  }

  async ready(): Promise<void> {
    await once(this.#socket, 'connect')
  }

  write(order: Orders): Promise<Answer> {
    const message = Buffer.alloc(Math.max(HEAD_BYTES, order.number('bytes')))
    message.writeUInt32LE(message.length, 0)
    const waits = new Waits()
    let count = 0
    const startedAt = Date.now()
    const until = performance.now() + order.number('ms')
    return new Promise(resolve => {
      let last = performance.now()
      const next = (): void => {
        count++
        this.#socket.write(message)
      }
      this.#answered = () => {
        const now = performance.now()
        waits.add(now - last)
        last = now
        if (now < until) return next()
        resolve({ startedAt, endedAt: Date.now(), count, short: 0, waits: waits.quantiles() })
      }
      next()
    })
  }
}

async function main({ role, port }: EchoMemberConfig): Promise<void> {
  const asker = role === 'asks' ? new Asker(port) : undefined
  await (asker?.ready() ?? answerAll(port))
  takeOrders((op, order) => {
    if (op === 'begin') resetPeak()
    if (op === 'report') return { peakMiB: peakMiB() }
    // All that was asked has been answered.
    if (op === 'settle') return { count: order.number('count'), endedAt: Date.now() }
    return op === 'write' && asker ? asker.write(order) : {}
  })
  answer('ready')
}

await main(JSON.parse(process.argv[2] ?? '{}') as EchoMemberConfig)
