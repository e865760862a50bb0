import test from 'ava'
import fc from 'fast-check'
import { AttributeScope } from '../../../lib/session/attribute-scope.js'
import { type ChangeDetection, type DeltaTerms, SessionDelta } from '../../../lib/session/session-delta.js'
import { decodeValue, encodeValue } from '../../../lib/wire/value-codec.js'

const codec = { encode: encodeValue, decode: decodeValue }
const NAMES = ['a', 'b', 'c', '1', '0', 'save', 'cookie', '__proto__', 'constructor', 'd']

class Bag {
  [name: string]: unknown

  save(): void {}
}

function define(bag: Bag, name: string, value: unknown): void {
  Object.defineProperty(bag, name, { value, writable: true, enumerable: true, configurable: true })
}

function deltaOf(base: readonly (readonly [string, unknown])[], terms?: DeltaTerms): SessionDelta {
  const stored = base.map(([name, value]) => [name, encodeValue(value)] as const)
  return new SessionDelta(codec, new Map([['\u0000id', encodeValue('x')], ...stored]), terms)
}

function taken(delta: SessionDelta): Bag {
  const bag = new Bag()
  delta.takeAll((name, value) => {
    if (name !== 'save') define(bag, name, value)
  })
  return bag
}

/** What putting back means, one attribute after another. */
function put(delta: SessionDelta, bag: Bag): void {
  for (const [name, value] of Object.entries(bag)) {
    if (name === 'cookie' || typeof value === 'function') continue
    if (typeof value === 'object' || value === undefined || delta.get(name) !== value) delta.set(name, value)
  }
  for (const name of delta.names()) if (!(name in bag)) delta.delete(name)
}

function writesOf(delta: SessionDelta, detection: ChangeDetection): [string, string | undefined][] {
  return [...delta.writes(detection)]
    .map(([name, bytes]): [string, string | undefined] => [name, bytes && Buffer.from(bytes).toString('hex')])
    .sort(([a], [b]) => (a < b ? -1 : 1))
}

const value = fc.oneof(
  fc.constantFrom<unknown>(undefined, null, true, 0, -0, Number.NaN, 1.5, 64, 70_000, 3n, '', 'text', 'é'.repeat(40)),
  fc.record({ n: fc.nat(3) }),
  fc.array(fc.nat(3), { maxLength: 2 }),
)
const attributes = fc.uniqueArray(fc.tuple(fc.constantFrom(...NAMES), value), { selector: ([name]) => name })
const edits = fc.array(
  fc.oneof(
    fc.record({ how: fc.constant('set' as const), name: fc.constantFrom(...NAMES), to: value }),
    fc.record({ how: fc.constantFrom('delete' as const, 'change' as const), name: fc.constantFrom(...NAMES) }),
  ),
  { maxLength: 4 },
)
type Edit = { how: 'set'; name: string; to: unknown } | { how: 'delete' | 'change'; name: string }

function edit(bag: Bag, changes: readonly Edit[]): void {
  for (const change of changes) {
    const { name } = change
    const before = Object.hasOwn(bag, name) ? bag[name] : undefined
    if (change.how === 'set') define(bag, name, structuredClone(change.to))
    else if (change.how === 'delete') delete bag[name]
    else if (typeof before === 'object' && before !== null) Object.assign(before, { n: 9 })
  }
}

for (const detection of ['set', 'modified', 'all'] as const) {
  for (const terms of [undefined, { scope: new AttributeScope({ application: 'shop', shared: ['a', 'b'] }) }]) {
    test(`all taken and put back is each by itself: ${detection}${terms === undefined ? '' : ', of one application'}`, t => {
      fc.assert(
        fc.property(attributes, edits, edits, (base, first, second) => {
          const [whole, single] = [deltaOf(base, terms), deltaOf(base, terms)]
          const [given, read] = [taken(whole), taken(single)]
          t.deepEqual(Object.entries(given), Object.entries(read))
          for (const changes of [first, second]) {
            edit(given, changes)
            edit(read, changes)
            whole.putAll(given, 'cookie')
            put(single, read)
            const writes = whole.writes(detection)
            t.deepEqual(writesOf(whole, detection), writesOf(single, detection))
            single.rebase(single.writes(detection))
            whole.rebase(writes)
          }
        }),
      )
    })
  }
}

test('what was taken counts as read', t => {
  const delta = deltaOf([
    ['a', 1],
    ['b', { n: 1 }],
  ])
  t.is(delta.writes('get').size, 0)
  taken(delta)
  t.deepEqual([...delta.writes('get').keys()], ['a', 'b'])
})

test('a value put back after another was put, and not written, is the old one again', t => {
  const delta = deltaOf([['a', 1]])
  const bag = taken(delta)
  bag.a = 2
  delta.putAll(bag, 'cookie')
  bag.a = 1
  delta.putAll(bag, 'cookie')
  t.is(delta.writes('set').size, 0)
})

test('values that stay on this member are taken and put back as well', t => {
  const socket = { open: true }
  const delta = deltaOf([['a', 1]], { local: new Map([['socket', socket]]) })
  const bag = taken(delta)
  t.is(bag.socket, socket)
  bag.a = 2
  delta.putAll(bag, 'cookie')
  t.deepEqual([...delta.writes('set').keys()].includes('a'), true)
})
