import test from 'ava'
import fc from 'fast-check'
import { SmallMap } from '../../../lib/replication/small-map.js'

test('does what a Map does, small or large', t => {
  const name = fc.integer({ min: 0, max: 40 }).map(n => `name ${n}`)
  const step = fc.record({ name, value: fc.option(fc.nat(9), { nil: undefined }), removes: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), steps => {
      const map = new SmallMap<number | undefined>()
      const model = new Map<string, number | undefined>()
      for (const { name, value, removes } of steps) {
        if (removes) t.is(map.delete(name), model.delete(name))
        else {
          map.set(name, value)
          model.set(name, value)
        }
        t.is(map.has(name), model.has(name))
        t.is(map.get(name), model.get(name))
        t.is(map.size, model.size)
      }
      t.deepEqual([...map], [...model])
      t.deepEqual([...map.keys()], [...model.keys()])
      t.deepEqual([...map.values()], [...model.values()])
      t.deepEqual([...new SmallMap(model).entries()], [...model])
      const told: unknown[] = []
      map.forEach((value, name) => {
        told.push([name, value])
      })
      t.deepEqual(told, [...model])
      for (const [name] of model) t.is(map.get(name), model.get(name))
    }),
  )
})
