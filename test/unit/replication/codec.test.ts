import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import protobuf from 'protobufjs'
import { ProtocolError } from '../../../lib/errors.js'
import { BUCKETS } from '../../../lib/replication/bucket-index.js'
import { decodeMessage, encodeMessage } from '../../../lib/replication/codec.js'
import type { Delta, DeltaKind, RecordSnapshot } from '../../../lib/replication/delta.js'
import { encodeDelta } from '../../../lib/replication/delta-codec.js'
import type { ReplicationMessage } from '../../../lib/replication/messages.js'
import { PackedRecord } from '../../../lib/replication/packed-record.js'
import { packRecord } from '../../../lib/replication/record-packing.js'
import { SmallMap } from '../../../lib/replication/small-map.js'
import { sameBytes } from '../../../lib/session/session-delta.js'

const A = '00112233445566778899aabbccddeeff'
const B = 'ffeeddccbbaa99887766554433221100'
const stamp = { wallMs: 1_800_000_000_000, counter: 7, origin: A, seq: 5 }
const access = { wallMs: 1_800_000_000_001, counter: 0, origin: B }
const record = {
  key: `${A}#3`,
  attributes: [
    ['x', { stamp, value: Uint8Array.of(1, 2) }],
    ['gone', { stamp: { ...stamp, origin: B } }],
  ] as [string, { stamp: typeof stamp; value?: Uint8Array }][],
  context: [
    [A, 5],
    [B, 5],
  ] as [string, number][],
  access,
  ageMs: 1_234,
  limit: { wallMs: 1_700_000_000_001, counter: 2, origin: A },
}
const writes = new SmallMap([
  ['x', Uint8Array.of(9)],
  ['y', undefined],
  ['empty', new Uint8Array()],
])
const dot = { origin: B, seq: 9 }
const digest = [
  { origin: A, base: 4, ranges: [[6, 8]] as [number, number][] },
  { origin: B, base: 1, ranges: [] },
]
const members = [
  { id: B, name: 'node2', awayMs: 0, gone: false },
  { id: A, name: 'node3', awayMs: 1_500, gone: true },
]

const SAMPLES: readonly ReplicationMessage[] = [
  { kind: 'delta', delta: { kind: 'write', key: `${B}#3`, stamp, deps: [[B, 3]], writes } },
  { kind: 'fetch', key: `${A}#3` },
  { kind: 'record', record },
  { kind: 'tombstone', key: `${A}#3`, dot },
  { kind: 'touches', entries: [{ key: `${A}#3`, access, ageMs: 12 }] },
  { kind: 'check', round: 3, entries: [{ key: `${A}#3`, access }] },
  { kind: 'checked', round: 3, later: [{ key: `${A}#3`, access, ageMs: 12 }] },
  { kind: 'askDigest' },
  { kind: 'digest', digest, members, ready: true },
  {
    kind: 'pull',
    missing: [
      {
        origin: A,
        ranges: [
          [5, 5],
          [9, 12],
        ],
      },
    ],
  },
  { kind: 'notKept' },
  { kind: 'reconcileStart', id: 1 },
  { kind: 'reconcileBusy', id: 1 },
  {
    kind: 'reconcileHeader',
    id: 1,
    digest,
    members,
    buried: [0, 9, 1023],
    hashes: Array.from({ length: BUCKETS }, (_, i) => ({ high: i * 4_000_000, low: i })),
  },
  {
    kind: 'reconcileRequest',
    id: 1,
    buckets: [1, 1023],
    after: `${A}#3`,
    have: [{ key: `${B}#1`, hash: { high: 4_294_967_295, low: 1 } }],
    number: 3,
  },
  {
    kind: 'reconcileChunk',
    id: 1,
    last: true,
    number: 3,
    parts: [
      {
        bucket: 5,
        after: `${A}#1`,
        upTo: undefined,
        keys: [`${B}#7`],
        tombstones: [[`${A}#4`, dot]],
        records: [new PackedRecord(packRecord(packable(record)), record.ageMs)],
      },
    ],
  },
]

/** A packed record lies among the bytes it came with. */
function plain(message: ReplicationMessage): unknown {
  if (message.kind !== 'reconcileChunk') return message
  const records = message.parts.map(part => part.records.map(record => [record.snapshot(), record.hash]))
  return { ...message, parts: message.parts.map(part => ({ ...part, records: undefined })), records }
}

for (const message of SAMPLES) {
  test(`${message.kind}: survives the round trip, and its bytes are the golden ones`, t => {
    const bytes = encodeMessage(message)
    t.deepEqual(plain(decodeMessage(bytes)), plain(message))
    const file = path.resolve('test/golden', `replication-${message.kind}.hex`)
    const hex = Buffer.from(bytes).toString('hex')
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, `${hex}\n`)
    t.is(hex, readFileSync(file, 'utf8').trim())
  })

  test(`${message.kind}: cut short or changed anywhere, only ProtocolError comes out`, t => {
    const bytes = encodeMessage(message)
    const step = Math.max(1, Math.floor(bytes.length / 200))
    for (let i = 0; i < bytes.length; i += step) {
      onlyProtocolError(bytes.subarray(0, i))
      for (const bit of [0x01, 0x08, 0x80, 0xff]) {
        const changed = Uint8Array.from(bytes)
        changed[i]! ^= bit
        onlyProtocolError(changed)
      }
    }
    t.pass()
  })
}

function onlyProtocolError(bytes: Uint8Array): void {
  try {
    decodeMessage(bytes)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
  }
}

function packable({ attributes, ...record }: RecordSnapshot): Parameters<typeof packRecord>[0] {
  return { ...record, attributes: { cells: attributes.map(([name, state]) => ({ name, ...state })) } }
}

test('any bytes: a message or ProtocolError', t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), bytes => onlyProtocolError(bytes)),
    { numRuns: 2_000 },
  )
  t.pass()
})

test('a large value at the end of a delta is left where it lies, and the message is the same', t => {
  const origin = 'ab'.repeat(16)
  const stamp = { wallMs: 1_800_000_000_000, counter: 1, origin, seq: 7 }
  const small = Buffer.alloc(100, 1)
  for (const length of [8_191, 8_192, 20_000, 300_000]) {
    const large = Buffer.alloc(length, 2)
    const isApart = length >= 8_192
    for (const [writes, pieces] of [
      [new SmallMap([['x', large]]), isApart ? 2 : 1],
      [
        new SmallMap([
          ['x', small],
          ['y', large],
        ]),
        isApart ? 2 : 1,
      ],
      [
        new SmallMap([
          ['x', large],
          ['y', large],
        ]),
        isApart ? 2 : 1,
      ],
      [
        new SmallMap([
          ['x', large],
          ['y', small],
        ]),
        1,
      ],
      [
        new SmallMap<Uint8Array | undefined>([
          ['x', large],
          ['y', undefined],
        ]),
        1,
      ],
    ] as const) {
      const delta: Delta = { kind: 'write', key: `${origin}#3`, stamp, deps: [[origin, 6]], writes }
      const encoded = encodeDelta(delta)
      t.is(encoded.length, pieces)
      if (pieces === 2) t.is(encoded[1], large)
      const decoded = decodeMessage(Buffer.concat(encoded))
      if (decoded.kind !== 'delta') return t.fail(decoded.kind)
      t.deepEqual([...decoded.delta.writes.keys()], [...writes.keys()])
      for (const [name, value] of decoded.delta.writes) t.true(sameBytes(value, writes.get(name)), name)
    }
  }
})

test('any delta survives the round trip', t => {
  const id = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => Buffer.from(bytes).toString('hex'))
  const seq = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
  const attributes = fc.array(fc.tuple(fc.string({ maxLength: 20 }), fc.option(fc.uint8Array(), { nil: undefined })))
  const parts = fc.record({
    kind: fc.constantFrom<DeltaKind>('create', 'write', 'renew', 'invalidate'),
    origin: id,
    keyOrigin: id,
    seq,
    keySeq: seq,
    wallMs: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
    counter: fc.nat(65_535),
    deps: fc.array(fc.tuple(id, seq), { maxLength: 5 }),
    attributes,
  })
  fc.assert(
    fc.property(parts, ({ kind, origin, keyOrigin, seq, keySeq, wallMs, counter, deps, attributes }) => {
      const key = kind === 'create' ? `${origin}#${seq}` : `${keyOrigin}#${keySeq}`
      if (kind !== 'create' && key === `${origin}#${seq}`) return
      const delta = { kind, key, stamp: { wallMs, counter, origin, seq }, deps, writes: new SmallMap(attributes) }
      t.deepEqual(decodeMessage(encodeMessage({ kind: 'delta', delta })), { kind: 'delta', delta })
    }),
  )
})

test('refuses numbers beyond 2^53, unknown kinds and foreign ids', t => {
  const unsafe = [0x08, 12, 0x60, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]
  for (const bytes of [unsafe, [0x08, 99], [], [0x08, 3, 0x1a, 5, 0x0a, 3, 1, 2, 3]]) {
    t.throws(() => decodeMessage(Uint8Array.from(bytes)), { instanceOf: ProtocolError })
  }
})

test('a decoded value does not hold on to the frame', t => {
  const bytes = encodeMessage(SAMPLES[0]!)
  const message = decodeMessage(bytes)
  bytes.fill(0)
  t.deepEqual(message, SAMPLES[0]!)
})

test('a record travels with its hash where its holder keeps it; who does not know of that passes over it', t => {
  const [sample] = SAMPLES.filter(({ kind }) => kind === 'reconcileChunk')
  if (sample?.kind !== 'reconcileChunk') return t.fail()
  const body = packRecord(packable(record))
  const hash = { high: 4_294_967_295, low: 7 }
  const records = [new PackedRecord(body, 5, hash), new PackedRecord(body, 0), new PackedRecord(body, 2 ** 40, hash)]
  const message: ReplicationMessage = { ...sample, parts: sample.parts.map(part => ({ ...part, records })) }
  const bytes = encodeMessage(message)
  t.deepEqual(plain(decodeMessage(bytes)), plain(message))
  const { root } = protobuf.parse(readFileSync(path.resolve('lib/replication/replication.proto'), 'utf8'))
  const shown = root.lookupType('tribeline.replication.ReplicationMessage').decode(bytes)
  const [part] = (shown as unknown as { parts: { records: unknown[]; agesMs: unknown[]; hashes: unknown[] }[] }).parts
  t.deepEqual([part!.records.length, part!.agesMs.map(Number), part!.hashes.length], [3, [5, 0, 2 ** 40], 2])
  for (let i = 0; i < bytes.length; i++) {
    onlyProtocolError(bytes.subarray(0, i))
    const changed = Uint8Array.from(bytes)
    changed[i]! ^= 0x41
    onlyProtocolError(changed)
  }
})
