import test from 'ava'
import { CatchUp } from '../../../lib/replication/catch-up.js'
import type { Dot } from '../../../lib/replication/replica-contract.js'

const A = 'a'.repeat(32)
const B = 'b'.repeat(32)
const dot = (seq: number, origin = A): Dot => ({ origin, seq })

function bench(present: string[] = [A, B]) {
  const seen = new Set<string>()
  const pulled: [readonly string[], Dot][] = []
  const told: [string, boolean][] = []
  const state = { now: 0 }
  const catchUp = new CatchUp({
    monotonic: () => state.now,
    seen: ({ origin, seq }) => seen.has(`${origin}#${seq}`),
    present: () => present,
    writer: origin => present.find(id => id === origin),
    pull: (from, one) => pulled.push([from, one]),
  })
  const wait = (name: string, one: Dot, timeoutMs = 250): void =>
    catchUp.wait(one, timeoutMs, here => told.push([name, here]))
  const merge = (one: Dot): void => {
    seen.add(`${one.origin}#${one.seq}`)
  }
  return { catchUp, wait, merge, pulled, told, state }
}

test('what is here is not waited for', t => {
  const { catchUp, wait, merge, pulled, told } = bench()
  merge(dot(1))
  wait('x', dot(1))
  t.deepEqual(told, [['x', true]])
  t.deepEqual(pulled, [])
  t.is(catchUp.waits, 0)
})

test('a delta that is missing is asked of its writer once, and everybody who waits is told', t => {
  const { catchUp, wait, merge, pulled, told } = bench()
  wait('x', dot(5))
  wait('y', dot(5))
  t.deepEqual(pulled, [[[A], dot(5)]])
  catchUp.merged(dot(4))
  t.deepEqual(told, [])
  merge(dot(5))
  catchUp.merged(dot(5))
  t.deepEqual(told, [
    ['x', true],
    ['y', true],
  ])
  t.is(catchUp.size, 0)
})

test('a delta of somebody who is gone is asked of all', t => {
  const { wait, pulled } = bench([B])
  wait('x', dot(5))
  t.deepEqual(pulled, [[[B], dot(5)]])
})

test('time is up for each one by itself', t => {
  const { catchUp, wait, told, state } = bench()
  wait('short', dot(5), 100)
  wait('long', dot(5), 300)
  state.now = 150
  catchUp.tick()
  t.deepEqual(told, [['short', false]])
  state.now = 300
  catchUp.tick()
  t.deepEqual(told.at(-1), ['long', false])
  t.is(catchUp.timeouts, 2)
  t.is(catchUp.size, 0)
})

test('alone, or with too many waiting already, nobody waits', t => {
  const alone = bench([])
  alone.wait('x', dot(1))
  t.deepEqual(alone.told, [['x', false]])
  const full = bench()
  for (let seq = 1; seq <= 4_096; seq++) full.wait(String(seq), dot(seq))
  t.deepEqual(full.told, [])
  full.wait('too many', dot(9_999))
  t.deepEqual(full.told, [['too many', false]])
})

test('what comes in by a comparison is noticed as well', t => {
  const { catchUp, wait, merge, told } = bench()
  wait('x', dot(7))
  merge(dot(7))
  catchUp.merged(undefined)
  t.deepEqual(told, [['x', true]])
})

test('who waits when the copy is closed is told at once, and so is whoever comes later', t => {
  const { catchUp, wait, pulled, told } = bench()
  wait('x', dot(5))
  wait('y', dot(6))
  catchUp.close()
  wait('z', dot(7))
  t.deepEqual(told, [
    ['x', false],
    ['y', false],
    ['z', false],
  ])
  t.deepEqual([catchUp.size, catchUp.timeouts, pulled.length], [0, 3, 2])
})
