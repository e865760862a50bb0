import test from 'ava'
import { createNodeRuntime } from '../../../lib/runtime/node-runtime.js'
import type { Stream, StreamHandlers } from '../../../lib/runtime/runtime.js'

test('random bytes have the length asked for and are not repeated', t => {
  const { random } = createNodeRuntime()
  const seen = new Set<string>()
  for (let n = 0; n < 1_000; n += 1) {
    const bytes = random.bytes(16)
    t.is(bytes.length, 16)
    seen.add(Buffer.from(bytes).toString('hex'))
  }
  t.is(seen.size, 1_000)
  t.is(random.bytes(10_000).length, 10_000)
  t.is(random.bytes(0).length, 0)
  for (let n = 0; n < 2_000; n += 1) {
    const value = random.uint32()
    t.true(Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff)
  }
})

test('the loopback interface is among the addresses', t => {
  const { network } = createNodeRuntime()
  t.true(network.addresses().some(({ address, internal }) => address === '127.0.0.1' && internal))
})

test('a multicast interface that does not exist is a ListenError that names it', async t => {
  const { network } = createNodeRuntime()
  const options = { port: 0, multicast: { address: '228.0.0.4', bind: '203.0.113.77' } }
  const error = await t.throwsAsync(network.bindDatagram(options, { message() {}, failed() {} }), {
    code: 'LISTEN_FAILED',
  })
  t.regex(error?.message ?? '', /203\.0\.113\.77/)
})

for (const borrows of [false, true]) {
  test(`bytes that came in ${borrows ? 'may be overwritten by the next where they are lent' : 'stay valid'}`, async t => {
    const { network } = createNodeRuntime()
    const read: { readonly accepted: Uint8Array[]; readonly dialled: Uint8Array[] } = { accepted: [], dialled: [] }
    let turn = (): void => {}
    const next = (): Promise<void> => new Promise(resolve => (turn = resolve))
    const into = (list: Uint8Array[]): StreamHandlers => ({
      borrows,
      data: bytes => {
        list.push(bytes)
        turn()
      },
      closed() {},
    })
    const accepted = new Promise<Stream>(resolve => {
      void network
        .listen({ host: '127.0.0.1', port: 0 }, stream => {
          resolve(stream)
          return into(read.accepted)
        })
        .then(listener => {
          dialled = network.connect(listener.endpoint, 2_000, into(read.dialled))
          dialled.write(Buffer.from('first'))
          t.teardown(() => listener.close())
        })
    })
    let dialled: Stream | undefined
    let came = next()
    const other = await accepted
    await came
    for (const [stream, text] of [
      [dialled, 'again'],
      [other, 'third'],
      [other, 'forth'],
    ] as const) {
      came = next()
      stream?.write(Buffer.from(text))
      await came
    }
    const texts = (list: Uint8Array[]): string[] => list.map(bytes => Buffer.from(bytes).toString())
    if (borrows) {
      t.is(new Set([...read.accepted, ...read.dialled].map(({ buffer }) => buffer)).size, 1)
      t.is(texts(read.dialled).at(-1), 'forth')
    } else {
      t.deepEqual(texts(read.accepted), ['first', 'again'])
      t.deepEqual(texts(read.dialled), ['third', 'forth'])
    }
    dialled?.destroy()
    other.destroy()
  })
}
