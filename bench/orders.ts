import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { percentile } from './bench.js'
import { type MemberReply, type Order, QUANTILES } from './member-process.js'

/** What a member says to an order, besides the time of day and the CPU it used. */
export type Answer = Omit<MemberReply, 'op' | 'cpuMs'>

/** Reads orders until stdin ends, which ends the process. The other half of MemberProcess, for members in Node. */
export function takeOrders(run: (op: string, order: Orders) => Promise<Answer> | Answer): void {
  const lines = createInterface(process.stdin)
  let last: Promise<void> = Promise.resolve()
  lines.on('line', line => {
    const [op = '', ...words] = line.split(' ')
    const order = new Orders(Object.fromEntries(words.map(word => word.split('=', 2) as [string, string])))
    last = last.then(async () => {
      try {
        answer(op, await run(op, order))
      } catch (error) {
        answer(op, { error: String((error as Error).stack ?? error) })
      }
    })
  })
  lines.on('close', () => process.exit(0))
}

/** Writes one answer. */
export function answer(op: string, more: Answer = {}): void {
  const { user, system } = process.cpuUsage()
  process.stdout.write(`${JSON.stringify({ op, cpuMs: (user + system) / 1_000, ...more })}\n`)
}

/** The values of one order. */
export class Orders {
  readonly #values: Order

  constructor(values: Order) {
    this.#values = values
  }

  text(name: string): string {
    const value = this.#values[name]
    if (value === undefined) throw new Error(`The order lacks ${name}`)
    return String(value)
  }

  number(name: string): number {
    return Number(this.text(name))
  }
}

/** Gathers waits in milliseconds; beyond its bound every second one, then every fourth, so that all times count. */
export class Waits {
  #waits: number[] = []
  #every = 1
  #count = 0

  add(ms: number): void {
    if (this.#count++ % this.#every !== 0) return
    this.#waits.push(ms)
    if (this.#waits.length < 200_000) return
    this.#waits = this.#waits.filter((_, index) => index % 2 === 0)
    this.#every *= 2
  }

  /** At each of QUANTILES; empty when there were none. */
  quantiles(): number[] {
    if (this.#waits.length === 0) return []
    const sorted = this.#waits.toSorted((a, b) => a - b)
    return QUANTILES.map(p => Math.round((percentile(sorted, p) ?? 0) * 10_000) / 10_000)
  }
}

/** Lets the largest resident memory be counted anew from here; where the system cannot, from the start. */
export function resetPeak(): void {
  try {
    writeFileSync('/proc/self/clear_refs', '5')
  } catch {
    // Not Linux, or not allowed.
  }
}

/** The largest resident memory since `resetPeak`. */
export function peakMiB(): number {
  try {
    const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))
    if (line) return Math.round(Number(line[1]) / 1_024)
  } catch {
    // Not Linux.
  }
  return Math.round(process.resourceUsage().maxRSS / 1_024)
}
