import { deserialize, serialize } from 'node:v8'
import * as replicationCodec from '../lib/replication/codec.js'
import type { Delta } from '../lib/replication/delta.js'
import { SmallMap } from '../lib/replication/small-map.js'
import { decodeFrame, encodeFrame } from '../lib/wire/codec.js'
import { PREFIX_BYTES } from '../lib/wire/frame.js'
import { decodeValue, encodeValue } from '../lib/wire/value-codec.js'
import { type Bench, medianRows, type Row } from './bench.js'
import { type PlainDelta, PlainProtobuf } from './plain-protobuf.js'

/** The codecs alone, in this process. */
export const codec: Bench = {
  name: 'codec',
  title: 'Encoding and decoding',
  describe:
    'A session value, a delta that holds it, and the frame that holds the delta, each with the whole work: the delta ' +
    'includes encoding its value, the frame its delta. JSON, v8.serialize and protobufjs do the same for the same data; ' +
    'protobufjs knows what is in the value, as nobody does of a session.',
  measures: [
    { key: 'bytes', title: 'size', unit: 'B', better: 'less' },
    { key: 'encodesPerSecond', title: 'encoded', unit: '1/s', better: 'more' },
    { key: 'decodesPerSecond', title: 'decoded', unit: '1/s', better: 'more' },
    { key: 'againstJson', title: 'both, against JSON', unit: 'x', better: 'more' },
  ],
  charts: [{ title: 'Encode and decode, against JSON', kind: 'bars', x: 'what', series: ['codec'], y: 'againstJson' }],
  run: async ({ quick, passes, progress }) => {
    const rows: Row[] = []
    for (let pass = 1; pass <= passes; pass++) {
      progress(`codec: pass ${pass} of ${passes}`)
      rows.push(...compareAll(quick ? 5 : ROUND_MS))
    }
    return { rows: medianRows(rows) }
  },
}

const ROUND_MS = 60

interface Codec {
  readonly name: string
  readonly encode: () => Uint8Array
  readonly decode: (bytes: Uint8Array) => unknown
}

function compareAll(roundMs: number): Row[] {
  const plainFrame = { kind: 'message', topic: TOPIC, ack: 2, payload: plainDelta() }
  const protobuf = new PlainProtobuf()
  return [
    ...compare(roundMs, 'value', cartValue(), [
      { name: 'tribeline', encode: () => encodeValue(cartValue()), decode: decodeValue },
      {
        name: 'protobufjs',
        encode: () => protobuf.encodeValue(cartValue()),
        decode: bytes => protobuf.decodeValue(bytes),
      },
    ]),
    ...compare(roundMs, 'delta', plainDelta(), [
      { name: 'tribeline', encode: encodeDelta, decode: decodeDelta },
      {
        name: 'protobufjs',
        encode: () => protobuf.encodeDelta(plainDelta()),
        decode: bytes => protobuf.decodeDelta(bytes),
      },
    ]),
    ...compare(roundMs, 'frame', plainFrame, [
      {
        name: 'tribeline',
        encode: () => encodeFrame({ kind: 'message', topic: TOPIC, ack: 2, payload: encodeDelta() }),
        decode: bytes => {
          const frame = decodeFrame(bytes.subarray(PREFIX_BYTES))
          return frame?.kind === 'message' ? decodeDelta(frame.payload) : undefined
        },
      },
      {
        name: 'protobufjs',
        encode: () => protobuf.encodeFrame(TOPIC, 2, plainDelta()),
        decode: bytes => protobuf.decodeFrame(bytes),
      },
    ]),
  ]
}

const TOPIC = 'sessions'
const ORIGIN = '0123456789abcdef0123456789abcdef'
/** Made once, as a record's is. */
const KEY = `${ORIGIN}#7`

function delta(): Delta {
  const { stamp, deps } = plainDelta()
  const writes = new SmallMap([['cart', encodeValue(cartValue())]])
  return { kind: 'write', key: KEY, stamp, deps, writes }
}

function plainDelta(): PlainDelta {
  const stamp = { origin: ORIGIN, seq: 41, wallMs: 1_790_000_000_000, counter: 3 }
  return { stamp, created: 7, deps: [[ORIGIN, 40]], writes: { cart: cartValue() } }
}

function encodeDelta(): Uint8Array {
  return replicationCodec.encodeMessage({ kind: 'delta', delta: delta() })
}

function decodeDelta(bytes: Uint8Array): unknown {
  const message = replicationCodec.decodeMessage(bytes)
  if (message.kind !== 'delta') throw new Error(`A delta became a ${message.kind}`)
  return [...message.delta.writes].map(([name, value]) => [name, value && decodeValue(value)])
}

function cartValue(): object {
  const items = [1, 2, 3].map(n => ({ article: `article-${n}`, count: n, price: 12.5 * n }))
  return { user: 'ada@example.org', items, currency: 'EUR', gift: false }
}

function compare(roundMs: number, what: string, plain: unknown, codecs: readonly Codec[]): Row[] {
  const json = measure(roundMs, {
    name: 'JSON',
    encode: () => Buffer.from(JSON.stringify(plain)),
    decode: bytes => JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')),
  })
  const v8 = measure(roundMs, {
    name: 'v8.serialize',
    encode: () => serialize(plain),
    decode: bytes => deserialize(bytes),
  })
  const pairSeconds = ({ encodesPerSecond, decodesPerSecond }: Speed): number =>
    1 / encodesPerSecond + 1 / decodesPerSecond
  return [...codecs.map(one => measure(roundMs, one)), json, v8].map(({ name, ...speed }) => ({
    labels: { what, codec: name },
    values: { ...speed, againstJson: pairSeconds(json) / pairSeconds(speed) },
  }))
}

interface Speed {
  readonly bytes: number
  readonly encodesPerSecond: number
  readonly decodesPerSecond: number
}

function measure(roundMs: number, { name, encode, decode }: Codec): Speed & { readonly name: string } {
  const bytes = encode()
  const encodesPerSecond = perSecond(roundMs, encode)
  const decodesPerSecond = perSecond(roundMs, () => decode(bytes))
  return { name, bytes: bytes.length, encodesPerSecond, decodesPerSecond }
}

/** After a warm-up of the same length. */
function perSecond(roundMs: number, run: () => unknown): number {
  let rate = 0
  for (let round = 0; round < 2; round++) {
    const startedAt = performance.now()
    let count = 0
    for (; performance.now() - startedAt < roundMs; count += 64) for (let i = 0; i < 64; i++) run()
    rate = (count * 1_000) / (performance.now() - startedAt)
  }
  return Math.round(rate)
}
