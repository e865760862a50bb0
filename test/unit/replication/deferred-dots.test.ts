import test from 'ava'
import { DeferredDots } from '../../../lib/replication/deferred-dots.js'

const [A, B] = ['a'.repeat(32), 'b'.repeat(32)] as const

test('a record contains of what was left out what its context reaches', t => {
  const deferred = new DeferredDots()
  for (const seq of [3, 5, 9]) deferred.add('k', { origin: A, seq })
  deferred.add('k', { origin: B, seq: 1 })
  deferred.add('other', { origin: A, seq: 4 })
  t.deepEqual(deferred.take('k', [[A, 5]]), [
    { origin: A, seq: 3 },
    { origin: A, seq: 5 },
  ])
  t.deepEqual(deferred.take('k', [[A, 9]]), [], 'the rest is not kept')
  t.deepEqual(deferred.take('other', [[A, 9]]), [{ origin: A, seq: 4 }])
})

test('so many are remembered, and again as many when these are taken', t => {
  const deferred = new DeferredDots()
  for (let seq = 1; seq <= 70_000; seq++) deferred.add('k', { origin: A, seq })
  t.is(deferred.take('k', [[A, 70_000]]).length, 65_536)
  deferred.add('k', { origin: A, seq: 1 })
  t.is(deferred.take('k', [[A, 1]]).length, 1)
  deferred.add('k', { origin: A, seq: 1 })
  deferred.clear()
  t.deepEqual(deferred.take('k', [[A, 1]]), [])
})
