import test from 'ava'
import fc from 'fast-check'
import { AttributeList, type AttributeSnapshot } from '../../../lib/replication/attribute-list.js'
import { SmallMap } from '../../../lib/replication/small-map.js'

const STAMP = { wallMs: 1, counter: 0, origin: 'a', seq: 1 }

test('finds what was set last, and what it gave out stays as it was', t => {
  const name = fc.integer({ min: 0, max: 40 }).map(n => `name ${n}`)
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 4 }),
    fc.tuple(fc.nat(255), fc.nat(5_000)).map(([byte, length]) => new Uint8Array(length).fill(byte)),
  )
  const value = fc.option(bytes, { nil: undefined })
  const step = fc.record({ name, value, isLent: fc.boolean(), give: fc.constantFrom('nothing', 'snapshot', 'lend') })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), steps => {
      const list = new AttributeList()
      const model = new Map<string, Uint8Array | undefined>()
      const shared: [AttributeSnapshot, Map<string, Uint8Array>][] = []
      const lent: [Uint8Array | undefined, Uint8Array | undefined][] = []
      for (const { name, value, isLent, give } of steps) {
        const given = value?.slice()
        list.set(name, STAMP, given, isLent)
        // What is lent is taken back.
        if (isLent) given?.fill(0xdd)
        model.set(name, value)
        if (give === 'snapshot') shared.push([list.snapshot(), live(model)])
        else if (give === 'lend') lent.push([list.lend(name), value])
      }
      t.is(list.size, model.size)
      t.deepEqual(
        [...list].map(([name, { value }]) => [name, value]),
        [...model],
      )
      t.deepEqual(list.liveNames(), [...live(model).keys()])
      for (const [name, value] of model) t.deepEqual(list.get(name)?.value, value)
      for (const [now, then] of lent) t.deepEqual(now, then)
      for (const [snapshot, then] of shared) {
        t.deepEqual([...snapshot], [...then])
        t.deepEqual([...snapshot.keys()], [...then.keys()])
        t.is(snapshot.size, then.size)
        for (const name of model.keys()) t.deepEqual(snapshot.get(name), then.get(name))
      }
    }),
  )
})

test('what nobody was given is written over where it lies', t => {
  const list = new AttributeList()
  const write = (value: Uint8Array): ArrayBufferLike => {
    list.set('x', STAMP, value, true)
    t.deepEqual(list.get('x')?.value, value)
    return list.get('x')!.value!.buffer
  }
  const memory = write(new Uint8Array(3_000).fill(1))
  t.is(write(new Uint8Array(3_000).fill(2)), memory)
  t.is(write(new Uint8Array(2_000).fill(3)), memory)
  t.is(write(new Uint8Array(3_000).fill(4)), memory)
  t.not(write(new Uint8Array(3_001).fill(5)), memory, 'there is no room for more')
  const larger = write(new Uint8Array(3_001).fill(6))
  t.not(write(new Uint8Array(1_000).fill(7)), larger, 'most of it would be wasted')
})

test('what only its writer was given is taken over, the large values among it', t => {
  const list = new AttributeList()
  const write = (byte: number, length = 3_000): ArrayBufferLike => {
    list.set('x', STAMP, new Uint8Array(length).fill(byte), true)
    return list.get('x')!.value!.buffer
  }
  const names = new SmallMap([['x', undefined]])
  const memory = write(1)
  list.set('y', STAMP, new Uint8Array(3_000).fill(1), true)
  const shown = list.snapshot()
  list.takeOver(shown, names)
  t.is(write(2), memory)
  list.set('y', STAMP, new Uint8Array(3_000).fill(2), true)
  t.is(shown.get('y')?.[0], 1, 'it is not what is written')
  const [one, other] = [list.snapshot(), list.snapshot()]
  list.takeOver(one, names)
  const next = write(3)
  t.not(next, memory, 'somebody else has it as well')
  t.is(other.get('x')?.[0], 2)
  list.takeOver(other, names)
  t.is(write(4), next, 'what was shown before counts no more')
  write(5, 1_000)
  const small = list.snapshot()
  list.takeOver(small, names)
  write(6, 1_000)
  t.is(small.get('x')?.[0], 5, 'small ones stay')
})

test('a snapshot is one object until the next write', t => {
  const list = new AttributeList()
  list.set('x', STAMP, Uint8Array.of(1), false)
  const snapshot = list.snapshot()
  t.is(list.snapshot(), snapshot)
  list.set('x', STAMP, Uint8Array.of(2), false)
  t.not(list.snapshot(), snapshot)
  t.deepEqual(snapshot.get('x'), Uint8Array.of(1))
})

function live(model: ReadonlyMap<string, Uint8Array | undefined>): Map<string, Uint8Array> {
  return new Map([...model].filter((entry): entry is [string, Uint8Array] => entry[1] !== undefined))
}
