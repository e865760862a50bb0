import { readFileSync } from 'node:fs'
import path from 'node:path'
import test from 'ava'
import protobuf from 'protobufjs'
import { encodeMessage } from '../../../lib/replication/codec.js'
import { SmallMap } from '../../../lib/replication/small-map.js'

test('bytes written by hand are what replication.proto describes', t => {
  const { root } = protobuf.parse(readFileSync(path.resolve('lib/replication/replication.proto'), 'utf8'))
  const type = root.lookupType('tribeline.replication.ReplicationMessage')
  const origin = '00112233445566778899aabbccddeeff'
  const stamp = { wallMs: 1_800_000_000_000, counter: 3, origin, seq: 5 }
  const writes = new SmallMap<Uint8Array | undefined>([
    ['x', Uint8Array.of(1)],
    ['y', undefined],
  ])
  const bytes = encodeMessage({
    kind: 'delta',
    delta: { kind: 'write', key: `${origin}#2`, stamp, deps: [[origin, 2]], writes },
  })
  const shown = type.toObject(type.decode(bytes), { longs: Number, bytes: Array })
  const id = [...Buffer.from(origin, 'hex')]
  t.deepEqual(shown, {
    kind: 1,
    delta: {
      kind: 1,
      origin: id,
      seq: 5,
      wallMs: 1_800_000_000_000,
      counter: 3,
      keySeq: 2,
      deps: [{ origin: id, seq: 2 }],
      writes: [{ name: 'x', value: [1] }, { name: 'y' }],
    },
  })
})

test('every golden message can be read by reflection', t => {
  const { root } = protobuf.parse(readFileSync(path.resolve('lib/replication/replication.proto'), 'utf8'))
  const type = root.lookupType('tribeline.replication.ReplicationMessage')
  for (const name of ['record', 'digest', 'reconcileHeader', 'reconcileRequest', 'reconcileChunk', 'checked']) {
    const hex = readFileSync(path.resolve('test/golden', `replication-${name}.hex`), 'utf8').trim()
    const decoded = type.decode(Buffer.from(hex, 'hex'))
    t.is(sorted(type.encode(decoded).finish()), sorted(Buffer.from(hex, 'hex')), name)
  }
})

/** The order of fields is free in protobuf, so the same bytes in any order will do. */
function sorted(bytes: Uint8Array): string {
  return Buffer.from(Uint8Array.from(bytes).sort()).toString('base64')
}
