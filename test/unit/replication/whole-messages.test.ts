import test from 'ava'
import type { Topic, TopicListener } from '../../../lib/channel/topic.js'
import type { Member } from '../../../lib/membership/member.js'
import { decodeMessage, encodeMessage, encodePieces } from '../../../lib/replication/codec.js'
import { bytesOf, isPart, PART_BYTES, WHOLE_BYTES_MAX } from '../../../lib/replication/fragments.js'
import { PackedRecord } from '../../../lib/replication/packed-record.js'
import type { RecordKey } from '../../../lib/replication/replica-contract.js'
import { ReplicaScope } from '../../../lib/replication/scope.js'

const joiner: Member = { id: 'b'.repeat(32), name: 'b', host: '127.0.0.1', port: 2 }
const FRAME_PAYLOAD_BYTES = 1_047_552

interface Sent {
  readonly payload: Uint8Array
  readonly rest: readonly Uint8Array[]
}

/** What a member with a record of so many bytes, or several, answers to a request for all buckets. */
function answers(valueBytes: number, wholeBytes: number | undefined, payloadBytesMax?: number, count = 1): Sent[] {
  const sent: Sent[] = []
  let topic: TopicListener | undefined
  let now = 0
  let tick = (): void => {}
  const scope = new ReplicaScope({
    clock: {
      wall: () => now,
      monotonic: () => now,
      soon: run => run(),
      setTimer: (delayMs, run) => {
        tick = () => {
          now += delayMs
          run()
        }
        return { cancel: () => {} }
      },
    },
    random: { bytes: length => new Uint8Array(length), uint32: () => 0 },
    openTopic: listener => {
      topic = listener
      return {
        name: 'topic',
        local: { id: 'a'.repeat(32), name: 'a', host: '127.0.0.1', port: 1 },
        members: [],
        clusterTime: () => 1_000_000 + now,
        send: (payload, options) => {
          if (options?.bulk === true) sent.push({ payload, rest: options.rest ?? [] })
        },
        close: () => {},
        ...(payloadBytesMax !== undefined && { payloadBytesMax }),
      } satisfies Topic
    },
  })
  while (!scope.replica.ready) tick()
  const create = (): RecordKey => scope.replica.create(new Map([['x', new Uint8Array(valueBytes).fill(7)]])).key
  const key = create()
  for (let n = 1; n < count; n++) create()
  topic?.receive(encodeMessage({ kind: 'reconcileStart', id: 1 }), joiner)
  sent.length = 0
  const bucket = Array.from({ length: 1_024 }, (_, index) => index)
  const request = { kind: 'reconcileRequest', id: 1, after: undefined, have: [], number: count, wholeBytes } as const
  topic?.receive(encodeMessage({ ...request, buckets: bucket }), joiner)
  scope.close()
  if (count === 1 && sent.length === 1) {
    const message = decodeMessage(Buffer.concat([sent[0]!.payload, ...sent[0]!.rest]))
    if (message.kind !== 'reconcileChunk') throw new Error(message.kind)
    const [record] = message.parts.flatMap(({ records }) => records)
    if (record?.key !== key || record.value('x')?.length !== valueBytes) throw new Error('Another record')
  }
  return sent
}

test('a large record goes in one frame to who says that it takes that, and is not copied for it', t => {
  const [only, ...others] = answers(100_000, FRAME_PAYLOAD_BYTES, FRAME_PAYLOAD_BYTES)
  t.is(others.length, 0)
  t.false(isPart(only!.payload))
  t.is(only!.rest.length, 2)
  t.true(only!.payload.length + only!.rest[1]!.length < 20_000)
})

test('large records share a piece where it may travel whole: they are little work', t => {
  const records = (sent: readonly Sent[]): number[] =>
    sent.map(({ payload, rest }) => {
      const message = decodeMessage(Buffer.concat([payload, ...rest]))
      return message.kind === 'reconcileChunk' ? message.parts.flatMap(part => part.records).length : -1
    })
  const shared = records(answers(50_000, FRAME_PAYLOAD_BYTES, FRAME_PAYLOAD_BYTES, 9)).filter(count => count > 0)
  t.is(
    shared.reduce((sum, count) => sum + count, 0),
    9,
  )
  t.true(shared.length <= 4)
  t.deepEqual(records(answers(50_000, undefined, FRAME_PAYLOAD_BYTES, 4)).slice(0, 4), [1, 1, 1, 1])
})

test('a piece of several large records is never more than may travel whole', t => {
  for (const valueBytes of [100_000, 150_000, 200_000, 260_000, 262_000, 300_000, 500_000]) {
    const sent = answers(valueBytes, FRAME_PAYLOAD_BYTES, FRAME_PAYLOAD_BYTES, 9)
    t.true(sent.length > 1)
    t.true(sent.every(({ payload }) => !isPart(payload)))
    t.true(sent.every(({ payload, rest }) => payload.length + bytesOf(rest) <= WHOLE_BYTES_MAX))
    const records = sent.flatMap(({ payload, rest }) => {
      const message = decodeMessage(Buffer.concat([payload, ...rest]))
      return message.kind === 'reconcileChunk' ? message.parts.flatMap(part => part.records) : []
    })
    t.true(records.length >= 4)
  }
})

test('to all others, and beyond what both sides take, it goes in parts', t => {
  const cases = [
    [100_000, undefined, FRAME_PAYLOAD_BYTES],
    [100_000, FRAME_PAYLOAD_BYTES, undefined],
    [100_000, 90_000, FRAME_PAYLOAD_BYTES],
    [100_000, FRAME_PAYLOAD_BYTES, 90_000],
    [WHOLE_BYTES_MAX, FRAME_PAYLOAD_BYTES, FRAME_PAYLOAD_BYTES],
  ] as const
  for (const [valueBytes, wholeBytes, payloadBytesMax] of cases) {
    const sent = answers(valueBytes, wholeBytes, payloadBytesMax)
    t.true(sent.length > 1)
    for (const { payload, rest } of sent) {
      t.true(isPart(payload) && payload.length <= PART_BYTES + 9)
      t.is(rest.length, 0)
    }
  }
})

test('pieces of a message are its bytes; what is small is one of them', t => {
  const [sent] = answers(20_000, FRAME_PAYLOAD_BYTES, FRAME_PAYLOAD_BYTES)
  const message = decodeMessage(Buffer.concat([sent!.payload, ...sent!.rest]))
  if (message.kind !== 'reconcileChunk') return t.fail()
  t.deepEqual(Buffer.concat(encodePieces(message)), Buffer.from(encodeMessage(message)))
  const records = message.parts.flatMap(part => part.records)
  const [large] = records as [PackedRecord]
  const small = new PackedRecord(large.source, large.ageMs, large.hash, large.start, large.start + 4_000)
  const part = message.parts.find(part => part.records.length > 0)!
  const mixed = { ...message, parts: [{ ...part, records: [small, large, small, large, small] }] }
  const pieces = encodePieces(mixed)
  t.is(pieces.length, 5)
  t.deepEqual(Buffer.concat(pieces), Buffer.from(encodeMessage(mixed)))
  t.is(encodePieces({ ...mixed, parts: [{ ...part, records: [small, small] }] }).length, 1)
})

test('a request that does not tell what it takes is as it ever was', t => {
  const request = { kind: 'reconcileRequest', id: 1, buckets: [3], after: undefined, have: [], number: 2 } as const
  t.deepEqual(decodeMessage(encodeMessage(request)), request)
  const telling = { ...request, wholeBytes: FRAME_PAYLOAD_BYTES }
  t.deepEqual(decodeMessage(encodeMessage(telling)), telling)
  t.deepEqual(encodeMessage(telling).subarray(0, encodeMessage(request).length), encodeMessage(request))
})
