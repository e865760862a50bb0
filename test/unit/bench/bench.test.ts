import test from 'ava'
import fc from 'fast-check'
import { find, isReached, median, medianRows, nameOf, percentile, ratio } from '../../../bench/bench.js'

test('median and percentile: of nothing null, else as in the books', t => {
  t.is(median([]), null)
  t.is(median([null, null]), null)
  t.is(median([3, null, 1, 2]), 2)
  t.is(median([4, 1, 3, 2]), 2.5)
  t.is(percentile([], 0.5), null)
  t.is(percentile([1, 2, 3, 4], 0.5), 2)
  t.is(percentile([1, 2, 3, 4], 0), 1)
  t.is(percentile([1, 2, 3, 4], 1), 4)
})

test('half of the values lie on each side of the median', t => {
  fc.assert(
    fc.property(fc.array(fc.integer(), { minLength: 1 }), values => {
      const middle = median(values) as number
      const below = values.filter(value => value < middle).length
      const above = values.filter(value => value > middle).length
      return below <= values.length / 2 && above <= values.length / 2
    }),
  )
  t.pass()
})

test('rows with the same labels become one, with the median of each figure and every note once', t => {
  const row = (rate: number | null, note?: string) => ({
    labels: { who: 'us', bytes: 64 },
    values: { rate },
    ...(note === undefined ? {} : { note }),
  })
  const other = { labels: { who: 'us', bytes: 65 }, values: { rate: 9 } }
  const merged = medianRows([row(1), other, row(5, 'odd'), row(2, 'odd'), row(null)])
  t.deepEqual(merged, [{ labels: { who: 'us', bytes: 64 }, values: { rate: 2 }, note: 'odd' }, other])
  t.is(nameOf(other), 'who=us bytes=65')
})

test('a ratio of what was not measured is not measured, and neither is a target reached by it', t => {
  const rows = [{ labels: { who: 'us', bytes: 64 }, values: { rate: 6 } }]
  t.is(ratio(find(rows, { bytes: 64 }, 'rate'), 2), 3)
  t.is(ratio(find(rows, { bytes: 65 }, 'rate'), 2), null)
  t.is(ratio(1, 0), null)
  t.is(isReached({ what: '', wanted: { atLeast: 3 }, unit: 'x', measured: 3 }), true)
  t.is(isReached({ what: '', wanted: { atMost: 3 }, unit: 'x', measured: 3.1 }), false)
  t.is(isReached({ what: '', wanted: { atMost: 3 }, unit: 'x', measured: null }), undefined)
})
