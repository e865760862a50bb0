import test from 'ava'
import fc from 'fast-check'
import { AttributeList, type AttributeSnapshot, type HeldAttribute } from '../../../lib/replication/attribute-list.js'

const STAMP = { wallMs: 1, counter: 0, origin: 'a', seq: 1 }

function cell(name: string, value: Uint8Array | undefined): HeldAttribute {
  return { name, stamp: STAMP, value, mix: undefined }
}

test('finds what was set last, and a snapshot stays as it was', t => {
  const name = fc.integer({ min: 0, max: 40 }).map(n => `name ${n}`)
  const value = fc.option(fc.uint8Array({ maxLength: 2 }), { nil: undefined })
  const step = fc.record({ name, value, isShared: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), steps => {
      const list = new AttributeList()
      const model = new Map<string, Uint8Array | undefined>()
      const shared: [AttributeSnapshot, Map<string, Uint8Array>][] = []
      for (const { name, value, isShared } of steps) {
        list.set(cell(name, value))
        model.set(name, value)
        if (isShared) shared.push([list.snapshot(), live(model)])
      }
      t.is(list.size, model.size)
      t.deepEqual(
        [...list].map(([name, { value }]) => [name, value]),
        [...model],
      )
      t.deepEqual(list.liveNames(), [...live(model).keys()])
      for (const [name, value] of model) t.is(list.get(name)?.value, value)
      for (const [snapshot, then] of shared) {
        t.deepEqual([...snapshot], [...then])
        t.deepEqual([...snapshot.keys()], [...then.keys()])
        t.is(snapshot.size, then.size)
        for (const name of model.keys()) t.is(snapshot.get(name), then.get(name))
      }
    }),
  )
})

test('a snapshot is one object until the next write', t => {
  const list = new AttributeList()
  list.set(cell('x', Uint8Array.of(1)))
  const snapshot = list.snapshot()
  t.is(list.snapshot(), snapshot)
  list.set(cell('x', Uint8Array.of(2)))
  t.not(list.snapshot(), snapshot)
  t.deepEqual(snapshot.get('x'), Uint8Array.of(1))
})

function live(model: ReadonlyMap<string, Uint8Array | undefined>): Map<string, Uint8Array> {
  return new Map([...model].filter((entry): entry is [string, Uint8Array] => entry[1] !== undefined))
}
