import test from 'ava'
import type { Channel } from '../../lib/channel/channel.js'
import type { AckMode, Topic } from '../../lib/channel/topic.js'
import { createChannel } from '../../lib/cluster.js'
import { SimCluster } from '../../lib/testing/sim-cluster.js'
import { ackNumber } from '../../lib/transport/types.js'
import { frames } from '../../lib/wire/frame-space.js'
import { messageRoom } from '../../lib/wire/hot-frames.js'

// As small as can be, so that it is written again all the time.
frames.chunkBytes = 4_096

const TOPIC = 'numbers'
const SENT = 1_500

/** Bytes that say which message of whom they are, everywhere. */
function fill(bytes: Uint8Array, sender: number, number: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  view.setUint32(0, sender)
  view.setUint32(4, number)
  for (let at = 8; at < bytes.length; at++) bytes[at] = sender + number + at
  return bytes
}

/** Says what is wrong with messages that did not come as they went. */
class Audience {
  readonly faults: string[] = []
  readonly #next = [0, 0, 0]

  hear(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const sender = view.getUint32(0)
    const number = view.getUint32(4)
    if (number !== this.#next[sender]) this.faults.push(`${number} of ${sender} instead of ${this.#next[sender]}`)
    this.#next[sender] = number + 1
    const at = bytes.findIndex((byte, place) => place >= 8 && byte !== ((sender + number + place) & 255))
    if (at !== -1) this.faults.push(`byte ${at} of ${bytes.length} of ${number} of ${sender}`)
  }
}

for (const seed of [1, 2, 3]) {
  test(`what waits in the process is sent as it was made, seed ${seed}`, async t => {
    const sim = new SimCluster<Channel>({
      seed,
      network: { limits: { highWaterBytes: 3_000, windowBytes: 10_000 } },
      launch: async ({ name, runtime }) => {
        const channel = createChannel({ name, group: 'frames', runtime, membership: { dropTime: 60_000 } })
        await channel.start()
        return channel
      },
    })
    const channels = await sim.started('a', 'b', 'c')
    await sim.runUntil(() => channels.every(({ members }) => members.length === 2), { within: 20_000 })
    const random = sim.sim.random.fork('messages')
    const audience = channels.map(() => new Audience())
    const outcomes = new Map<string, number>()
    const sent = [0, 0, 0]
    const topics: Topic[] = channels.map((channel, place) =>
      channel.topic(TOPIC, {
        borrows: true,
        receive: payload => {
          audience[place]?.hear(payload)
          // Within the call of another.
          if (random.chance(0.1)) say(place)
          return 'applied'
        },
      }),
    )
    /** As replication does it: written into a frame, in memory of its own, or with something large behind it. */
    function say(sender: number): void {
      const number = sent[sender] ?? 0
      if (number >= SENT) return
      sent[sender] = number + 1
      const ack = random.pick<AckMode>(['none', 'received', 'applied'])
      const length = random.chance(0.05) ? random.between(8_192, 12_000) : random.between(8, 900)
      const settled = (receipt: { outcome: string }): void => {
        outcomes.set(receipt.outcome, (outcomes.get(receipt.outcome) ?? 0) + 1)
        // Told within `send`, or when an acknowledgement comes in.
        if (random.chance(0.1)) say(sender)
      }
      const options = { ack, timeoutMs: 600_000 }
      const way = random.between(1, 3)
      if (way === 1 && length < 8_192) {
        const room = messageRoom(TOPIC, ackNumber(ack), length)
        topics[sender]?.send(fill(room.view(length), sender, number), options, settled)
        return
      }
      const bytes = fill(new Uint8Array(length), sender, number)
      if (way === 2) return topics[sender]?.send(bytes, options, settled)
      const split = random.between(8, Math.min(length, 1_000))
      const begin = frames.room(split).view(split)
      begin.set(bytes.subarray(0, split))
      topics[sender]?.send(begin, { ...options, rest: [bytes.subarray(split)] }, settled)
    }
    while (sent.some(count => count < SENT)) {
      for (const place of topics.keys()) for (let n = random.between(0, 30); n > 0; n--) say(place)
      const stalling = random.chance(0.1) ? random.pick(['a', 'b', 'c']) : undefined
      if (stalling !== undefined) sim.pause(stalling)
      await sim.run(random.between(0, 30))
      if (stalling !== undefined) sim.resume(stalling)
    }
    await sim.runUntil(() => [...outcomes.values()].reduce((sum, count) => sum + count, 0) === 3 * SENT, {
      within: 600_000,
      what: 'all receipts are told',
    })
    await sim.run(60_000)
    t.deepEqual(
      audience.map(({ faults }) => faults.slice(0, 3)),
      [[], [], []],
    )
    t.deepEqual([...outcomes], [['met', 3 * SENT]])
    for (const { name } of sim.members) sim.crash(name)
    await sim.run(100)
  })
}
