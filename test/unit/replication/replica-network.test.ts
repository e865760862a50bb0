import test from 'ava'
import { runLossyNetwork } from './lossy-network.js'

for (const first of [1, 21, 41]) {
  test(`copies converge and keep their promises on a lossy network: seeds ${first} to ${first + 19}`, t => {
    const total: Record<string, number> = {}
    for (let seed = first; seed < first + 20; seed++) {
      for (const [name, value] of Object.entries(runLossyNetwork(seed))) total[name] = (total[name] ?? 0) + value
    }
    for (const name of ['acked', 'crashes', 'partitions', 'pauses', 'expired', 'reconciles', 'pulls', 'fetches']) {
      t.true(total[name]! > 0, name)
    }
  })
}

test('one seed is one run', t => {
  t.deepEqual(runLossyNetwork(7), runLossyNetwork(7))
})

for (const rule of ['checkDeps', 'ruleR', 'claimV0Last', 'absorbingInvalidate', 'digestRanges'] as const) {
  test(`the network test notices a broken rule: ${rule}`, t => {
    t.throws(() => {
      for (let seed = 1; seed <= 150; seed++) runLossyNetwork(seed, { [rule]: false })
    })
  })
}
