import type { Chart, Measure, Row, Series } from './bench.js'
import { figure, heading } from './report.js'

const WIDTH = 720
const HEIGHT = 300
const LEFT = 64
const RIGHT = 28
const TOP = 12
const BOTTOM = 44
/** Distinct hues there are; the page's style gives each a colour for light and one for dark. */
const HUES = 8

/** A value axis: where a value lies, and where lines are drawn. */
interface Axis {
  readonly ticks: readonly number[]
  readonly at: (value: number) => number
}

/** The rows a chart is about, drawn as an SVG figure; undefined when there are none. */
export function rowChart(chart: Chart, rows: readonly Row[], measures: readonly Measure[]): string | undefined {
  const measure = measures.find(({ key }) => key === chart.y)
  if (measure === undefined) return undefined
  const shown = rows.filter(row => isShown(chart, row))
  const groups = inOrder(unique(shown.map(row => String(row.labels[chart.x] ?? ''))))
  const names = unique(shown.map(row => nameIn(chart, row)))
  if (groups.length === 0) return undefined
  const value = (group: string, name: string): number | undefined => {
    const row = shown.find(it => String(it.labels[chart.x]) === group && nameIn(chart, it) === name)
    return row?.values[chart.y] ?? undefined
  }
  const values = groups.flatMap(group => names.flatMap(name => value(group, name) ?? []))
  const axis = axisOf(values, HEIGHT - BOTTOM, TOP, chart.log === true)
  const slot = (WIDTH - LEFT - RIGHT) / groups.length
  const middle = (index: number): number => LEFT + slot * (index + 0.5)
  const marks = chart.kind === 'bars' ? bars() : lines()
  const labels = groups.map((group, index) => text(middle(index), HEIGHT - BOTTOM + 18, labelOf(group), 'middle'))
  const body = [grid(axis), ...marks, ...labels, text(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 6, chart.x, 'middle')]
  return framed(chart.title, heading(measure.title, measure.unit), names, body)

  function bars(): string[] {
    const width = Math.min(40, (slot * 0.8) / names.length)
    return groups.flatMap((group, at) =>
      names.flatMap((name, hue) => {
        const y = value(group, name)
        if (y === undefined) return []
        const left = middle(at) + (hue - names.length / 2) * width
        const top = axis.at(y)
        const tip = `<title>${escaped(`${name}, ${chart.x} ${group}: ${figure(y)} ${measure?.unit ?? ''}`)}</title>`
        const size = `width="${one(width - 2)}" height="${one(Math.max(1, HEIGHT - BOTTOM - top))}"`
        return [`<rect class="h${hue % HUES}" x="${one(left + 1)}" y="${one(top)}" ${size} rx="2">${tip}</rect>`]
      }),
    )
  }

  function lines(): string[] {
    return names.map((name, hue) => {
      const points = groups.flatMap((group, at) => {
        const y = value(group, name)
        return y === undefined ? [] : [[middle(at), axis.at(y), `${name}, ${chart.x} ${group}: ${figure(y)}`] as const]
      })
      return polyline(points, hue)
    })
  }
}

/** Curves with axes of their own, all with the units of the first. */
export function seriesChart(title: string, series: readonly Series[]): string | undefined {
  const [first] = series
  if (first === undefined) return undefined
  // A distribution is read by its tail: the share of those beyond, each step a tenth of the one before.
  const isShare = first.x.title.startsWith('share')
  const place = (x: number): number => (isShare ? 1 - x : x)
  const xs = series.flatMap(({ points }) => points.map(([x]) => place(x)))
  const ys = series.flatMap(({ points }) => points.map(([, y]) => y))
  const left = isShare ? WIDTH - RIGHT : LEFT
  const right = isShare ? LEFT : WIDTH - RIGHT
  const xAxis = axisOf(xs, left, right, first.x.log === true)
  const yAxis = axisOf(ys, HEIGHT - BOTTOM, TOP, first.y.log === true)
  const curves = series.map(({ name, points }, hue) =>
    polyline(
      points.map(([x, y]) => [xAxis.at(place(x)), yAxis.at(y), `${name}, ${x}: ${figure(y)} ${first.y.unit}`] as const),
      hue,
    ),
  )
  const below = xAxis.ticks.map(tick => {
    const label = isShare ? `${Number(((1 - tick) * 100).toPrecision(6))} %` : short(tick)
    return text(xAxis.at(tick), HEIGHT - BOTTOM + 18, label, 'middle')
  })
  const xTitle = text(LEFT + (WIDTH - LEFT - RIGHT) / 2, HEIGHT - 6, heading(first.x.title, first.x.unit), 'middle')
  const names = series.map(({ name }) => name)
  return framed(title, heading(first.y.title, first.y.unit), names, [grid(yAxis), ...curves, ...below, xTitle])
}

/** Text for HTML and SVG. */
export function escaped(value: string): string {
  return value.replace(/[&<>"]/g, char => `&#${char.charCodeAt(0)};`)
}

function isShown({ where = {} }: Chart, { labels }: Row): boolean {
  return Object.entries(where).every(([name, allowed]) => allowed.includes(labels[name] ?? ''))
}

function nameIn({ series }: Chart, { labels }: Row): string {
  return series.map(key => (typeof labels[key] === 'number' ? `${labels[key]} ${key}` : (labels[key] ?? ''))).join(', ')
}

function framed(title: string, unit: string, names: readonly string[], body: readonly string[]): string {
  const legend = names.map((name, hue) => `<li><i class="h${hue % HUES}"></i>${escaped(name)}</li>`).join('')
  const svg = `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">${body.join('')}</svg>`
  return `<figure><figcaption>${escaped(title)} <small>${escaped(unit)}</small></figcaption><ul>${legend}</ul>${svg}</figure>`
}

/** From `start` (of the least value) to `end`, in pixels. */
function axisOf(values: readonly number[], start: number, end: number, isLog: boolean): Axis {
  const most = Math.max(...values, 0)
  if (isLog) {
    const positive = values.filter(value => value > 0)
    const low = Math.floor(Math.log10(Math.min(...positive, most || 1)) + 1e-9)
    const high = Math.max(low + 1, Math.ceil(Math.log10(most || 1) - 1e-9))
    const ticks = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index))
    const share = (value: number): number => (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low)
    return { ticks, at: value => start + (end - start) * share(value) }
  }
  const step = niceStep(most / 5 || 1)
  const top = Math.max(step, Math.ceil(most / step - 1e-9) * step)
  const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, index) => index * step)
  return { ticks, at: value => start + ((end - start) * value) / top }
}

/** 1, 2 or 5 times a power of ten. */
function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough))
  return ([1, 2, 5, 10].find(factor => factor * power >= rough) ?? 10) * power
}

function grid({ ticks, at }: Axis): string {
  return ticks
    .map(tick => {
      const y = one(at(tick))
      const line = `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y}" y2="${y}"/>`
      return line + text(LEFT - 6, at(tick) + 4, short(tick), 'end')
    })
    .join('')
}

function polyline(points: readonly (readonly [x: number, y: number, tip: string])[], hue: number): string {
  const path = points.map(([x, y]) => `${one(x)},${one(y)}`).join(' ')
  const dots = points.map(
    ([x, y, tip]) =>
      `<circle class="h${hue % HUES}" cx="${one(x)}" cy="${one(y)}" r="3"><title>${escaped(tip)}</title></circle>`,
  )
  return `<polyline class="h${hue % HUES}" points="${path}"/>${dots.join('')}`
}

function text(x: number, y: number, value: string, anchor: 'start' | 'middle' | 'end'): string {
  return `<text x="${one(x)}" y="${one(y)}" text-anchor="${anchor}">${escaped(value)}</text>`
}

/** `1.5 M`, `20 k`, `0.01`. */
function short(value: number): string {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))} M`
  if (value >= 1e3) return `${Number((value / 1e3).toPrecision(3))} k`
  return String(Number(value.toPrecision(3)))
}

function labelOf(group: string): string {
  return /^\d+$/.test(group) ? Number(group).toLocaleString('en') : group
}

function one(value: number): number {
  return Math.round(value * 10) / 10
}

/** Numbers by size, other names as they came. */
function inOrder(names: readonly string[]): readonly string[] {
  return names.every(name => /^\d+$/.test(name)) ? names.toSorted((a, b) => Number(a) - Number(b)) : names
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)]
}
