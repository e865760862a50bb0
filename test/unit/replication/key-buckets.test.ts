import test from 'ava'
import fc from 'fast-check'
import { KeyBuckets } from '../../../lib/replication/key-buckets.js'

const BUCKETS = 3

test('buckets hold what a set per bucket would', t => {
  const step = fc.record({ kind: fc.constantFrom('toggle', 'toggle', 'toggle', 'look'), key: fc.nat(40) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), steps => {
      const model = new Set<string>()
      const buckets = new KeyBuckets(BUCKETS, key => model.has(key))
      for (const { kind, key } of steps) {
        const bucket = key % BUCKETS
        const text = `key${key}`
        if (kind === 'toggle' && !model.has(text)) {
          model.add(text)
          buckets.add(bucket, text)
        } else if (kind === 'toggle') {
          model.delete(text)
          buckets.delete(bucket, text)
        } else {
          const wanted = [...model].filter(other => Number(other.slice(3)) % BUCKETS === bucket)
          if ([...buckets.keys(bucket)].sort().join() !== wanted.sort().join()) return false
          if (key % 2 === 0 && buckets.sorted(bucket).join() !== wanted.join()) return false
          if (buckets.size(bucket) !== wanted.length) return false
        }
      }
      return true
    }),
  )
  t.pass()
})

test('what came and went is not kept', t => {
  const held = new Set<string>()
  let asked = 0
  const buckets = new KeyBuckets(1, key => {
    asked++
    return held.has(key)
  })
  for (let i = 0; i < 10_000; i++) {
    held.add(`${i}`)
    buckets.add(0, `${i}`)
    if (i < 5) continue
    held.delete(`${i - 5}`)
    buckets.delete(0, `${i - 5}`)
  }
  t.is(buckets.size(0), 5)
  t.true(asked < 30_000)
  asked = 0
  t.is(buckets.keys(0).length, 5)
  t.true(asked < 100)
})
