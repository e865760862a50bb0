import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { createNodeRuntime } from '../../lib/runtime/node-runtime.js'
import { Connection } from '../../lib/transport/connection.js'
import { frames } from '../../lib/wire/frame-space.js'

// So small that it is written again all the time.
frames.chunkBytes = 8_192

const SENT_BYTES = 12_000_000

test('what a socket is given arrives as it was, though its memory is written again meanwhile', async t => {
  const got: Buffer[] = []
  const server = createServer({ pauseOnConnect: true }, socket => {
    socket.on('data', bytes => {
      got.push(Buffer.from(bytes))
      // The system is full again and again, and takes a part of what it is given.
      socket.pause()
      setImmediate(() => socket.resume())
    })
    socket.on('end', () => server.emit('over'))
    server.emit('accepted', socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { clock, network } = createNodeRuntime()
  const connection = new Connection(clock, { frameLimitBytes: 1_000_000 }, { frame() {}, closed() {} })
  const { port } = server.address() as AddressInfo
  const accepted = once(server, 'accepted')
  const over = once(server, 'over')
  connection.attach(network.connect({ host: '127.0.0.1', port }, 3_000, connection.streamHandlers))
  const sent: Buffer[] = []
  const memories = new Set<ArrayBufferLike>()
  let [total, full, number] = [0, 0, 0]
  const [socket] = await accepted
  while (total < SENT_BYTES) {
    for (let n = 0; n < 50 && !connection.congested; n++) {
      const length = 20 + ((number * 7_919) % 1_900)
      const frame = frames.room(length).view(length)
      for (let at = 0; at < length; at++) frame[at] = number * 31 + at
      memories.add(frame.buffer)
      sent.push(Buffer.from(frame))
      total += length
      number++
      if (number % 5 === 0) connection.send(frame)
      else connection.write(frame)
    }
    // Of others, whom nobody waits for.
    for (let n = 0; n < 20; n++) frames.room(300).view(300).fill(0xee)
    if (connection.congested) {
      full++
      socket.resume()
    }
    await turn()
  }
  connection.end()
  socket.resume()
  await over
  server.close()
  t.is(Buffer.compare(Buffer.concat(got), Buffer.concat(sent)), 0)
  t.true(full > 0)
  t.true(memories.size < number / 8, `${memories.size} chunks for ${number} frames`)
})
