import test from 'ava'
import { createAjpServer } from '../../lib/ajp/index.js'
import { dispatch } from '../../lib/channel/interceptors/dispatch.js'
import { tcpFailureDetector } from '../../lib/channel/interceptors/tcp-failure-detector.js'
import { throughput } from '../../lib/channel/interceptors/throughput.js'
import { createCluster } from '../../lib/cluster.js'
import { resolveDrainOptions } from '../../lib/cluster-drain.js'
import { type ClusterOptions, resolveClusterOptions } from '../../lib/cluster-options.js'
import { InvalidOptionError } from '../../lib/errors.js'
import { flag, oneOf, type RulesOf, resolve, text, wholeNumber } from '../../lib/options.js'
import { resolveReplicaOptions } from '../../lib/replication/replica-options.js'
import { ALL_RULES } from '../../lib/replication/replication-rules.js'
import { resolveDeltaManagerOptions } from '../../lib/session/delta-manager-options.js'

interface Options {
  readonly name: string
  readonly receiver: { readonly port: number; readonly fast: boolean }
  readonly ack: 'none' | 'received' | 'applied'
}

const rules: RulesOf<Options> = {
  name: text('node', /^[a-z]+$/, 'lower-case letters'),
  receiver: { port: wholeNumber(4000, 0, 65_535), fast: flag(false) },
  ack: oneOf('none', 'none', 'received', 'applied'),
}

test('what is not given gets its default, and the result is frozen', t => {
  const options = resolve(rules, { receiver: { port: 0 } })
  t.deepEqual(options, { name: 'node', receiver: { port: 0, fast: false }, ack: 'none' })
  t.true(Object.isFrozen(options) && Object.isFrozen(options.receiver))
})

const refused: readonly [string, unknown, RegExp][] = [
  ['an unknown name', { prot: 1 }, /^Option prot must be one of the known names \(name, receiver, ack\); got 1$/],
  ['a nested unknown name', { receiver: { prt: 1 } }, /^Option receiver\.prt must be one of the known names/],
  ['a name every object has', { toString: 1 }, /^Option toString must be one of the known names/],
  [
    'a number out of range',
    { receiver: { port: 70_000 } },
    /^Option receiver\.port must be a whole number from 0 to 65535; got 70000$/,
  ],
  ['a fraction', { receiver: { port: 0.5 } }, /^Option receiver\.port must be a whole number .*; got 0\.5$/],
  ['an endless number', { receiver: { port: Number.POSITIVE_INFINITY } }, /got Infinity$/],
  ['a number as text', { receiver: { port: '4000' } }, /got "4000"$/],
  ['a big integer', { receiver: { port: 4000n } }, /got 4000n$/],
  ['a function', { receiver: { port: () => 4000 } }, /got a function$/],
  ['not a number', { receiver: { port: Number.NaN } }, /got NaN$/],
  ['null for a value', { receiver: { port: null } }, /^Option receiver\.port must be .*; got null$/],
  ['null for a block', { receiver: null }, /^Option receiver must be an object; got null$/],
  ['a value outside the list', { ack: 'all' }, /^Option ack must be one of 'none', 'received', 'applied'; got "all"$/],
  ['text of another form', { name: 'A b' }, /^Option name must be lower-case letters; got "A b"$/],
  ['text without end, cut short', { name: 'A'.repeat(1e6) }, /got "A{80}…"$/],
  ['a list for a block', { receiver: [] }, /^Option receiver must be an object; got an array$/],
]

for (const [title, given, message] of refused) {
  test(`refused in one sentence: ${title}`, t => {
    const error = t.throws(() => resolve(rules, given as never), { instanceOf: InvalidOptionError })
    t.regex(error.message, message)
    t.is(error.code, 'INVALID_OPTION')
  })
}

const cluster = (options: ClusterOptions = {}): unknown => resolveClusterOptions(options, 'node-1')
const defaults = resolveClusterOptions({}, 'node-1')

/** Neither a number that counts something, nor text, nor a block; and each is something people do give. */
const NONSENSE: readonly unknown[] = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  null,
  '',
  'x y',
  [],
  {},
  -1.5,
  1n,
  () => 1,
]

/** Every option there is, by its dotted name and with its default; lists count as values. */
function* leaves(tree: object, path = ''): Generator<readonly [path: string, value: unknown]> {
  for (const [name, value] of Object.entries(tree)) {
    if (typeof value === 'object' && !Array.isArray(value)) yield* leaves(value, `${path}${name}.`)
    else yield [path + name, value]
  }
}

function nest(path: string, value: unknown): object {
  return path
    .split('.')
    .reverse()
    .reduce<unknown>((inner, name) => ({ [name]: inner }), value) as object
}

const { interceptors: _interceptors, ...channel } = defaults.channel
const everyOption = [
  ...leaves(channel),
  ...leaves({ replication: defaults.replication }),
  ...leaves({ sessions: defaults.sessions }),
]

const isList = (value: unknown): boolean => Array.isArray(value)
const isFunction = (value: unknown): boolean => typeof value === 'function'

/** What is nonsense elsewhere. */
const MAKES_SENSE: Readonly<Record<string, (value: unknown) => boolean>> = {
  'membership.members': isList,
  'sessions.merge': isFunction,
  'sessions.exclude': value => isList(value) || isFunction(value) || typeof value === 'string',
  'sessions.application': value => value === '',
  'sessions.shared': isList,
}

for (const [path, fallback] of everyOption) {
  test(`${path}: names itself, what is allowed and what came; its default is allowed`, t => {
    t.notThrows(() => cluster(nest(path, fallback)))
    t.notThrows(() => cluster(nest(path, undefined)))
    for (const value of NONSENSE) {
      if (MAKES_SENSE[path]?.(value) === true) continue
      const error = t.throws(() => cluster(nest(path, value)), { instanceOf: InvalidOptionError }, String(value))
      t.is(error?.option, path)
      t.regex(error?.message ?? '', new RegExp(`^Option ${path.replaceAll('.', '\\.')} must be .+; got .+$`))
    }
  })
}

for (const block of ['membership', 'receiver', 'sender', 'replication', 'replication.rules', 'sessions']) {
  test(`${block}: unknown names and other things than objects are refused`, t => {
    t.like(
      t.throws(() => cluster(nest(`${block}.nonsense`, 1)), { instanceOf: InvalidOptionError }),
      {
        option: `${block}.nonsense`,
      },
    )
    for (const value of [null, 1, 'x', true, []]) {
      t.like(
        t.throws(() => cluster(nest(block, value)), { instanceOf: InvalidOptionError }),
        { option: block },
      )
    }
  })
}

const bounds: readonly (readonly [path: string, allowed: readonly unknown[], refused: readonly unknown[]])[] = [
  [
    'membership.address',
    ['224.0.0.1', '228.0.0.4', '239.255.255.255'],
    ['223.255.255.255', '240.0.0.0', '228.0.0.256', '228.0.0', '228.0.0.4.1', '228.0.0.04', 'ff02::1'],
  ],
  [
    'membership.bind',
    ['auto', '127.0.0.1', '10.0.199.255'],
    ['999.1.1.1', '1.2.3', '1.2.3.4.5', '1.2.3.256', '::1', 'eth0'],
  ],
  ['replication.tickMs', [1, 60_000], [0, 60_001]],
  ['replication.ringBytes', [0, 1_073_741_824], [-1, 1_073_741_825]],
  ['replication.tombstonesMax', [0, 10_000_000], [10_000_001, 0.5]],
  ['replication.fetchesMax', [1], [0]],
  ['replication.donationsMax', [1], [0]],
  ['replication.rules.ruleR', [true, false], [0, 1, 'true']],
  ['sessions.maxInactiveInterval', [-1, 0, 1, 3_153_600_000], [3_153_600_001, 0.5, '1800']],
  ['sessions.copies', [0, 1, 'all'], [-1, 0.5, 'ALL', '1']],
  ['sessions.ackTimeoutMs', [1, 2_147_483_647], [0, 2_147_483_648, 0.5]],
  ['sessions.detect', ['set', 'modified', 'get', 'all'], ['never']],
]

for (const [path, allowed, wrong] of bounds) {
  test(`${path}: its ends`, t => {
    for (const value of allowed) t.notThrows(() => cluster(nest(path, value)), String(value))
    for (const value of wrong) {
      t.like(
        t.throws(() => cluster(nest(path, value)), { instanceOf: InvalidOptionError }, String(value)),
        {
          option: path,
        },
      )
    }
  })
}

test('options that contradict each other are refused', t => {
  t.throws(() => cluster({ membership: { dropTime: 900 } }), {
    message: 'Option membership.dropTime must be at least twice membership.frequency (500); got 900',
  })
  t.throws(() => cluster({ replication: { granularityMinMs: 61_000 } }), {
    message: 'Option replication.granularityMinMs must be at most replication.granularityMaxMs (60000); got 61000',
  })
})

test('options may be resolved again, and alone', t => {
  t.deepEqual(resolveReplicaOptions(resolveReplicaOptions({ tickMs: 20, rules: { ruleR: false } })), {
    ...resolveReplicaOptions(),
    tickMs: 20,
    rules: { ...ALL_RULES, ruleR: false },
  })
  t.deepEqual(resolveDeltaManagerOptions(resolveDeltaManagerOptions({ copies: 'all' })), {
    ...resolveDeltaManagerOptions(),
    copies: 'all',
  })
})

const wrongClusters: readonly (readonly [options: unknown, message: RegExp])[] = [
  [null, /^Option options must be an object; got null$/],
  ['node1', /^Option options must be an object; got "node1"$/],
  [{ session: {} }, /^Option session must be .*\(name, group, .*sessions, users, codec, runtime\); got an object$/],
  [{ runtime: {} }, /^Option runtime must be an object with clock, random and network; got an object$/],
  [{ interceptors: dispatch() }, /^Option interceptors must be a list of interceptors; got an object$/],
  [{ interceptors: [dispatch] }, /^Option interceptors\[0\] must be an interceptor: .*; got a function$/],
  [{ interceptors: [dispatch(), null] }, /^Option interceptors\[1\] must be an interceptor: .*; got null$/],
  [{ interceptors: [{ name: 'mine', send: 1 }] }, /^Option interceptors\[0\]\.send must be a function; got 1$/],
  [{ membership: { members: 'a:1' } }, /^Option membership\.members must be a list of 'host:port'/],
  [{ membership: { members: ['a:1', 'b'] } }, /^Option membership\.members\[1\] must be 'host:port' .*; got "b"$/],
  [{ membership: { members: ['http://a:1'] } }, /^Option membership\.members\[0\] must be .*; got "http:\/\/a:1"$/],
  [{ membership: { members: ['::1:4000'] } }, /^Option membership\.members\[0\] must be .*; got "::1:4000"$/],
]

for (const [options, message] of wrongClusters) {
  test(`no cluster of ${JSON.stringify(options)}, ${message.source.slice(0, 32)}`, async t => {
    await t.throwsAsync(createCluster(options as ClusterOptions), { code: 'INVALID_OPTION', message })
  })
}

test('interceptors, drains and AJP servers refuse what they do not know', async t => {
  const names = /must be one of the known names/
  t.throws(() => dispatch({ messageMax: 1 } as never), { message: names })
  t.throws(() => dispatch({ messagesMax: '5' as never }), { message: /messagesMax must be a number of at least 1/ })
  t.throws(() => throughput({ windowMs: 0 }), { message: /^Option windowMs must be a number above 0; got 0$/ })
  t.throws(() => tcpFailureDetector({ echoTimeout: 5 } as never), { message: names })
  t.throws(() => tcpFailureDetector(5 as never), { message: /^Option options must be an object; got 5$/ })
  t.throws(() => resolveDrainOptions({ grace: 5 } as never), { message: /\(server, graceMs, .*, signal\)/ })
  await t.throwsAsync(
    createAjpServer(() => {}, { prot: 8009 } as never),
    { message: /^Option prot must be .*\(host, port, .*, allowedRequestAttributes\)/ },
  )
  t.throws(() => resolveDrainOptions(null as never), { message: /^Option options must be an object; got null$/ })
})
