/** What the figures of one column are counted in. */
export type Unit = '1/s' | 'ms' | 'µs' | 's' | 'CPU s/M' | 'µs CPU' | 'B' | 'MiB' | 'MiB/s' | 'x' | ''

/** One figure that the rows of a bench have. */
export interface Measure {
  readonly key: string
  readonly title: string
  readonly unit: Unit
  /** Which way is better; unset: neither, it is only told (a size, a count). */
  readonly better?: 'more' | 'less'
}

/** One thing that was measured: what it was, and its figures. */
export interface Row {
  /** What was measured, in the order it is shown; together they name the row, also against an earlier run. */
  readonly labels: Readonly<Record<string, string | number>>
  /** Figures by the key of their measure; null (or none): not measured here. */
  readonly values: Readonly<Record<string, number | null>>
  /** Why a figure is missing, what was odd. Not averaged. */
  readonly note?: string
}

/** A curve with more points than a table wants: a distribution, a course over time. */
export interface Series {
  readonly chart: string
  readonly name: string
  readonly x: { readonly title: string; readonly unit: Unit; readonly log?: boolean }
  readonly y: { readonly title: string; readonly unit: Unit; readonly log?: boolean }
  readonly points: readonly (readonly [x: number, y: number])[]
}

/** A wish and what became of it. `measured` is in the terms of `wanted`: most are ratios ("4 x as fast"). */
export interface Target {
  readonly what: string
  readonly wanted: { readonly atLeast: number } | { readonly atMost: number }
  readonly unit: Unit
  /** null: could not be measured here; `note` says why. */
  readonly measured: number | null
  readonly note?: string
}

/** A chart drawn from rows: those that match `where`, one group or line for each value of `series`. */
export interface Chart {
  readonly title: string
  readonly kind: 'bars' | 'lines'
  /** Label along the horizontal axis. */
  readonly x: string
  /** Labels that together name a bar of a group, or a line. */
  readonly series: readonly string[]
  /** Key of the measure. */
  readonly y: string
  readonly where?: Readonly<Record<string, readonly (string | number)[]>>
  readonly log?: boolean
}

/** What a bench found. */
export interface BenchResult {
  readonly rows: readonly Row[]
  readonly series?: readonly Series[]
  readonly targets?: readonly Target[]
  /** What was measured, where it is not us: name and version. */
  readonly versions?: Readonly<Record<string, string>>
}

/** How a bench is to be run. */
export interface BenchOptions {
  /** A smoke run: every part once, small and short; figures mean nothing. */
  readonly quick: boolean
  /** How often each case is measured, in turn with the others; the median is shown. 1 when quick. */
  readonly passes: number
  /** The values of `--NAME a,b` on the command line, which must be among these; undefined when not given. */
  pick<T extends string>(name: string, among: readonly T[]): readonly T[] | undefined
  /** The same of whole numbers above 0. */
  pickNumbers(name: string): readonly number[] | undefined
  /** Says on the terminal what goes on; never part of the result. */
  progress(what: string): void
}

/** One bench: `npm run bench -- NAME`. */
export interface Bench {
  readonly name: string
  readonly title: string
  /** What it measures and how to read it: two or three sentences. */
  readonly describe: string
  readonly measures: readonly Measure[]
  readonly charts?: readonly Chart[]
  run(options: BenchOptions): Promise<BenchResult>
}

/** What identifies a row over passes and over runs. */
export function nameOf(row: Pick<Row, 'labels'>): string {
  return Object.entries(row.labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(' ')
}

/** Makes one row of all rows with the same labels: the median of each figure, in order of first appearance. */
export function medianRows(rows: readonly Row[]): Row[] {
  const groups = new Map<string, Row[]>()
  for (const row of rows) {
    const name = nameOf(row)
    groups.set(name, [...(groups.get(name) ?? []), row])
  }
  return [...groups.values()].map(group => {
    const [first] = group as [Row]
    const keys = new Set(group.flatMap(row => Object.keys(row.values)))
    const values = Object.fromEntries([...keys].map(key => [key, median(group.map(row => row.values[key] ?? null))]))
    const notes = [...new Set(group.flatMap(({ note }) => note ?? []))]
    return { labels: first.labels, values, ...(notes.length > 0 ? { note: notes.join('; ') } : {}) }
  })
}

/** The median of those that are numbers; of an even count the mean of the middle two; null when there are none. */
export function median(values: readonly (number | null)[]): number | null {
  const sorted = values.filter(value => value !== null).sort((a, b) => a - b)
  const low = sorted[Math.floor((sorted.length - 1) / 2)]
  const high = sorted[Math.floor(sorted.length / 2)]
  return low === undefined || high === undefined ? null : (low + high) / 2
}

/** The value at `p` (0 to 1) of ascending values by nearest rank; null when there are none. */
export function percentile(sorted: readonly number[], p: number): number | null {
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? null
}

/** The value of the row with these labels (others are ignored), or null. */
export function find(rows: readonly Row[], labels: Row['labels'], key: string): number | null {
  const row = rows.find(it => Object.entries(labels).every(([name, value]) => it.labels[name] === value))
  return row?.values[key] ?? null
}

/** `a / b`, or null when one of them is missing. */
export function ratio(a: number | null, b: number | null): number | null {
  return a === null || b === null || b === 0 ? null : a / b
}

/** Whether a target is reached; undefined: not measured. */
export function isReached({ wanted, measured }: Target): boolean | undefined {
  if (measured === null) return undefined
  return 'atLeast' in wanted ? measured >= wanted.atLeast : measured <= wanted.atMost
}
