import { type Measure, nameOf } from './bench.js'
import { figure, heading, type Report, type ReportPart, table } from './report.js'

/** Differences smaller than this say more about the machine's mood than about the code. */
const NOISE = 0.1

/** Ratios of a report's figures to an earlier one's, for the rows that both have: above 1 is better, where there is a better. */
export function comparison(now: Report, before: Report): string {
  const parts = now.benches.map(part => {
    const earlier = before.benches.find(({ name }) => name === part.name)
    return earlier === undefined ? `\n== ${part.name}: not in the earlier run ==` : comparePart(part, earlier)
  })
  const differs = Object.keys(now.machine).filter(key => now.machine[key] !== before.machine[key])
  const head = `\nAgainst ${before.date}; above 1 is better than then, * is more than ${NOISE * 100} % off`
  const warning = differs.map(key => `  ${key} was ${before.machine[key]}, is ${now.machine[key]}`)
  return [head, ...warning, ...parts].join('\n')
}

function comparePart(now: ReportPart, before: ReportPart): string {
  const measures = now.measures.filter(({ better }) => better !== undefined)
  const earlier = new Map(before.rows.map(row => [nameOf(row), row]))
  const rows = now.rows.flatMap(row => {
    const then = earlier.get(nameOf(row))
    if (then === undefined) return []
    const cells = measures.map(measure => cell(measure, row.values[measure.key], then.values[measure.key]))
    return [[nameOf(row), ...cells]]
  })
  const columns = ['row', ...measures.map(({ title }) => heading(title, ''))]
  return `\n== ${now.title}: ratios ==\n${table(columns, rows)}`
}

function cell({ better }: Measure, now: number | null | undefined, then: number | null | undefined): string {
  if (typeof now !== 'number' || typeof then !== 'number') return '–'
  if (now === then) return '1.00'
  if (now === 0 || then === 0) return `${figure(then)} → ${figure(now)} *`
  const gain = better === 'more' ? now / then : then / now
  return `${gain.toFixed(2)}${Math.abs(gain - 1) > NOISE ? ' *' : ''}`
}
