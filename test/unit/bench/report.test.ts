import test from 'ava'
import { comparison } from '../../../bench/compare.js'
import { pageOf } from '../../../bench/html.js'
import { columnsOf, figure, headOf, rowsOf, table, textOf } from '../../../bench/report.js'
import { RESULT, reportOf } from './sample-report.js'

const [PART] = reportOf().benches

test('figures have three or four digits, a dash where there is none', t => {
  const table = [
    [null, '–'],
    [0, '0'],
    [1_234_567.8, '1,234,568'],
    [12.345, '12.3'],
    [1.234, '1.23'],
    [0.01234, '0.012'],
    [-5.5, '-5.50'],
  ] as const
  for (const [value, shown] of table) t.is(figure(value), shown)
})

test('a table has a column for each label and each measure that any row has', t => {
  t.deepEqual(columnsOf(PART!), ['who', 'bytes', 'applied 1/s', 'p50 ms', 'size B', 'note'])
  t.deepEqual(rowsOf(PART!)[2], ['them', '64', '50,000', '–', '–', 'no <wait>'])
  const lines = table(['who', 'rate'], [['us', '1,000']]).split('\n')
  t.deepEqual(lines, ['who   rate', '---  -----', 'us   1,000'])
})

test('the text of a bench names its targets and what became of each', t => {
  const text = textOf(PART!)
  t.regex(text, /faster +≥ 4 x +4 +reached/)
  t.regex(text, /sooner +≤ 1 ms +1\.50 +missed/)
  t.regex(text, /unknown +≤ 1 +– +not measured +not installed/)
  t.regex(text, /Them: 1\.0/)
})

test('the head says so when others are at work, and when the run was quick', t => {
  t.notRegex(headOf(reportOf()), /OTHERS|QUICK/)
  t.regex(headOf({ ...reportOf(), load: 1.5 }), /OTHERS ARE AT WORK/)
  t.regex(headOf({ ...reportOf(), quick: true }), /QUICK/)
})

test('a comparison shows ratios above 1 for what is better, whichever way that is', t => {
  const [us, ...rest] = RESULT.rows
  const before = reportOf({ ...RESULT, rows: [{ ...us!, values: { rate: 100_000, wait: 0.1, bytes: 45 } }, ...rest] })
  const lines = comparison(reportOf(), before).split('\n')
  t.regex(lines.find(line => line.startsWith('who=us bytes=64')) ?? '', /2\.00 \* +2\.00 \*$/)
  t.regex(lines.find(line => line.startsWith('who=us bytes=1024')) ?? '', /1\.00 +1\.00$/)
  t.regex(lines.find(line => line.startsWith('who=them')) ?? '', /1\.00 +–$/)
})

test('a comparison names what was not measured then, and another machine', t => {
  const other = { ...reportOf(), machine: { ...reportOf().machine, cores: 64 }, benches: [] }
  const text = comparison(reportOf(), other)
  t.regex(text, /sample: not in the earlier run/)
  t.regex(text, /cores was 64, is 2/)
})

test('the page needs nothing else, escapes what it shows, and is well formed', t => {
  const page = pageOf(reportOf())
  t.notRegex(page, /<script|<link|src=|url\(|https?:/)
  t.regex(page, /Sample &#60;1&#62;/)
  t.regex(page, /no &#60;wait&#62;/)
  t.regex(page, /1 of 3 targets reached/)
  t.notRegex(page, /NaN|undefined|Infinity/)
  t.deepEqual(unclosed(page), [])
})

test('a chart has a mark for each figure, within the picture, and none where there are no rows', t => {
  const page = pageOf(reportOf())
  const figures = [...page.matchAll(/<figure>.*?<\/figure>/gs)].map(([text]) => text)
  t.deepEqual(
    figures.map(text => /<figcaption>(\w+)/.exec(text)?.[1]),
    ['Rate', 'Wait', 'Waits'],
  )
  t.is(figures[0]?.match(/<rect /g)?.length, 3)
  t.is(figures[1]?.match(/<circle /g)?.length, 2)
  t.is(figures[2]?.match(/<circle /g)?.length, 2)
  for (const [, x, y] of page.matchAll(/ (?:cx|x)="([-\d.]+)" (?:cy|y)="([-\d.]+)"/g)) {
    t.true(Number(x) >= 0 && Number(x) <= 720, `x ${x}`)
    t.true(Number(y) >= 0 && Number(y) <= 300, `y ${y}`)
  }
})

test('of two bars on a logarithmic axis a tenth is one step lower', t => {
  const rows = [1_000, 100, 10].map((rate, bytes) => ({ labels: { who: 'us', bytes }, values: { rate } }))
  const [rate] = [...pageOf(reportOf({ rows })).matchAll(/<figure>.*?<\/figure>/gs)].map(([text]) => text)
  const tops = [...(rate ?? '').matchAll(/<rect [^>]*y="([\d.]+)"/g)].map(([, y]) => Number(y))
  t.is(tops.length, 3)
  const [first = 0, second = 0, third = 0] = tops
  t.true(first < second)
  t.true(Math.abs(second - first - (third - second)) < 0.5)
})

/** Elements that are opened and not closed, in order; those that need no end are left out. */
function unclosed(page: string): string[] {
  const open: string[] = []
  const body = page.replace(/<style>.*?<\/style>/gs, '')
  for (const [, slash, name = '', rest = ''] of body.matchAll(/<(\/?)([a-z0-9]+)([^>]*)>/gi)) {
    if (slash === '/') {
      if (open.at(-1) !== name) return [...open, `/${name}`]
      open.pop()
    } else if (!rest.endsWith('/') && !['meta', 'br', 'link'].includes(name)) open.push(name)
  }
  return open
}
