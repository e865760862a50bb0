import test from 'ava'
import type { DeliveryOutcome } from '../../lib/channel/topic.js'
import type { Member } from '../../lib/membership/member.js'
import { createNodeRuntime } from '../../lib/runtime/node-runtime.js'
import type { StreamEnd } from '../../lib/runtime/runtime.js'
import { ChannelReceiver, type ReceiverOptions } from '../../lib/transport/channel-receiver.js'
import { ChannelSender, type SenderOptions } from '../../lib/transport/channel-sender.js'
import type { DialResult, MemberOutcome } from '../../lib/transport/types.js'
import type { ConnectionPurpose, Frame, Hello } from '../../lib/wire/messages.js'

const runtime = createNodeRuntime()
// Nothing of the library keeps the process alive, so the tests do.
const alive = setInterval(() => {}, 60_000)
test.after.always(() => clearInterval(alive))

const none = (): Promise<void> => new Promise(resolve => setTimeout(resolve, 2))

async function until(condition: () => boolean): Promise<void> {
  for (let n = 0; n < 5_000; n += 1) {
    if (condition()) return
    await none()
  }
  throw new Error('It did not come to that')
}

class Node {
  member: Member
  readonly receiver: ChannelReceiver
  readonly sender: ChannelSender
  readonly messages: string[] = []
  readonly ended: StreamEnd[] = []
  readonly control: Frame[] = []
  readonly refills: { keys: number; lost: boolean }[] = []
  outcome: (text: string) => DeliveryOutcome = () => 'applied'
  received = 0

  constructor(name: string, sender: SenderOptions = {}, receiver: ReceiverOptions = {}) {
    const id = Buffer.from(runtime.random.bytes(16)).toString('hex')
    this.member = { id, name, host: '127.0.0.1', port: 1 }
    const greeting = { incarnation: 0, clusterTime: 1, clockSettled: true }
    this.receiver = new ChannelReceiver(
      runtime,
      { address: '127.0.0.1', port: 0, ...receiver },
      {
        hello: () => ({ kind: 'welcome', protocol: 1, member: this.member, ...greeting, known: [] }),
        message: (_topic, payload) => {
          this.received += 1
          const text = Buffer.from(payload.subarray(0, 20)).toString()
          if (this.messages.length < 1_000) this.messages.push(text)
          return this.outcome(text)
        },
        control: frame => void this.control.push(frame),
        ended: (_member, end) => void this.ended.push(end),
        clusterTime: () => 42,
      },
    )
    this.sender = new ChannelSender(runtime, sender, {
      ended: (_member, end) => void this.ended.push(end),
      control: frame => void this.control.push(frame),
      refill: (_member, _topic, keys, lost) => void this.refills.push({ keys: keys.size, lost }),
      hello: purpose => this.hello(purpose),
    })
  }

  hello(purpose: ConnectionPurpose): Hello {
    const { member } = this
    return {
      kind: 'hello',
      protocolMin: 1,
      protocolMax: 1,
      group: 'test',
      purpose,
      member,
      incarnation: 0,
      clusterTime: 1,
      clockSettled: true,
    }
  }

  async start(): Promise<this> {
    const { port } = await this.receiver.start()
    this.member = { ...this.member, port }
    return this
  }

  stop(): void {
    this.sender.stop()
    this.receiver.stop()
  }
}

const bytes = (text: string): Uint8Array => Buffer.from(text)

test('acknowledgements say applied, rejected and deferred for the right messages, in order', async t => {
  const a = await new Node('a').start()
  const b = await new Node('b').start()
  b.outcome = text => (text === 'm3' ? 'rejected' : text === 'm5' ? 'deferred' : 'applied')
  a.sender.addMember(b.member)
  const outcomes: string[] = []
  for (let n = 0; n < 8; n += 1) {
    const ack = n === 0 ? 'none' : n === 1 ? 'received' : 'applied'
    a.sender.send([b.member], { topic: 't', payload: bytes(`m${n}`), ack }, (_member, outcome, final) =>
      outcomes.push(`${n}:${outcome}:${final}`),
    )
  }
  await until(() => outcomes.length === 7)
  t.deepEqual(b.messages, ['m0', 'm1', 'm2', 'm3', 'm4', 'm5', 'm6', 'm7'])
  t.deepEqual(outcomes, [
    '1:received:true',
    '2:applied:true',
    '3:rejected:true',
    '4:applied:true',
    '5:deferred:true',
    '6:applied:true',
    '7:applied:true',
  ])
  t.is(a.sender.stats().unacknowledged, 0)
  t.true(b.receiver.stats().acks < 7)
  a.stop()
  b.stop()
})

test('dial keeps the control connection for addMember; echo, control frames and probes work over it', async t => {
  const a = await new Node('a').start()
  const b = await new Node('b').start()
  const result = await new Promise<DialResult>(resolve =>
    a.sender.dial(b.receiver.endpoint as never, 'control', resolve),
  )
  t.is(result.kind, 'welcome')
  a.sender.addMember(b.member)
  const answer = await new Promise<{ clusterTime: number } | undefined>(resolve =>
    a.sender.echo(b.member.id, 2_000, resolve),
  )
  t.is(answer?.clusterTime, 42)
  t.is(b.receiver.stats().accepted, 1)
  t.true(a.sender.sendControl(b.member.id, { kind: 'goodbye', member: a.member.id }))
  await until(() => b.control.length === 1)
  const probe = await new Promise<string>(resolve =>
    a.sender.probe(b.receiver.endpoint as never, 2_000, (what, id) => resolve(`${what} ${id === b.member.id}`)),
  )
  t.is(probe, 'answered true')
  const endpoint = b.receiver.endpoint as never
  b.stop()
  await until(() => a.ended.length > 0)
  t.is(await new Promise<string>(resolve => a.sender.probe(endpoint, 2_000, resolve)), 'refused')
  a.stop()
})

test('a receiver that goes away settles what is under way as disappeared and is told', async t => {
  const a = await new Node('a').start()
  const b = await new Node('b').start()
  a.sender.addMember(b.member)
  const outcomes: MemberOutcome[] = []
  b.outcome = () => {
    b.receiver.stop()
    return 'applied'
  }
  a.sender.send([b.member], { topic: 't', payload: bytes('x'), ack: 'applied' }, (_member, outcome) =>
    outcomes.push(outcome),
  )
  await until(() => outcomes.length === 1 && a.ended.length > 0)
  t.deepEqual(outcomes, ['disappeared'])
  a.sender.send([b.member], { topic: 't', payload: bytes('y'), ack: 'applied' }, (_member, outcome) =>
    outcomes.push(outcome),
  )
  a.sender.removeMember(b.member.id, 'disappeared')
  t.deepEqual(outcomes, ['disappeared', 'disappeared'])
  a.stop()
})

test('a reader that does not read: memory stays bounded, others are not delayed, refill follows', async t => {
  const a = await new Node('a', { queueLimitBytes: 1_000_000 }).start()
  const fast = await new Node('fast').start()
  let hold: import('../../lib/runtime/runtime.js').Stream | undefined
  const slow = await new Node('slow').start()
  // In front of the slow member stands a gate that takes bytes only when told.
  const gate = await runtime.network.listen({ host: '127.0.0.1', port: 0 }, stream => {
    const inner = runtime.network.connect(slow.receiver.endpoint as never, 2_000, {
      data: chunk => void stream.write(chunk),
      closed: () => stream.destroy(),
    })
    let count = 0
    return {
      data: chunk => {
        inner.write(chunk)
        count += chunk.length
        if (count > 10_000 && hold === undefined) {
          hold = stream
          stream.pause()
        }
      },
      closed: () => inner.destroy(),
    }
  })
  slow.member = { ...slow.member, port: gate.endpoint.port }
  a.sender.addMember(slow.member)
  a.sender.addMember(fast.member)
  const payload = new Uint8Array(256)
  let full = 0
  let most = 0
  for (let n = 0; n < 100_000; n += 1) {
    const message = { topic: 't', payload, ack: 'none', key: `k${n % 500}` } as const
    a.sender.send([slow.member, fast.member], message, (member, outcome) => {
      if (member.id === slow.member.id && outcome === 'queue-full') full += 1
      else t.fail(`${outcome} for the fast one`)
    })
    if (n % 200 !== 199) continue
    most = Math.max(most, a.sender.stats().queuedBytes)
    await until(() => fast.received > n - 2_000)
  }
  await until(() => fast.received === 100_000)
  t.true(full > 0)
  t.true(most <= 2_100_000)
  t.deepEqual(a.refills, [])
  t.true(a.sender.stats().dirtyKeys <= 500)
  hold?.resume()
  await until(() => a.refills.length > 0)
  t.is(a.sender.stats().queuedBytes, 0)
  t.true((a.refills[0]?.keys ?? 0) > 0)
  t.false(a.refills[0]?.lost)
  await until(() => slow.received === 100_000 - full)
  gate.close()
  for (const node of [a, fast, slow]) node.stop()
})

test('garbage, a message before the welcome and a second hello are counted and closed', async t => {
  const b = await new Node('b').start()
  const { encodeFrame } = await import('../../lib/wire/codec.js')
  const message = encodeFrame({ kind: 'message', topic: 't', ack: 0, payload: new Uint8Array(1) })
  const hello = encodeFrame(b.hello('data'))
  const inputs = [Buffer.from('GET / HTTP/1.1\r\n\r\n'), message, Buffer.concat([hello, hello])]
  let closed = 0
  for (const input of inputs) {
    const stream = runtime.network.connect(b.receiver.endpoint as never, 2_000, {
      data() {},
      closed: () => void (closed += 1),
    })
    stream.write(input)
  }
  await until(() => closed === inputs.length)
  t.is(b.receiver.stats().badFrames, 3)
  t.is(b.receiver.stats().dropped, 0)
  await until(() => b.receiver.stats().connections === 0)
  t.is(b.receiver.stats().strangers, 0)
  t.is(b.received, 0)
  b.stop()
})

test('who connects and says nothing is dropped', async t => {
  const b = await new Node('b', {}, { helloTimeoutMs: 50 }).start()
  let closed = false
  runtime.network.connect(b.receiver.endpoint as never, 2_000, { data() {}, closed: () => void (closed = true) })
  await until(() => closed)
  t.is(b.receiver.stats().dropped, 1)
  t.is(b.receiver.stats().badFrames, 0)
  b.stop()
})

test('the next port is taken when one is in use, and a full range is a clear error', async t => {
  const first = await new Node('a').start()
  const { port } = first.member
  const second = new ChannelReceiver(runtime, { address: '127.0.0.1', port, autoBind: 1 }, {} as never)
  const error = await t.throwsAsync(second.start(), { code: 'LISTEN_FAILED' })
  t.regex(error?.message ?? '', new RegExp(`from ${port} to ${port}`))
  const third = new ChannelReceiver(runtime, { address: '127.0.0.1', port, autoBind: 50 }, {} as never)
  t.true((await third.start()).port > port)
  third.stop()
  first.stop()
})
