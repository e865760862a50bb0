import { createNodeRuntime } from '../../lib/runtime/node-runtime.js'
import { networkConformance } from './network-suite.js'

networkConformance('node', () => {
  // Nothing the runtime makes keeps the process alive, so the test does.
  const alive = setInterval(() => {}, 60_000)
  return {
    runtimes: [createNodeRuntime(), createNodeRuntime()],
    hosts: ['127.0.0.1', '127.0.0.1'],
    settle: () => new Promise(resolve => setTimeout(resolve, 2)),
    multicast: { address: '228.0.0.4', bind: ['127.0.0.1', '127.0.0.1'] },
    dispose: () => clearInterval(alive),
  }
})
