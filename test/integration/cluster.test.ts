import { createServer } from 'node:net'
import test from 'ava'
import { addExtension, Packr } from 'msgpackr'
import sinon from 'sinon'
import {
  type ClusterOptions,
  createCluster,
  type Interceptor,
  InvalidOptionError,
  ListenError,
  type SessionCodec,
} from '../../lib/index.js'
import { loopbackGroup, until } from '../helpers/loopback-cluster.js'

const NO_ACK: ClusterOptions = { sessions: { ack: 'none' } }

test('a session written on one member is readable on all, and survives its writer', async t => {
  const join = loopbackGroup(t)
  const [a, b, c] = await Promise.all([join('a'), join('b'), join('c')])
  const session = a.sessions.create({ attributes: [['cart', ['tea']]] })
  session.set('user', { name: 'Ada', since: new Date(0) })
  const receipt = await a.sessions.commit(session, { copies: 'all' })
  t.is(receipt?.outcome, 'met')
  t.is(receipt?.applied, 2)
  a.channel.destroy()
  await until(() => b.members.length === 1 && c.members.length === 1)
  for (const survivor of [b, c]) {
    t.deepEqual(survivor.sessions.find(session.id)?.get('cart'), ['tea'])
    t.deepEqual(survivor.sessions.find(session.id)?.get('user'), { name: 'Ada', since: new Date(0) })
  }
})

test('a restarted member has everything when it has joined, and no ghost of it remains', async t => {
  const join = loopbackGroup(t)
  const [a, b] = await Promise.all([join('a'), join('b')])
  const port = a.channel.local.port
  const ids = Array.from({ length: 300 }, (_, i) => a.sessions.create({ attributes: [['n', i]] }).id)
  await until(() => b.sessions.size === 300)
  a.channel.destroy()
  const again = await join('a', { receiver: { port } })
  t.is(again.channel.local.port, port)
  t.deepEqual(
    ids.map(id => again.sessions.find(id)?.get('n')),
    ids.map((_, i) => i),
  )
  await until(() => b.members.length === 1 && b.members[0]?.id === again.channel.local.id)
})

test('the same attribute written on two members at the same moment ends equal, a thousand times', async t => {
  const join = loopbackGroup(t)
  const [a, b] = await Promise.all([join('a'), join('b')])
  const session = a.sessions.create()
  await until(() => b.sessions.size === 1)
  for (let i = 0; i < 1_000; i++) {
    const writes = [a, b].map(member => {
      const view = member.sessions.find(session.id)
      view?.set('seat', `${member.name}${i}`)
      return view && member.sessions.commit(view, { copies: 'all' })
    })
    const receipts = await Promise.all(writes)
    const [left, right] = [a, b].map(member => member.sessions.find(session.id)?.get('seat'))
    if (left !== right || receipts.some(receipt => receipt?.outcome !== 'met')) {
      t.log({ i, left, right, receipts })
      t.fail(`round ${i}: ${left} here, ${right} there`)
      return
    }
  }
  t.pass()
})

test('a session ended on one member is gone on all, whatever another writes at that moment', async t => {
  const join = loopbackGroup(t)
  const [a, b] = await Promise.all([join('a'), join('b')])
  const session = a.sessions.create({ attributes: [['n', 0]] })
  await until(() => b.sessions.size === 1)
  const other = b.sessions.find(session.id)
  other?.set('n', 1)
  const written = other && b.sessions.commit(other)
  await Promise.all([written, a.sessions.invalidate(session)])
  await until(() => a.sessions.size === 0 && b.sessions.size === 0)
  other?.set('n', 2)
  t.is(other && b.sessions.commit(other), undefined)
  t.is(b.sessions.find(session.id), undefined)
})

test('listeners are told what happened, and whether it happened here', async t => {
  const join = loopbackGroup(t)
  const [a, b] = await Promise.all([join('a'), join('b')])
  const here = sinon.spy()
  const there = sinon.spy()
  for (const event of ['created', 'changed', 'idChanged', 'destroyed'] as const) {
    a.sessions.on(event, ({ cause, ...rest }) => here(event, cause, 'reason' in rest ? rest.reason : undefined))
    b.sessions.on(event, ({ cause, ...rest }) => there(event, cause, 'reason' in rest ? rest.reason : undefined))
  }
  const session = a.sessions.create({ attributes: [['n', 1]] })
  session.set('n', 2)
  a.sessions.commit(session)
  session.changeId()
  a.sessions.invalidate(session)
  await until(() => there.callCount === 4)
  const told = (cause: string): unknown[][] => [
    ['created', cause, undefined],
    ['changed', cause, undefined],
    ['idChanged', cause, undefined],
    ['destroyed', cause, 'invalidated'],
  ]
  t.deepEqual(here.args, told('local'))
  t.deepEqual(there.args, told('remote'))
})

test('members find each other by a list, without multicast', async t => {
  const join = loopbackGroup(t)
  const a = await join('a', { membership: { service: 'static', members: [] } })
  const seed = `127.0.0.1:${a.channel.local.port}`
  const b = await join('b', { membership: { service: 'static', members: [seed] } })
  const c = await join('c', { membership: { service: 'static', members: [seed] } })
  await until(() => [a, b, c].every(member => member.members.length === 2))
  const map = a.map<number>('prices')
  await map.ready
  map.set('tea', 3)
  const copy = c.map<number>('prices')
  await copy.ready
  t.is(copy.get('tea'), 3)
})

test('a member of another group is not let in', async t => {
  const a = await loopbackGroup(t)('a', { membership: { service: 'static' } })
  const seed = `127.0.0.1:${a.channel.local.port}`
  const stranger = await loopbackGroup(t)('b', { membership: { service: 'static', members: [seed] } })
  t.is(stranger.members.length, 0)
  t.is(a.members.length, 0)
})

test('wrong options name themselves', async t => {
  await t.throwsAsync(createCluster({ name: 'a b' }), {
    instanceOf: InvalidOptionError,
    message: /^Option name must be/,
  })
  await t.throwsAsync(createCluster({ membership: { dropTime: 600, frequency: 500 } }), {
    message: 'Option membership.dropTime must be at least twice membership.frequency (500); got 600',
  })
  await t.throwsAsync(createCluster({ sessions: { copies: -1 } }), { message: /copies/ })
  await t.throwsAsync(createCluster({ replication: { ringbytes: 1 } as never }), { message: /ringbytes/ })
})

test('a port range that is full says so', async t => {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const join = loopbackGroup(t)
  const error = await t.throwsAsync(join('a', { receiver: { port, autoBind: 1 } }), { instanceOf: ListenError })
  t.regex(error?.message ?? '', new RegExp(`${port}`))
})

test('a multicast interface that does not exist says so', async t => {
  const join = loopbackGroup(t)
  const error = await t.throwsAsync(join('a', { membership: { bind: '192.0.2.1' } }), { instanceOf: ListenError })
  t.regex(error?.message ?? '', /192\.0\.2\.1/)
})

test('a client that goes from member to member finds what it wrote, also without acknowledgements', async t => {
  const join = loopbackGroup(t)
  const [a, b] = await Promise.all([join('a', NO_ACK), join('b', NO_ACK)])
  const { id } = a.sessions.create({ attributes: [['n', 0]] })
  await until(() => b.sessions.size === 1)
  let token = ''
  for (let n = 1; n <= 200; n++) {
    const here = n % 2 === 0 ? a : b
    if (token !== '') t.not(await here.sessions.whenCaughtUp(token, 5_000), false)
    const session = here.sessions.find(id)
    t.is(session?.get('n'), n - 1)
    session?.set('n', n)
    if (session !== undefined) here.sessions.commit(session)
    token = session?.writeToken ?? ''
  }
  t.is(a.sessions.whenCaughtUp('no token'), undefined)
  const unknown = token.replace(/\..*/, '.zzzzzz')
  t.is(await a.sessions.whenCaughtUp(unknown, 50), false)
})

test('a write that got lost on the way is asked for by whoever needs it', async t => {
  const join = loopbackGroup(t)
  let losing = false
  const interceptors: Interceptor[] = [
    { name: 'losing', receive: (message, from, next) => (losing ? 'rejected' : next(message, from)) },
  ]
  const a = await join('a', NO_ACK)
  const b = await join('b', { ...NO_ACK, interceptors })
  const session = a.sessions.create({ attributes: [['n', 1]] })
  await until(() => b.sessions.size === 1)
  losing = true
  session.set('n', 2)
  const receipt = await a.sessions.commit(session, { ack: 'applied' })
  t.is(receipt?.outcome, 'short')
  losing = false
  t.is(b.sessions.find(session.id)?.get('n'), 1)
  t.true(await b.sessions.whenCaughtUp(session.writeToken ?? '', 5_000))
  t.is(b.sessions.find(session.id)?.get('n'), 2)
})

test('a member that has left stores nothing more, and says so', async t => {
  const join = loopbackGroup(t)
  const [a, b] = await Promise.all([join('a'), join('b')])
  const session = a.sessions.create({ attributes: [['n', 1]] })
  await until(() => b.sessions.size === 1)
  await a.leave()
  session.set('n', 2)
  t.throws(() => a.sessions.commit(session), { code: 'INVALID_STATE' })
  t.throws(() => session.invalidate(), { code: 'INVALID_STATE' })
  t.is(b.sessions.find(session.id)?.get('n'), 1)
})

test('a codec that knows a class keeps its instances what they are', async t => {
  class Money {
    readonly cents: number
    constructor(cents: number) {
      this.cents = cents
    }
  }
  addExtension({
    Class: Money,
    type: 1,
    write: ({ cents }: Money) => cents,
    read: (cents: number) => new Money(cents),
  })
  const packr = new Packr({ structuredClone: true, moreTypes: true, mapsAsObjects: false })
  const codec: SessionCodec = { encode: value => packr.pack(value), decode: bytes => packr.unpack(bytes) }
  const join = loopbackGroup(t)
  const [a, b] = await Promise.all([join('a', { codec }), join('b', { codec })])
  await until(() => a.members.length === 1 && b.members.length === 1)
  const session = a.sessions.create().set('cart', new Map([['total', new Money(995)]]))
  await a.sessions.commit(session, { ack: 'applied' })
  const cart = b.sessions.find(session.id)?.get<Map<string, Money>>('cart')
  t.true(cart?.get('total') instanceof Money)
  t.is(cart?.get('total')?.cents, 995)
})

test('another codec for values, the same on every member', async t => {
  const codec: SessionCodec = {
    encode: value => new Uint8Array(Buffer.from(JSON.stringify(value))),
    decode: bytes => JSON.parse(Buffer.from(bytes).toString()),
  }
  const join = loopbackGroup(t)
  const [a, b] = await Promise.all([join('a', { codec }), join('b', { codec })])
  const { id } = a.sessions.create({ attributes: [['cart', { apples: 2 }]] })
  await until(() => b.sessions.size === 1)
  t.deepEqual(b.sessions.find(id)?.get('cart'), { apples: 2 })
  const broken = {} as SessionCodec
  await t.throwsAsync(createCluster({ codec: broken }), { instanceOf: InvalidOptionError, message: /codec/ })
})
