import test from 'ava'
import { CounterNodes } from '../balancers/counter-nodes.js'
import { roundRobin } from '../balancers/round-robin.js'

const NONE_WRONG = { staleReads: 0, lostUpdates: 0, errors: 0, sessionsThatDiffer: 0 }

for (const delayMs of [0, 50]) {
  test.serial(
    `clients that change the process with every request miss nothing, ${delayMs} ms apart, unacknowledged`,
    async t => {
      const nodes = await CounterNodes.start(['a', 'b', 'c'], {
        ack: 'none',
        catchUpMs: 5_000,
        hasToken: true,
        delayMs,
      })
      try {
        const outcome = await roundRobin({ sessions: 20, requests: 400, ports: nodes.ports, nodePorts: nodes.ports })
        t.deepEqual(outcome.wrong, NONE_WRONG)
        const { waits, refusedTokens } = await nodes.stats()
        t.true(delayMs === 0 || waits > 100)
        t.is(refusedTokens, 0)
      } finally {
        await nodes.stop()
      }
    },
  )
}
