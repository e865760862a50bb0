import test from 'ava'
import { createNodeRuntime } from '../../../lib/runtime/node-runtime.js'

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
