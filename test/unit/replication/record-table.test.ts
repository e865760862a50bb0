import test from 'ava'
import fc from 'fast-check'
import { bucketOf } from '../../../lib/replication/bucket-index.js'
import { canonicalRecord } from '../../../lib/replication/canonical.js'
import { ReplicaRecord } from '../../../lib/replication/record.js'
import { RecordArena } from '../../../lib/replication/record-arena.js'
import { RecordTable } from '../../../lib/replication/record-table.js'
import { ShardedMap } from '../../../lib/replication/sharded-map.js'
import { SmallMap } from '../../../lib/replication/small-map.js'

const ORIGIN = '00112233445566778899aabbccddeeff'

function record(seq: number, value: Uint8Array): ReplicaRecord {
  const key = `${ORIGIN}#${seq}`
  const result = new ReplicaRecord(key, bucketOf(key), seq)
  const stamp = { wallMs: 1_700_000_000_000, counter: 3, origin: ORIGIN, seq }
  result.applyDelta({
    kind: 'create',
    key,
    stamp,
    deps: [],
    writes: new SmallMap<Uint8Array | undefined>([
      ['a', new Uint8Array(value)],
      ['gone', undefined],
    ]),
  })
  result.use({ wallMs: stamp.wallMs, counter: 3, origin: ORIGIN }, 0, seq + 0.25)
  result.announcedAtMs = seq - 0.5
  return result
}

test('a packed record comes back as it was', t => {
  const table = new RecordTable(1)
  const all = [1, 2, 3, 4].map(seq => record(seq, Buffer.alloc(seq * 10, seq)))
  for (const it of all) table.set(it.key, it)
  for (let i = 0; i < 3; i++) table.pack()
  t.true(table.packedBytes > 0)
  for (const it of all) {
    const peeked = table.peek(it.key)!
    t.deepEqual(table.hash(it.key), it.hash)
    t.is(canonicalRecord(peeked), canonicalRecord(it))
    const { used: _, place: _place, ...was } = it
    const unpacked = table.get(it.key)!
    t.deepEqual(unpacked.hash, it.hash)
    const { used: __, place: __place, ...is } = unpacked
    t.deepEqual(is, was)
  }
  t.is(table.size, 4)
})

test('a record in use stays the same object', t => {
  const table = new RecordTable(20)
  const first = record(1, Buffer.from('x'))
  table.set(first.key, first)
  for (let seq = 2; seq < 500; seq++) {
    const next = record(seq, Buffer.from('y'))
    table.set(next.key, next)
    table.pack()
    t.is(table.get(first.key), first)
  }
})

test('a table behaves like a map, whatever is packed', t => {
  const step = fc.record({
    kind: fc.constantFrom('set', 'get', 'change', 'delete', 'tick'),
    seq: fc.integer({ min: 1, max: 30 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 8 }), (steps, max) => {
      const table = new RecordTable(max)
      const model = new Map<string, string>()
      let turn = 0
      for (const { kind, seq } of steps) {
        const key = `${ORIGIN}#${seq}`
        turn++
        if (kind === 'set' && !table.has(key)) table.set(key, record(seq, Buffer.alloc(turn % 40, turn)))
        else if (kind === 'change')
          table.get(key)?.applyDelta({
            kind: 'write',
            key,
            deps: [],
            stamp: { wallMs: 1_700_000_000_000 + turn, counter: 0, origin: ORIGIN, seq: 1_000 + turn },
            writes: new SmallMap([['b', Buffer.alloc(turn)]]),
          })
        else if (kind === 'delete') table.delete(key)
        else if (kind === 'tick') table.pack()
        const now = table.peek(key)
        if (now === undefined) model.delete(key)
        else if (kind === 'set' || kind === 'change') model.set(key, canonicalRecord(now))
        else if (model.get(key) !== canonicalRecord(now)) return false
      }
      const keys = [...table.keys()].sort()
      return table.size === model.size && keys.join() === [...model.keys()].sort().join()
    }),
  )
  t.pass()
})

test('an arena keeps every block whole while others come and go, and gives memory back', t => {
  const arena = new RecordArena()
  const blocks = new Map<number, Buffer>()
  let state = 7
  const random = (limit: number): number => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0) % limit
  for (let i = 0; i < 20_000; i++) {
    if (blocks.size > 0 && random(10) < 4) {
      const slot = [...blocks.keys()][random(Math.min(blocks.size, 50))]!
      if (!arena.get(slot).equals(blocks.get(slot)!)) t.fail(`block ${slot} at step ${i}`)
      arena.delete(slot)
      blocks.delete(slot)
    } else {
      const block = Buffer.alloc(random(20) === 0 ? 20_000 : random(900), i)
      blocks.set(arena.put(block), block)
    }
  }
  for (const [slot, block] of blocks) t.true(arena.get(slot).equals(block))
  t.true(arena.heldBytes <= 2 * arena.liveBytes + 6 * 1_048_576)
  for (const slot of blocks.keys()) arena.delete(slot)
  t.is(arena.liveBytes, 0)
  t.true(arena.heldBytes <= 2 * 1_048_576)
})

test('a block larger than a slab has its own', t => {
  const arena = new RecordArena()
  const large = Buffer.alloc(3_000_000, 5)
  const slot = arena.put(large)
  const other = arena.put(Buffer.from('small'))
  t.is(Buffer.compare(arena.get(slot), large), 0)
  arena.delete(slot)
  t.is(arena.get(other).toString(), 'small')
  t.true(arena.heldBytes < 3_000_000)
})

test('the collector keeps no account of a growing arena, but of what replaces dropped slabs', t => {
  const arena = new RecordArena()
  const fill = (): number[] => Array.from({ length: 8 }, (_, n) => arena.put(Buffer.alloc(1_000_000, n)))
  const shared = (slots: readonly number[]): number =>
    slots.filter(slot => (arena.memory(slot).buffer as unknown) instanceof SharedArrayBuffer).length
  const first = fill()
  t.is(shared(first), 8)
  for (const slot of first) arena.delete(slot)
  const second = fill()
  t.true(shared(second) <= 1)
  const more = fill()
  t.true(shared(more) >= 7)
  for (const [n, slot] of [...second, ...more].entries()) t.true(arena.get(slot).equals(Buffer.alloc(1_000_000, n % 8)))
})

test('a sharded map behaves like a map', t => {
  const steps = fc.array(fc.tuple(fc.boolean(), fc.string({ maxLength: 3 }), fc.integer()), { maxLength: 100 })
  fc.assert(
    fc.property(steps, list => {
      const map = new ShardedMap<number>()
      const model = new Map<string, number>()
      for (const [add, key, value] of list) {
        if (add) {
          map.set(key, value)
          model.set(key, value)
        } else if (map.delete(key) !== model.delete(key)) return false
        if (map.get(key) !== model.get(key) || map.has(key) !== model.has(key) || map.size !== model.size) return false
      }
      return [...map.keys()].sort().join('|') === [...model.keys()].sort().join('|')
    }),
  )
  t.pass()
})

test('what a record leaves where it lies for a transfer is not written over', t => {
  const table = new RecordTable(1)
  const write = (on: ReplicaRecord, seq: number): void => {
    const stamp = { wallMs: 1_700_000_000_000 + seq, counter: 0, origin: ORIGIN, seq }
    const writes = new SmallMap([['a', new Uint8Array(20_000).fill(seq)]])
    on.applyDelta({ kind: 'write', key: on.key, stamp, deps: [], writes, isLent: true })
  }
  const held = record(1, new Uint8Array(5))
  write(held, 2)
  const place = held.value('a')
  write(held, 3)
  t.true(held.value('a') === place, 'in place until it is shared')
  table.set(held.key, held)
  const pieces: Uint8Array[] = []
  table.outgoing(held.key, 0)?.write(Buffer.alloc(1_000), 0, piece => void pieces.push(piece))
  write(held, 4)
  t.is(pieces.length, 1)
  t.true(pieces[0]?.every(byte => byte === 3))
  t.true(held.value('a')?.every(byte => byte === 4))
})
