import type { Bench, BenchResult } from '../../../bench/bench.js'
import { type Report, reportPart } from '../../../bench/report.js'

/** A bench of two cases, one measured in part. */
export const BENCH: Bench = {
  name: 'sample',
  title: 'Sample <1>',
  describe: 'What it measures & how to read it.',
  measures: [
    { key: 'rate', title: 'applied', unit: '1/s', better: 'more' },
    { key: 'wait', title: 'p50', unit: 'ms', better: 'less' },
    { key: 'bytes', title: 'size', unit: 'B' },
  ],
  charts: [
    { title: 'Rate', kind: 'bars', x: 'bytes', series: ['who'], y: 'rate', log: true },
    { title: 'Wait', kind: 'lines', x: 'bytes', series: ['who'], y: 'wait', where: { who: ['us'] } },
    { title: 'Of nobody', kind: 'bars', x: 'bytes', series: ['who'], y: 'rate', where: { who: ['nobody'] } },
  ],
  run: () => Promise.reject(new Error('not run')),
}

/** What such a bench finds. */
export const RESULT: BenchResult = {
  rows: [
    { labels: { who: 'us', bytes: 64 }, values: { rate: 200_000, wait: 0.05, bytes: 90 } },
    { labels: { who: 'us', bytes: 1_024 }, values: { rate: 100_000, wait: 0.1, bytes: 1_050 } },
    { labels: { who: 'them', bytes: 64 }, values: { rate: 50_000, wait: null }, note: 'no <wait>' },
  ],
  series: [
    {
      chart: 'Waits',
      name: 'us',
      x: { title: 'share', unit: '' },
      y: { title: 'wait', unit: 'ms', log: true },
      points: [
        [0.5, 0.05],
        [0.99, 1],
      ],
    },
  ],
  targets: [
    { what: 'faster', wanted: { atLeast: 4 }, unit: 'x', measured: 4 },
    { what: 'sooner', wanted: { atMost: 1 }, unit: 'ms', measured: 1.5 },
    { what: 'unknown', wanted: { atMost: 1 }, unit: '', measured: null, note: 'not installed' },
  ],
  versions: { Them: '1.0' },
}

/** A report of that bench alone. */
export function reportOf(result: BenchResult = RESULT): Report {
  return {
    format: 1,
    date: '2026-01-02T03:04:05.000Z',
    command: 'npm run bench -- sample',
    quick: false,
    passes: 3,
    load: 0.1,
    machine: { tribeline: '0', node: 'v20', v8: '11', platform: 'linux x64', cpu: 'A & B', cores: 2, memoryGiB: 4 },
    benches: [reportPart(BENCH, result)],
  }
}
