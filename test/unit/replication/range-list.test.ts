import test from 'ava'
import fc from 'fast-check'
import { RangeList } from '../../../lib/replication/range-list.js'

test('a list of ranges is the set of their numbers, whatever the order they come in', t => {
  const step = fc.record({
    from: fc.integer({ min: 2, max: 1_500 }),
    length: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.nat(40)),
    cut: fc.oneof({ weight: 99, arbitrary: fc.constant(0) }, fc.nat(1_500)),
  })
  fc.assert(
    fc.property(fc.array(step, { minLength: 300, maxLength: 900 }), steps => {
      const list = new RangeList()
      const model = new Set<number>()
      for (const { from, length, cut } of steps) {
        const range = list.add(from, from + length, 10_000)!
        if (range[0] > from || range[1] < from + length) return false
        for (let seq = from; seq <= from + length; seq++) model.add(seq)
        if (cut === 0) continue
        // Whole ranges only, as a seen-set does when its prefix has grown.
        const within = list.from(cut)
        const upTo = within !== undefined && within[0] <= cut ? within[1] : cut
        list.removeUpTo(upTo)
        for (const seq of model) if (seq <= upTo) model.delete(seq)
      }
      const ranges = [...list]
      const apart = ranges.every(([from, to], index) => from <= to && (index === 0 || ranges[index - 1]![1] + 1 < from))
      const count = ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0)
      const found = [...model].every(seq => {
        const range = list.from(seq)
        return range !== undefined && range[0] <= seq && seq <= range[1] && list.has(seq)
      })
      const gaps = ranges.every(([from, to]) => !list.has(from - 1) && !list.has(to + 1))
      const tail = [...list.startingAt(700)]
      const same = tail.every(([from, to], index) => {
        const range = ranges[ranges.length - tail.length + index]!
        return range[0] === from && range[1] === to
      })
      return apart && found && gaps && same && count === model.size && list.size === ranges.length
    }),
  )
  t.pass()
})

test('a range too many is refused, one that joins others is not', t => {
  const list = new RangeList()
  for (const seq of [2, 4, 6]) t.deepEqual(list.add(seq, seq, 3), [seq, seq])
  t.is(list.add(9, 9, 3), undefined)
  t.deepEqual(list.add(3, 3, 3), [2, 4])
  t.deepEqual(list.add(5, 7, 3), [2, 7])
  t.deepEqual([...list], [[2, 7]])
  t.is(list.from(8), undefined)
})
