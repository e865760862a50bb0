import { readFileSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import {
  type Bench,
  type BenchResult,
  type Chart,
  isReached,
  type Measure,
  type Row,
  type Series,
  type Target,
  type Unit,
} from './bench.js'

/** One bench's part of a report. */
export interface ReportPart {
  readonly name: string
  readonly title: string
  readonly describe: string
  readonly measures: readonly Measure[]
  readonly charts: readonly Chart[]
  readonly rows: readonly Row[]
  readonly series: readonly Series[]
  readonly targets: readonly Target[]
  readonly versions: Readonly<Record<string, string>>
}

/** Everything one call of `npm run bench` found: what `--json` prints, and `--compare` reads. */
export interface Report {
  readonly format: 1
  readonly date: string
  readonly command: string
  readonly quick: boolean
  readonly passes: number
  /** Of the last minute, as it began: with others at work, throughput says little and CPU per million most. */
  readonly load: number
  readonly machine: Readonly<Record<string, string | number>>
  readonly benches: readonly ReportPart[]
}

/** A bench and what it found. */
export function reportPart(bench: Bench, result: BenchResult): ReportPart {
  const { name, title, describe, measures, charts = [] } = bench
  const { rows, series = [], targets = [], versions = {} } = result
  return { name, title, describe, measures, charts, rows, series, targets, versions }
}

/** Where the figures are from. */
export function machine(): Report['machine'] {
  // The compiled benchmark lies two folders below.
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  const [first] = cpus()
  return {
    tribeline: version,
    node: process.version,
    v8: process.versions.v8,
    platform: `${process.platform} ${process.arch}`,
    cpu: first?.model.trim() ?? '?',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
  }
}

/** How many processes want to run. */
export function load(): number {
  return Math.round((loadavg()[0] ?? 0) * 10) / 10
}

/** The first lines: machine, versions, date, command. */
export function headOf(report: Report): string {
  const { cpu, cores, memoryGiB, platform, node, v8, tribeline } = report.machine
  const busy = report.load > 0.3 * Number(cores) ? ' (OTHERS ARE AT WORK: trust counts and CPU, not rates)' : ''
  return [
    `tribeline ${tribeline}, Node ${node} (V8 ${v8}), ${platform}, ${cores} x ${cpu}, ${memoryGiB} GiB`,
    `${report.date}, ${report.command}, median of ${report.passes}${report.quick ? ', QUICK: figures mean nothing' : ''}, load ${report.load}${busy}`,
  ].join('\n')
}

/** One bench as text: its table, then its targets. */
export function textOf(part: ReportPart): string {
  const versions = Object.entries(part.versions).map(([name, version]) => `${name}: ${version}`)
  return [
    `\n== ${part.title} (${part.name}) ==`,
    wrapped(part.describe, 120),
    ...versions,
    table(columnsOf(part), rowsOf(part)),
    ...(part.targets.length > 0 ? [targetTable(part.targets)] : []),
  ].join('\n')
}

/** Columns: labels, then measures that any row has, then notes if there are any. */
export function columnsOf({ rows, measures }: Pick<ReportPart, 'rows' | 'measures'>): string[] {
  const notes = rows.some(({ note }) => note !== undefined) ? ['note'] : []
  return [...labelsOf(rows), ...measured({ rows, measures }).map(({ title, unit }) => heading(title, unit)), ...notes]
}

/** Cells of each row, in the order of `columnsOf`. */
export function rowsOf({ rows, measures }: Pick<ReportPart, 'rows' | 'measures'>): string[][] {
  const labels = labelsOf(rows)
  const shown = measured({ rows, measures })
  return rows.map(row => [
    ...labels.map(label => String(row.labels[label] ?? '')),
    ...shown.map(({ key }) => figure(row.values[key] ?? null)),
    ...(rows.some(({ note }) => note !== undefined) ? [row.note ?? ''] : []),
  ])
}

/** A title with its unit. */
export function heading(title: string, unit: Unit): string {
  return unit === '' ? title : `${title} ${unit}`
}

/** Three or four significant digits, thousands grouped; a dash for what was not measured. */
export function figure(value: number | null): string {
  if (value === null) return '–'
  const size = Math.abs(value)
  if (size >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString('en')
  return size >= 10 ? value.toFixed(1) : size >= 0.1 ? value.toFixed(2) : value.toPrecision(2)
}

/** `reached`, `missed` or `not measured`. */
export function verdict(target: Target): string {
  const reached = isReached(target)
  return reached === undefined ? 'not measured' : reached ? 'reached' : 'missed'
}

/** `≥ 4 x`. */
export function wish({ wanted, unit }: Target): string {
  const text = 'atLeast' in wanted ? `≥ ${wanted.atLeast}` : `≤ ${wanted.atMost}`
  return unit === '' ? text : `${text} ${unit}`
}

/** A table in text; columns of figures are flush right. */
export function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((column, index) => Math.max(column.length, ...rows.map(row => row[index]?.length ?? 0)))
  const isFigure = columns.map((_, index) => rows.every(row => /^[\d.,–-]*$/.test(row[index] ?? '')))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => (isFigure[index] ? cell.padStart(widths[index] ?? 0) : cell.padEnd(widths[index] ?? 0)))
      .join('  ')
      .trimEnd()
  return [line(columns), widths.map(width => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n')
}

function targetTable(targets: readonly Target[]): string {
  const rows = targets.map(target => [
    target.what,
    wish(target),
    figure(target.measured),
    verdict(target),
    target.note ?? '',
  ])
  return `\n${table(['target', 'wanted', 'measured', '', ''], rows)}`
}

function labelsOf(rows: readonly Row[]): string[] {
  return [...new Set(rows.flatMap(({ labels }) => Object.keys(labels)))]
}

function measured({ rows, measures }: Pick<ReportPart, 'rows' | 'measures'>): Measure[] {
  return measures.filter(({ key }) => rows.some(({ values }) => (values[key] ?? null) !== null))
}

function wrapped(text: string, width: number): string {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + word.length < width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines.join('\n')
}
