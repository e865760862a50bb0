import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import fc from 'fast-check'
import { judgeHello } from '../../lib/channel/handshake.js'
import { ProtocolError } from '../../lib/errors.js'
import { SessionCookie } from '../../lib/http/cookies/session-cookie.js'
import { ClusterClock } from '../../lib/membership/cluster-clock.js'
import type { Member } from '../../lib/membership/member.js'
import { MemberTable } from '../../lib/membership/member-table.js'
import { memberTableDefaults } from '../../lib/membership/member-table-types.js'
import { decodeMessage, encodeMessage } from '../../lib/replication/codec.js'
import { PackedRecord } from '../../lib/replication/packed-record.js'
import { SEEN_RANGES_MAX, SeenSet } from '../../lib/replication/seen-set.js'
import { SmallMap } from '../../lib/replication/small-map.js'
import { readNumber } from '../../lib/session/session.js'
import { SessionDelta } from '../../lib/session/session-delta.js'
import { decodeFrame, encodeFrame } from '../../lib/wire/codec.js'
import { decodeDatagram, encodeDatagram } from '../../lib/wire/datagram.js'
import { FrameDecoder, PREFIX_BYTES } from '../../lib/wire/frame.js'
import { decodeValue, encodeValue } from '../../lib/wire/value-codec.js'

/** Everything that reads bytes from the network, each fed with what no honest member sends. */

/** Inputs of each kind; more in `npm run fuzz`. */
const RUNS = Number(process.env['FUZZ_RUNS'] ?? 1_000)
/** What one input of a few kilobytes may take while it is read. */
const GROWTH_BYTES_MAX = 16 * 1024 * 1024

interface Decoder {
  readonly name: string
  /** Valid inputs, from which broken ones are made. */
  readonly samples: readonly Uint8Array[]
  /** Throws ProtocolError, or checks what came out; anything else thrown is a failure. */
  readonly decode: (bytes: Uint8Array) => void
}

const member: Member = { id: '000102030405060708090a0b0c0d0e0f', name: 'node1', host: '10.0.0.1', port: 4000 }
const golden = new Map(
  readdirSync('test/golden')
    .filter(file => file.endsWith('.hex'))
    .map(file => [
      file.replace('.hex', ''),
      new Uint8Array(Buffer.from(readFileSync(`test/golden/${file}`, 'utf8').trim(), 'hex')),
    ]),
)
const replication = [...golden].filter(([name]) => name.startsWith('replication-')).map(([, bytes]) => bytes)
const framed = [...golden]
  .filter(([name]) => !name.startsWith('replication-') && name !== 'datagram')
  .map(([, bytes]) => bytes)
const cycle: { self?: unknown } = {}
cycle.self = cycle
const values = [
  null,
  undefined,
  'text '.repeat(50),
  { user: 'a', list: [1, -1, 2.5, 1n << 70n], when: new Date(0) },
  new Map<unknown, unknown>([
    ['k', new Set([1, 'x'])],
    [2, { a: 1, b: { c: new Float64Array([1, 2]) } }],
  ]),
  [{ a: 1 }, { a: 2 }, { a: 3 }],
  new TypeError('wrong'),
  /x/g,
  new Uint8Array(300),
  cycle,
  ['request', 7, { of: 'rpc' }],
].map(encodeValue)

const table = new MemberTable(
  member,
  { bytes: length => new Uint8Array(length), uint32: () => 0 },
  memberTableDefaults,
  () => {},
  0,
)
const clock = new ClusterClock(1_750_000_000_123, 0)
const context = { group: 'shop', local: member, incarnation: 0, stopping: false, table, clock, membersMax: 10 }

const DECODERS: readonly Decoder[] = [
  {
    name: 'a frame, and the handshake it may be',
    samples: framed.map(bytes => bytes.subarray(PREFIX_BYTES)),
    decode: bytes => {
      const frame = decodeFrame(bytes)
      if (frame === undefined) return
      same(decodeFrame(encodeFrame(frame).subarray(PREFIX_BYTES)), frame)
      if (frame.kind === 'hello') encodeFrame(judgeHello(context, frame, 0))
    },
  },
  {
    name: 'a stream of frames',
    samples: [Buffer.concat(framed), ...framed],
    decode: bytes => {
      const decoder = new FrameDecoder(65_536)
      let taken = 0
      for (let at = 0; at < bytes.length; at += 7) {
        decoder.push(bytes.slice(at, at + 7))
        for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
          taken += PREFIX_BYTES + frame.length
          decodeFrame(frame)
        }
        same(decoder.bufferedBytes + taken, Math.min(at + 7, bytes.length))
      }
    },
  },
  {
    name: 'a datagram',
    samples: [golden.get('datagram') ?? new Uint8Array()],
    decode: bytes => {
      const heartbeat = decodeDatagram(bytes)
      if (heartbeat !== undefined) same(decodeDatagram(encodeDatagram(heartbeat)), heartbeat)
    },
  },
  {
    name: 'a replication message, and the seen-set of a digest',
    samples: replication,
    decode: bytes => {
      const message = decodeMessage(bytes)
      same(decodeMessage(encodeMessage(message)), message)
      if (message.kind !== 'digest' && message.kind !== 'reconcileHeader') return
      const set = SeenSet.from(message.digest)
      same(set.digest(), message.digest)
      same([set.covers(message.digest), set.missing(message.digest)], [true, []])
      if (message.digest.some(({ ranges }) => ranges.length > SEEN_RANGES_MAX)) throw new Error('Too many ranges')
      if (new SeenSet().missing(message.digest).some(({ ranges }) => ranges.length > 4_096)) throw new Error('Too many')
    },
  },
  {
    name: 'a value',
    samples: values,
    decode: bytes => {
      let failed: unknown
      try {
        decodeValue(bytes)
      } catch (error) {
        failed = error
      }
      // Whatever came before must not show in what comes after.
      same(decodeValue(KNOWN_BYTES), KNOWN)
      if (failed !== undefined) throw failed
    },
  },
  {
    name: 'an attribute of a session',
    samples: values,
    decode: bytes => void new SessionDelta({ encode: encodeValue, decode: decodeValue }, [['x', bytes]]).get('x'),
  },
  {
    name: 'a number of a session',
    samples: ['1800', '0', '-1', '9007199254740991'].map(number => Buffer.from(number)),
    decode: bytes => {
      const number = readNumber(bytes)
      if (number === undefined) throw new ProtocolError('No number')
      if (!Number.isSafeInteger(number)) throw new Error(`${number}`)
    },
  },
]

const KNOWN = { a: [{ b: 1 }, { b: 2 }], when: new Date(5) }
const KNOWN_BYTES = encodeValue(KNOWN)

/** Ways to break bytes; several are applied one after the other. */
type Damage =
  | { readonly kind: 'cut'; readonly at: number }
  | { readonly kind: 'flip'; readonly at: number; readonly bits: number }
  | { readonly kind: 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'repeat'; readonly at: number; readonly length: number; readonly times: number }

/** Lengths no input of this size has: varints, and MessagePack's own. */
const LARGE = [
  'ffffffff0f',
  'ffffffff07',
  'ffffffffffffffffff01',
  '808080808001',
  'ddffffffff',
  'dfffffffff',
  'dbfffffff0',
].map(hex => new Uint8Array(Buffer.from(hex, 'hex')))

function damage(): fc.Arbitrary<Damage> {
  const at = fc.nat(4_000)
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 12 }), fc.constantFrom(...LARGE))
  return fc.oneof(
    fc.record({ kind: fc.constant('cut' as const), at }),
    fc.record({ kind: fc.constant('flip' as const), at, bits: fc.integer({ min: 1, max: 255 }) }),
    fc.record({ kind: fc.constant('insert' as const), at, bytes }),
    fc.record({ kind: fc.constant('repeat' as const), at, length: fc.nat(200), times: fc.nat(20) }),
  )
}

function damaged(sample: Uint8Array, steps: readonly Damage[]): Uint8Array {
  let bytes: Uint8Array = Uint8Array.from(sample)
  for (const step of steps) {
    const at = step.at % (bytes.length + 1)
    if (step.kind === 'cut') bytes = bytes.slice(0, at)
    else if (step.kind === 'insert') bytes = joined(bytes.subarray(0, at), step.bytes, bytes.subarray(at))
    else if (step.kind === 'repeat') {
      const piece = bytes.subarray(at, at + step.length)
      bytes = joined(bytes.subarray(0, at), ...Array<Uint8Array>(step.times).fill(piece), bytes.subarray(at))
    } else if (at < bytes.length) bytes[at]! ^= step.bits
  }
  return bytes
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts))
}

for (const { name, samples, decode } of DECODERS) {
  /** True for a valid value; false for a ProtocolError; fails for all else. */
  const accepts = (bytes: Uint8Array): boolean => {
    const before = used()
    let valid = true
    try {
      decode(bytes)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      valid = false
    }
    const growth = used() - before
    if (growth > GROWTH_BYTES_MAX) throw new Error(`${bytes.length} bytes took ${growth}`)
    return valid
  }

  test(`${name}: honest bytes are read`, t => {
    t.true(samples.length > 0)
    for (const sample of samples) t.true(accepts(sample))
  })

  test(`${name}: any bytes`, t => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), bytes => void accepts(bytes)),
      { numRuns: RUNS },
    )
    t.pass()
  })

  test(`${name}: honest bytes cut off, changed, enlarged and repeated`, t => {
    const steps = fc.array(damage(), { minLength: 1, maxLength: 4 })
    let refused = 0
    fc.assert(
      fc.property(fc.constantFrom(...samples), steps, (sample, list) => {
        if (!accepts(damaged(sample, list))) refused++
      }),
      { numRuns: 3 * RUNS },
    )
    t.true(refused > 0)
  })

  test(`${name}: lengths beyond what came, at every place`, t => {
    let refused = 0
    for (const sample of samples) {
      const step = Math.max(1, Math.floor(sample.length / 100))
      for (let at = 0; at <= sample.length; at += step) {
        for (const large of LARGE) {
          if (!accepts(joined(sample.subarray(0, at), large, sample.subarray(at + 1)))) refused++
          if (!accepts(joined(sample.subarray(0, at), large))) refused++
        }
      }
    }
    t.true(refused > 0)
  })
}

test('a cookie: any text, signed, cut off or changed, is an id of ours or nobody’s', t => {
  const cookie = new SessionCookie('sid', 'secret')
  const valid = cookie.issue('the-id', false).split(';')[0] ?? ''
  const text = fc.oneof(
    fc.string({ maxLength: 200 }),
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.tuple(fc.nat(), fc.string({ maxLength: 3 })).map(([at, more]) => {
      const cut = at % valid.length
      return valid.slice(0, cut) + more + valid.slice(cut + (at % 3))
    }),
  )
  fc.assert(
    fc.property(text, header => {
      const id = cookie.read(header, undefined).id
      t.true(id === undefined || id === 'the-id')
      t.is(cookie.read(`sid=${encodeURIComponent(header)}`, undefined).id, undefined)
    }),
    { numRuns: RUNS },
  )
  t.is(cookie.read(valid, undefined).id, 'the-id')
})

function used(): number {
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Throws unless both are the same value; views and buffers are equal when their bytes are. */
function same(actual: unknown, expected: unknown): void {
  const [a, b] = [plain(actual), plain(expected)]
  if (a !== b) throw new Error(`${a} is not ${b}`)
}

function plain(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.length).toString('hex')
  if (value instanceof Map || value instanceof SmallMap || Array.isArray(value)) {
    return `[${[...value].map(plain).join()}]`
  }
  if (typeof value !== 'object' || value === null || value instanceof Date) return JSON.stringify(value) ?? 'undefined'
  if (value instanceof PackedRecord) {
    const { source, start, end, ageMs, hash } = value
    return plain({ bytes: source.subarray(start, end), ageMs, hash })
  }
  const entries = Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}:${plain(each)}`)
  return `{${entries.join()}}`
}
