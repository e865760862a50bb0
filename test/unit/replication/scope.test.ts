import test from 'ava'
import type { Topic, TopicListener } from '../../../lib/channel/topic.js'
import { encodeMessage } from '../../../lib/replication/codec.js'
import { ReplicaScope, type ScopeEnvironment, type ScopeListener } from '../../../lib/replication/scope.js'
import { SmallMap } from '../../../lib/replication/small-map.js'
import type { Timer } from '../../../lib/runtime/runtime.js'
import { frames } from '../../../lib/wire/frame-space.js'

const other = { id: 'b'.repeat(32), name: 'b', host: '127.0.0.1', port: 2 }
const writes = new SmallMap([['x', Uint8Array.of(1)]])

interface Bench {
  readonly scope: ReplicaScope
  readonly topic: TopicListener
  /** Errors the sending side is to throw. */
  fault: Error | undefined
  tick(): void
}

/** A scope on a topic whose other end is the test. */
function open(listener?: ScopeListener): Bench {
  let topic: TopicListener | undefined
  let timer: (() => void) | undefined
  let now = 0
  const env: ScopeEnvironment = {
    clock: {
      wall: () => now,
      monotonic: () => now,
      soon: run => run(),
      setTimer: (delayMs, run): Timer => {
        timer = () => {
          now += delayMs
          run()
        }
        return { cancel: () => {} }
      },
    },
    random: { bytes: length => new Uint8Array(length), uint32: () => 0 },
    openTopic: given => {
      topic = given
      return {
        name: 'topic',
        local: { id: 'a'.repeat(32), name: 'a', host: '127.0.0.1', port: 1 },
        members: [],
        clusterTime: () => 1_000_000 + now,
        send: () => {
          if (bench.fault !== undefined) throw bench.fault
        },
        close: () => {},
      } satisfies Topic
    },
  }
  const bench: Bench = {
    scope: listener === undefined ? new ReplicaScope(env) : new ReplicaScope(env, {}, listener),
    topic: topic!,
    fault: undefined,
    tick: () => timer?.(),
  }
  while (!bench.scope.replica.ready) bench.tick()
  return bench
}

test('a listener that throws stops no merge, and its error is told', t => {
  const errors: unknown[][] = []
  const fault = new Error('of the application')
  const { scope, topic } = open({
    onChange: () => {
      throw fault
    },
    onReady: () => {
      throw fault
    },
    onError: (...error) => errors.push(error),
  })
  const { key } = scope.replica.create(writes)
  const stamp = { wallMs: 1_000_000, counter: 0, origin: other.id, seq: 1 }
  const delta = { kind: 'create' as const, key: `${other.id}#1`, stamp, deps: [], writes }
  t.is(topic.receive(encodeMessage({ kind: 'delta', delta }), other), 'applied')
  t.deepEqual(scope.replica.attribute(key, 'x'), Uint8Array.of(1))
  t.deepEqual(scope.replica.attribute(delta.key, 'x'), Uint8Array.of(1))
  t.like(scope.stats(), { records: 2, listenerErrors: 3, internalErrors: 0, unreadable: 0 })
  t.deepEqual(errors, Array(3).fill([fault, 'listener']))
})

test('bytes the protocol does not allow are no error of ours', t => {
  const { scope, topic } = open({ onError: error => t.fail(String(error)) })
  t.is(topic.receive(Uint8Array.of(0xff), other), 'rejected')
  t.like(scope.stats(), { unreadable: 1, internalErrors: 0 })
})

test('an error of our own gives up one message or tick, is counted and told, and the rest goes on', async t => {
  const errors: unknown[][] = []
  const bench = open({ onError: (...error) => errors.push(error) })
  const { scope, topic } = bench
  topic.memberAdded?.(other)
  bench.fault = new Error('a bug')
  t.is(topic.receive(encodeMessage({ kind: 'askDigest' }), other), 'rejected')
  t.is(scope.stats().internalErrors, 1)
  t.deepEqual(errors, [[bench.fault, 'internal']])
  bench.fault = undefined
  t.is(topic.receive(encodeMessage({ kind: 'askDigest' }), other), 'applied')
  t.is(scope.stats().internalErrors, 1)
})

test.serial('without onError the first ten errors are process warnings', async t => {
  const warnings: (Error & { code?: string })[] = []
  const note = (warning: Error): number => warnings.push(warning)
  // The usual listener would print them.
  const printers = process.listeners('warning')
  process.removeAllListeners('warning')
  process.on('warning', note)
  t.teardown(() => {
    process.off('warning', note)
    for (const printer of printers) process.on('warning', printer)
  })
  const { scope } = open({
    onChange: () => {
      throw new Error('of the application')
    },
  })
  for (let n = 0; n < 25; n++) scope.replica.create(writes)
  await new Promise(resolve => setImmediate(resolve))
  t.is(scope.stats().listenerErrors, 25)
  t.is(warnings.length, 10)
  t.like(warnings[0], { code: 'TRIBELINE_LISTENER_ERROR', message: 'of the application' })
})

test('nobody waits for a write in a scope that is closed', t => {
  const { scope, topic } = open()
  const id = 'b'.repeat(32)
  topic.memberAdded?.({ id, name: 'b', host: '127.0.0.1', port: 2 })
  const told: boolean[] = []
  scope.replica.catchUp({ origin: id, seq: 1 }, 250, here => told.push(here))
  t.deepEqual(told, [])
  scope.close()
  t.deepEqual(told, [false])
  scope.replica.catchUp({ origin: id, seq: 1 }, 250, here => told.push(here))
  t.deepEqual(told, [false, false])
})

test('while listeners hear of a write its bytes are in hand', t => {
  const heard: number[] = []
  const { scope } = open({ onChange: () => void heard.push(frames.inHand) })
  const before = frames.inHand
  scope.replica.create(writes)
  t.deepEqual([heard, frames.inHand], [[before + 1], before])
})
