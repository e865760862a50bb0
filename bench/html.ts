import { isReached } from './bench.js'
import { escaped, rowChart, seriesChart } from './chart.js'
import { columnsOf, figure, headOf, type Report, type ReportPart, rowsOf, verdict, wish } from './report.js'

/** Hues told apart by people who see few of them as well, each for paper and for night. */
const LIGHT = ['#0a6ebd', '#d1600a', '#13845c', '#b03a8c', '#8a6d00', '#5b52c6', '#c22f3d', '#5a6672']
const DARK = ['#5cb3f5', '#f59b52', '#4cc79a', '#e88cca', '#d9bd4a', '#a49df5', '#f27f89', '#a3b0bd']

const STYLE = `
:root { color-scheme: light dark; --paper: #fbfbfa; --card: #fff; --ink: #1d2329; --soft: #65707b; --line: #e3e6e8;
  --good: #13845c; --bad: #c22f3d; ${hues(LIGHT)} }
@media (prefers-color-scheme: dark) { :root { --paper: #14181c; --card: #1b2126; --ink: #e6eaed; --soft: #97a2ad;
  --line: #303940; --good: #4cc79a; --bad: #f27f89; ${hues(DARK)} } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1180px; padding: 2.5rem 1.25rem 5rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif }
h1 { font-size: 1.9rem; margin: 0 } h2 { margin: 3.5rem 0 .25rem; font-size: 1.35rem }
p { max-width: 75ch; margin: .25rem 0 1rem } .soft, small { color: var(--soft); font-weight: 400 }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 1rem }
figure { margin: 0; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 10px }
figcaption { font-weight: 600 } svg { display: block; width: 100%; height: auto }
figure ul { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .35rem 0 .6rem; padding: 0; font-size: .85rem }
figure i { display: inline-block; width: .75em; height: .75em; border-radius: 2px; margin-right: .4em }
svg text { font-size: 12px; fill: var(--soft) } .grid { stroke: var(--line) }
polyline { fill: none !important; stroke-width: 2 }
${LIGHT.map((_, hue) => `.h${hue} { fill: var(--h${hue}); stroke: none; background: var(--h${hue}) } polyline.h${hue} { stroke: var(--h${hue}) }`).join('\n')}
rect:hover, circle:hover { opacity: .75 }
.scroll { overflow-x: auto; margin-top: 1rem }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums }
th, td { padding: .28rem .8rem .28rem 0; text-align: left; border-bottom: 1px solid var(--line); white-space: nowrap }
td.n, th.n { text-align: right } th { color: var(--soft); font-weight: 500 }
.reached { color: var(--good) } .missed { color: var(--bad); font-weight: 600 }
details { margin-top: 1rem } summary { cursor: pointer; color: var(--soft) }
`

/** A report as one page that needs nothing else. */
export function pageOf(report: Report): string {
  const [machine = '', run = ''] = headOf(report).split('\n')
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>tribeline: ${escaped(report.benches.map(({ name }) => name).join(', '))}</title><style>${STYLE}</style></head>
<body><h1>tribeline, measured</h1><p class="soft">${escaped(machine)}<br>${escaped(run)}</p>
${report.benches.map(partOf).join('\n')}
</body></html>
`
}

function partOf(part: ReportPart): string {
  const names = [...new Set(part.series.map(({ chart }) => chart))]
  const charts = [
    ...part.charts.map(chart => rowChart(chart, part.rows, part.measures)),
    ...names.map(name =>
      seriesChart(
        name,
        part.series.filter(({ chart }) => chart === name),
      ),
    ),
  ].filter(chart => chart !== undefined)
  const versions = Object.entries(part.versions).map(([name, version]) => `${name}: ${version}`)
  return [
    `<section><h2>${escaped(part.title)}</h2><p>${escaped(part.describe)}</p>`,
    versions.length > 0 ? `<p class="soft">${escaped(versions.join(' · '))}</p>` : '',
    `<div class="charts">${charts.join('')}</div>`,
    part.targets.length > 0 ? targets(part) : '',
    `<details><summary>All ${part.rows.length} rows</summary>${table(columnsOf(part), rowsOf(part))}</details></section>`,
  ].join('\n')
}

function targets({ targets }: ReportPart): string {
  const reached = targets.filter(target => isReached(target) === true).length
  const rows = targets.map(target => {
    const kind = isReached(target) === undefined ? 'soft' : verdict(target)
    const cells = [wish(target), figure(target.measured)].map(cell => `<td class="n">${escaped(cell)}</td>`).join('')
    const note = target.note === undefined ? '' : ` <small>${escaped(target.note)}</small>`
    return `<tr><td>${escaped(target.what)}${note}</td>${cells}<td class="${kind}">${verdict(target)}</td></tr>`
  })
  const head = '<tr><th>target</th><th class="n">wanted</th><th class="n">measured</th><th></th></tr>'
  return `<p><strong>${reached} of ${targets.length} targets reached</strong></p><div class="scroll"><table>${head}${rows.join('')}</table></div>`
}

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const isFigure = columns.map((_, index) => rows.every(row => /^[\d.,–-]*$/.test(row[index] ?? '')))
  const kind = (index: number): string => (isFigure[index] ? ' class="n"' : '')
  const head = columns.map((column, index) => `<th${kind(index)}>${escaped(column)}</th>`).join('')
  const body = rows.map(row => row.map((cell, index) => `<td${kind(index)}>${escaped(cell)}</td>`).join(''))
  return `<div class="scroll"><table><tr>${head}</tr>${body.map(cells => `<tr>${cells}</tr>`).join('')}</table></div>`
}

function hues(colours: readonly string[]): string {
  return colours.map((colour, hue) => `--h${hue}: ${colour}`).join('; ')
}
