import test from 'ava'
import fc from 'fast-check'
import protobuf from 'protobufjs/minimal.js'
import { ProtocolError } from '../../../lib/errors.js'
import { bucketOf } from '../../../lib/replication/bucket-index.js'
import { FieldReader } from '../../../lib/replication/codec-reader.js'
import { writeRecord } from '../../../lib/replication/codec-records.js'
import type { AttributeState, RecordSnapshot } from '../../../lib/replication/delta.js'
import { keyText } from '../../../lib/replication/key-text.js'
import { PackedRecord, packedValue } from '../../../lib/replication/packed-record.js'
import { ReplicaRecord } from '../../../lib/replication/record.js'
import { LooseRecord, packRecord } from '../../../lib/replication/record-packing.js'
import { compareAccess, NEVER, recordKey } from '../../../lib/replication/stamp.js'

const A = '00112233445566778899aabbccddeeff'
const B = 'ffeeddccbbaa99887766554433221100'

const id = fc.constantFrom(A, B, '0'.repeat(32), 'f'.repeat(32))
const seq = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const time = { wallMs: fc.integer({ min: 1, max: 2 ** 48 - 1 }), counter: fc.nat(65_535) }
const stamp = fc.record({ ...time, origin: id, seq })
const value = fc.option(
  fc.uint8Array({ maxLength: 300 }).map(bytes => Buffer.from(bytes)),
  { nil: undefined },
)
const state = fc
  .tuple(stamp, value)
  .map(([at, bytes]): AttributeState => (bytes === undefined ? { stamp: at } : { stamp: at, value: bytes }))
const snapshot = fc.record({
  key: fc.tuple(id, seq).map(([origin, number]) => `${origin}#${number}`),
  attributes: fc.array(fc.tuple(fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom('a', 'b', 'ü')), state), {
    maxLength: 24,
  }),
  context: fc.array(fc.tuple(id, seq), { maxLength: 5 }),
  access: fc.record({ ...time, origin: id }),
  ageMs: fc.nat(100_000),
  limit: fc.oneof({ weight: 4, arbitrary: fc.constant(NEVER) }, fc.record({ ...time, origin: id })),
})

function recordOf(from: RecordSnapshot): ReplicaRecord {
  const record = new ReplicaRecord(from.key, bucketOf(from.key), 0)
  record.join(from, 0)
  return record
}

const EMPTY: RecordSnapshot = {
  key: `${A}#1`,
  attributes: [],
  context: [[A, 1]],
  access: { wallMs: 2, counter: 0, origin: A },
  ageMs: 0,
  limit: NEVER,
}

/** The same record by way of protobuf. */
function byProtobuf(from: RecordSnapshot): Buffer {
  const writer = protobuf.Writer.create()
  writeRecord(writer, 1, { ...from, ageMs: 0 })
  const bytes = writer.finish()
  const reader = new FieldReader(bytes)
  reader.next(reader.length)
  return Buffer.from(reader.view(bytes.length))
}

test('any record: packed by hand as by protobuf, and its summary tells what the record tells', t => {
  fc.assert(
    fc.property(snapshot, from => {
      const record = recordOf(from)
      const bytes = packRecord(record)
      t.deepEqual(bytes, byProtobuf(record.snapshot(0)))
      const packed = new PackedRecord(bytes, 7)
      t.deepEqual(packRecord(recordOf(packed.snapshot())), bytes)
      t.is(packed.snapshot().ageMs, 7)
      t.is(packed.key, from.key)
      for (const name of record.attributes.keys())
        t.deepEqual(packedValue(bytes, 0, bytes.length, name), plain(record.value(name)))
      t.is(packedValue(bytes, 0, bytes.length, 'nothing of that name'), undefined)
      const { summary } = packed
      t.is(summary === undefined, record.limit !== NEVER)
      if (summary === undefined) return
      t.deepEqual(summary.hash, record.hash)
      const among = Buffer.concat([Buffer.from('before'), bytes, Buffer.from('after')])
      const same = new PackedRecord(among, 7, record.hash, 6, 6 + bytes.length)
      t.deepEqual(same.snapshot(), packed.snapshot())
      const moved = (at: number): number => (at <= 0 ? at : at + 6)
      t.deepEqual(same.summary, { ...summary, places: summary.places.map(moved) })
      t.is(`${summary.origin}#${summary.seq}`, from.key)
      t.deepEqual(
        summary.context,
        [...record.context].filter(([origin, seq]) => `${origin}#${seq}` !== from.key),
      )
      t.deepEqual(summary.names, [...record.live().keys()])
      for (const [name, bytes] of record.live()) t.deepEqual(plain(packed.value(name)), plain(bytes))
      t.is(packed.value('nothing of that name'), undefined)
      const stamps = [record.access, ...record.attributes.cells.map(it => it.stamp)]
      const latest = stamps.reduce((a, b) => (compareAccess(a, b) < 0 ? b : a))
      t.deepEqual([summary.wallMs, summary.counter], [latest.wallMs, latest.counter])
    }),
  )
})

test('a record no member writes like that is taken attribute by attribute, or not at all', t => {
  const at = (wallMs: number): AttributeState => ({
    stamp: { wallMs, counter: 0, origin: A, seq: wallMs },
    value: Buffer.from([wallMs]),
  })
  const from: RecordSnapshot = {
    key: `${A}#1`,
    attributes: [
      ['twice', at(1)],
      ['twice', at(2)],
    ],
    context: [[A, 2]],
    access: { wallMs: 2, counter: 0, origin: A },
    ageMs: 0,
    limit: NEVER,
  }
  const twice = new PackedRecord(byProtobuf(from), 0)
  t.is(twice.summary, undefined)
  t.is(recordOf(twice.snapshot()).value('twice')?.[0], 2)
  const many = Array.from({ length: 40 }, (_, index): [string, AttributeState] => [`name${index}`, at(1)])
  t.not(new PackedRecord(byProtobuf({ ...from, attributes: many }), 0).summary, undefined)
  t.is(new PackedRecord(byProtobuf({ ...from, attributes: [...many, ['name3', at(2)]] }), 0).summary, undefined)
  for (const bytes of ['', '0a00', '0a021001', 'ff', '12100000']) {
    const broken = new PackedRecord(Buffer.from(bytes, 'hex'), 0)
    t.throws(() => broken.summary, { instanceOf: ProtocolError })
  }
})

test('a name is not taken for that of the record before, whose characters are the bytes of its own', t => {
  const names = ['\u00c3\u00bc', '\u00fc', '\u00fc', 'a', '']
  const stamp = { wallMs: 1, counter: 0, origin: A, seq: 1 }
  for (const name of names) {
    const bytes = packRecord(recordOf({ ...EMPTY, attributes: [[name, { stamp, value: Buffer.from('value') }]] }))
    t.deepEqual(new PackedRecord(bytes, 0).summary?.all, [name])
  }
})

test('cut short or changed anywhere, a packed record with a summary can be unpacked', t => {
  const attributes = ['a', 'b'].map((name, index): [string, AttributeState] => [
    name,
    { stamp: { wallMs: 300, counter: 1, origin: index === 0 ? A : B, seq: 9 }, value: Buffer.from('value') },
  ])
  const access = { wallMs: 500, counter: 2, origin: B }
  const whole = byProtobuf({ key: `${A}#1`, attributes, context: [[B, 9]], access, ageMs: 0, limit: NEVER })
  for (let i = 0; i < whole.length; i++) {
    tryOut(whole.subarray(0, i))
    for (let bits = 1; bits < 256; bits++) {
      const changed = Buffer.from(whole)
      changed[i]! ^= bits
      tryOut(changed)
    }
  }
  t.pass()

  function tryOut(bytes: Buffer): void {
    const packed = new PackedRecord(bytes, 0)
    try {
      if (packed.summary === undefined) return
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      return
    }
    const record = recordOf(packed.snapshot())
    t.deepEqual(packed.summary.hash, record.hash)
    t.is(packed.summary.key, record.key)
  }
})

function plain(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes === undefined ? undefined : new Uint8Array(bytes)
}

test('a record that travels unpacked comes out as if it had been packed, its large values from where they lie', t => {
  fc.assert(
    fc.property(snapshot, fc.array(fc.integer({ min: 8_000, max: 9_000 }), { maxLength: 3 }), (from, sizes) => {
      const large = sizes.map((size, index): RecordSnapshot['attributes'][number] => [
        `large${index}`,
        { stamp: { wallMs: 1, counter: 0, origin: 'a'.repeat(32), seq: 1 }, value: new Uint8Array(size).fill(index) },
      ])
      const record = recordOf({ ...from, attributes: [...from.attributes, ...large] })
      const bytes = packRecord(record)
      const loose = new LooseRecord(record, 7, record.hash)
      const room = Buffer.alloc(loose.length - loose.apartBytes)
      const pieces: Uint8Array[] = []
      let written = 0
      const end = loose.write(room, 0, (piece, at) => {
        pieces.push(room.subarray(written, at), piece)
        written = at
      })
      t.is(end, room.length)
      t.is(loose.length, bytes.length)
      t.deepEqual(Buffer.concat([...pieces, room.subarray(written)]), bytes)
      const apart = [...record.attributes].map(([, { value }]) => value).filter(value => value && value.length >= 8_192)
      t.deepEqual(
        pieces.filter((_, index) => index % 2 === 1),
        apart,
      )
    }),
  )
})

test('a key is the same text however it is made', t => {
  const origin = fc.uint8Array({ minLength: 16, maxLength: 16 }).map(bytes => Buffer.from(bytes).toString('hex'))
  fc.assert(
    fc.property(fc.array(fc.tuple(origin, fc.oneof(fc.nat(99), fc.maxSafeNat())), { maxLength: 9 }), dots => {
      for (const [origin, seq] of dots) t.is(keyText(origin, seq), recordKey({ origin, seq }))
    }),
  )
  t.is(keyText('a', 10), 'a#10')
})
