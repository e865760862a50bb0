import { type Measure, median, type Row, type Series } from './bench.js'
import type { Measured } from './measurement.js'
import { QUANTILES } from './member-process.js'

/** The columns of everything that `measure` measures. */
export const loadMeasures: readonly Measure[] = [
  { key: 'perSecond', title: 'applied on all', unit: '1/s', better: 'more' },
  { key: 'p50Ms', title: 'wait p50', unit: 'ms', better: 'less' },
  { key: 'p99Ms', title: 'p99', unit: 'ms', better: 'less' },
  { key: 'p999Ms', title: 'p99.9', unit: 'ms', better: 'less' },
  { key: 'cpuSecondsPerMillion', title: 'CPU', unit: 'CPU s/M', better: 'less' },
  { key: 'peakMiB', title: 'peak', unit: 'MiB', better: 'less' },
  { key: 'inversions', title: 'inverted', unit: '', better: 'less' },
  { key: 'short', title: 'not met', unit: '', better: 'less' },
]

/** The figures of a row. */
export function valuesOf({ waits: _, ...values }: Measured): Row['values'] {
  return { ...values }
}

/** A curve for each name: by how many of a hundred thousand waits were longer; of several passes the median. */
export function latencySeries(chart: string, waits: ReadonlyMap<string, readonly Measured['waits'][]>): Series[] {
  return [...waits].map(([name, passes]) => ({
    chart,
    name,
    x: { title: 'share of the writes', unit: '', log: true } as const,
    y: { title: 'wait', unit: 'ms', log: true } as const,
    points: QUANTILES.filter(p => p < 1).map((p, index) => {
      const ms = median(passes.map(pass => pass[index] ?? null)) ?? 0
      return [p, Math.max(0.001, ms)] as const
    }),
  }))
}
