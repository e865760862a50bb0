import { deserialize, serialize } from 'node:v8'
import * as replicationCodec from '../lib/replication/codec.js'
import type { Delta } from '../lib/replication/delta.js'
import { decodeFrame, encodeFrame } from '../lib/wire/codec.js'
import { PREFIX_BYTES } from '../lib/wire/frame.js'
import { decodeValue, encodeValue } from '../lib/wire/value-codec.js'

/** One line of the result: both ways, and the size. */
export interface CodecRow {
  readonly what: string
  readonly codec: string
  readonly bytes: number
  readonly encodesPerSecond: number
  readonly decodesPerSecond: number
  /** Encode and decode together, against JSON on the same data: 2 is twice as fast. */
  readonly againstJson: number
}

const ROUND_MS = 60
const ROUNDS = 5

interface Codec {
  readonly name: string
  readonly encode: () => Uint8Array
  readonly decode: (bytes: Uint8Array) => unknown
}

/**
 * Measures the library's codecs against JSON and v8.serialize, each doing the whole work for the same data: the delta
 * includes encoding its value, the frame includes encoding its delta.
 */
export function codec(): CodecRow[] {
  const { writes: _, ...plain } = delta()
  const plainDelta = { ...plain, writes: { cart: cartValue() } }
  const plainFrame = { kind: 'message', topic: 'sessions', ack: 2, payload: plainDelta }
  return [
    ...compare('value', cartValue(), {
      name: 'tribeline',
      encode: () => encodeValue(cartValue()),
      decode: decodeValue,
    }),
    ...compare('delta', plainDelta, { name: 'tribeline', encode: encodeDelta, decode: decodeDelta }),
    ...compare('frame', plainFrame, {
      name: 'tribeline',
      encode: () => encodeFrame({ kind: 'message', topic: 'sessions', ack: 2, payload: encodeDelta() }),
      decode: bytes => {
        const frame = decodeFrame(bytes.subarray(PREFIX_BYTES))
        return frame?.kind === 'message' ? decodeDelta(frame.payload) : undefined
      },
    }),
  ]
}

const ORIGIN = '0123456789abcdef0123456789abcdef'

function delta(): Delta {
  const stamp = { origin: ORIGIN, seq: 41, wallMs: 1_790_000_000_000, counter: 3 }
  const writes = new Map([['cart', encodeValue(cartValue())]])
  return { kind: 'write', key: `${ORIGIN}#7`, stamp, deps: [[ORIGIN, 40]], writes }
}

function encodeDelta(): Uint8Array {
  return replicationCodec.encodeMessage({ kind: 'delta', delta: delta() })
}

function decodeDelta(bytes: Uint8Array): unknown {
  const message = replicationCodec.decodeMessage(bytes)
  if (message.kind !== 'delta') throw new Error(`A delta became a ${message.kind}`)
  return [...message.delta.writes].map(([name, value]) => [name, value && decodeValue(value)])
}

function cartValue(): unknown {
  const items = [1, 2, 3].map(n => ({ article: `article-${n}`, count: n, price: 12.5 * n }))
  return { user: 'ada@example.org', items, currency: 'EUR', gift: false }
}

function compare(what: string, plain: unknown, own: Codec): CodecRow[] {
  const json = row(what, {
    name: 'JSON',
    encode: () => Buffer.from(JSON.stringify(plain)),
    decode: bytes => JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')),
  })
  const v8 = row(what, { name: 'v8.serialize', encode: () => serialize(plain), decode: bytes => deserialize(bytes) })
  return [row(what, own), json, v8]
    .map(it => ({ ...it, againstJson: Math.round((json.pairMs / it.pairMs) * 100) / 100 }))
    .map(({ pairMs: _, ...shown }) => shown)
}

function row(what: string, { name, encode, decode }: Codec): Omit<CodecRow, 'againstJson'> & { pairMs: number } {
  const bytes = encode()
  const encodes = perSecond(encode)
  const decodes = perSecond(() => decode(bytes))
  const pairMs = 1_000 / encodes + 1_000 / decodes
  return { what, codec: name, bytes: bytes.length, encodesPerSecond: encodes, decodesPerSecond: decodes, pairMs }
}

/** The median of a few rounds. */
function perSecond(run: () => unknown): number {
  const rates = Array.from({ length: ROUNDS }, () => {
    const startedAt = performance.now()
    let count = 0
    for (; performance.now() - startedAt < ROUND_MS; count += 64) for (let i = 0; i < 64; i++) run()
    return (count * 1_000) / (performance.now() - startedAt)
  })
  return Math.round(rates.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0)
}
