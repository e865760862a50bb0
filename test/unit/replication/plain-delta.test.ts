import test from 'ava'
import fc from 'fast-check'
import { ProtocolError } from '../../../lib/errors.js'
import { decodeMessage } from '../../../lib/replication/codec.js'
import type { Delta } from '../../../lib/replication/delta.js'
import { encodeDelta } from '../../../lib/replication/delta-codec.js'
import { joined } from '../../../lib/replication/fragments.js'
import { readPlainDelta } from '../../../lib/replication/plain-delta.js'
import { SmallMap } from '../../../lib/replication/small-map.js'

const IDS = ['a', 'b', 'c'].map(digit => digit.repeat(32))

const number = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 2 ** 48 }))
const value = fc.option(fc.uint8Array({ maxLength: 200 }), { nil: undefined })

const delta = fc
  .record({
    origin: fc.constantFrom(...IDS),
    seq: number,
    wallMs: fc.integer({ min: 1, max: 2 ** 48 - 1 }),
    counter: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 65_535 })),
    creator: fc.constantFrom(...IDS),
    createdAs: number,
    deps: fc.array(fc.tuple(fc.constantFrom(...IDS), number), { maxLength: 2 }),
    writes: fc.array(fc.tuple(fc.string({ maxLength: 140 }), value), { maxLength: 4 }),
  })
  .map(({ origin, seq, wallMs, counter, creator, createdAs, deps, writes }): Delta => {
    const isCreation = creator === origin && createdAs === seq
    return {
      kind: isCreation ? 'create' : 'write',
      key: `${creator}#${createdAs}`,
      stamp: { wallMs, counter, origin, seq },
      deps,
      writes: new SmallMap(writes),
    }
  })

/** The long way. */
function byRules(bytes: Uint8Array): Delta | undefined {
  try {
    const message = decodeMessage(bytes, 'copied')
    return message.kind === 'delta' ? message.delta : undefined
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

/** To be compared: its values copied, and without a word of whose they are. */
function settled({ isLent: _, writes, ...rest }: Delta): unknown {
  return { ...rest, writes: [...writes].map(([name, bytes]) => [name, bytes === undefined ? bytes : [...bytes]]) }
}

test('a delta read the short way is what it is the long way, damaged or not', t => {
  let short = 0
  fc.assert(
    fc.property(delta, fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 2 }), (made, damage) => {
      const bytes = Uint8Array.from(joined(encodeDelta(made)))
      for (const [at, bits] of damage) bytes[at % bytes.length]! ^= bits
      // Which message it is has been looked at before.
      if (bytes[0] !== 8 || bytes[1] !== 1) return
      const plain = readPlainDelta(bytes)
      if (plain === undefined) return
      short++
      const wanted = byRules(bytes)
      t.deepEqual(settled(plain), wanted && settled(wanted))
    }),
    { numRuns: 5_000 },
  )
  t.true(short > 1_000, `${short}`)
})

test('a delta is read the short way unless it is unusual', t => {
  const stamp = { wallMs: 1_700_000_000_000, counter: 0, origin: IDS[0]!, seq: 1_000_000 }
  const writes = new SmallMap<Uint8Array | undefined>([
    ['name', new Uint8Array(64).fill(3)],
    ['gone', undefined],
  ])
  const usual: Delta = { kind: 'write', key: `${IDS[0]}#7`, stamp, deps: [[IDS[0]!, 9]], writes }
  const isShort = (changed: Partial<Delta>): boolean =>
    readPlainDelta(Uint8Array.from(joined(encodeDelta({ ...usual, ...changed })))) !== undefined
  t.true(isShort({}))
  t.true(isShort({ key: `${IDS[1]}#70000` }))
  t.true(isShort({ deps: [] }))
  t.true(isShort({ writes: new SmallMap() }))
  t.true(isShort({ stamp: { ...stamp, counter: 3 } }))
  t.false(isShort({ kind: 'create', key: `${IDS[0]}#${stamp.seq}` }))
  t.false(isShort({ kind: 'renew' }))
  t.false(
    isShort({
      deps: [
        [IDS[0]!, 9],
        [IDS[1]!, 9],
      ],
    }),
  )
  t.false(isShort({ writes: new SmallMap(Array.from({ length: 65 }, (_, n) => [`${n}`, undefined])) }))
})

test('cut off anywhere it is left to the rules', t => {
  const stamp = { wallMs: 1_700_000_000_000, counter: 1, origin: IDS[0]!, seq: 5 }
  const writes = new SmallMap([['n', new Uint8Array(3)]])
  const bytes = joined(encodeDelta({ kind: 'write', key: `${IDS[1]}#7`, stamp, deps: [[IDS[0]!, 4]], writes }))
  for (let end = 2; end < bytes.length; end++) t.is(readPlainDelta(Uint8Array.from(bytes.subarray(0, end))), undefined)
})
