import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** Shares of all waits whose length is told: the median, and ever rarer ones. */
export const QUANTILES: readonly number[] = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1]

/**
 * What a member answers; each kind of order fills in its part. Times are milliseconds since the epoch, those of
 * membership on the clock of `sharedNow`.
 */
export interface MemberReply {
  readonly op: string
  /** Milliseconds of CPU since the process began. */
  readonly cpuMs: number
  /** Largest resident memory since the last `begin`. */
  readonly peakMiB?: number
  readonly startedAt?: number
  readonly endedAt?: number
  /** Written, or applied here since `begin`. */
  readonly count?: number
  /** Messages that came behind a later one of the same writer. */
  readonly inversions?: number
  /** Acknowledgements that were refused or did not come. */
  readonly short?: number
  /** What a writer waited, in ms, at each of QUANTILES; empty when it does not wait. */
  readonly waits?: readonly number[]
  readonly error?: string
}

/** Values of an order. */
export type Order = Readonly<Record<string, string | number>>

const REPLY_WITHIN_MS = 60_000

/** None outlives us. */
const living = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of living) child.kill('SIGKILL')
})

/**
 * A process under measurement: takes one order at a time as a line `op key=value ...` on stdin, answers each with a line
 * of JSON on stdout. So a member may be written in any language. A line `{"told": ...}` is news it was not asked for.
 */
export class MemberProcess {
  readonly #child: ChildProcess
  readonly #name: string
  readonly #replies: MemberReply[] = []
  #waiting: (() => void) | undefined
  #exit: string | undefined
  /** Hears what the process tells unasked. */
  onTold: (what: unknown) => void = () => {}

  constructor(command: string, args: readonly string[], name: string) {
    this.#name = name
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child.on('error', error => this.#gone(error.message))
    this.#child.on('exit', (code, signal) => this.#gone(`exit ${signal ?? code}`))
    // Written to after its end: the exit says more than the broken pipe.
    this.#child.stdin?.on('error', () => {})
    if (this.#child.stdout) createInterface(this.#child.stdout).on('line', line => this.#line(line))
    living.add(this.#child)
  }

  /** A member written in this folder; `file` without its extension. */
  static node(file: string, config: unknown, name: string, flags: readonly string[] = []): MemberProcess {
    const path = fileURLToPath(new URL(`${file}.js`, import.meta.url))
    return new MemberProcess(process.execPath, [...flags, path, JSON.stringify(config)], name)
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  async ask(op: string, order: Order = {}): Promise<MemberReply> {
    const words = Object.entries(order).map(([key, value]) => `${key}=${value}`)
    this.#child.stdin?.write(`${[op, ...words].join(' ')}\n`)
    return await this.reply(op)
  }

  /** The next answer; members say `ready` unasked. */
  async reply(op: string): Promise<MemberReply> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${this.#name}: no answer to ${op}`)), REPLY_WITHIN_MS)
    })
    try {
      return await Promise.race([this.#next(op), late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** SIGKILL: gone without a word. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** Ends it and waits until it is gone. */
  async end(): Promise<void> {
    if (this.#exit !== undefined) return
    const gone = once(this.#child, 'exit')
    this.#child.stdin?.end()
    const timer = setTimeout(() => this.kill(), 1_000)
    await gone
    clearTimeout(timer)
  }

  async #next(op: string): Promise<MemberReply> {
    while (this.#replies.length === 0) {
      if (this.#exit !== undefined) throw new Error(`${this.#name} is gone (${this.#exit}) before it answered ${op}`)
      await new Promise<void>(resolve => {
        this.#waiting = resolve
      })
    }
    const reply = this.#replies.shift() as MemberReply
    if (reply.error !== undefined) throw new Error(`${this.#name}: ${op}: ${reply.error}`)
    if (reply.op !== op) throw new Error(`${this.#name} answered ${reply.op} to ${op}`)
    return reply
  }

  #line(line: string): void {
    if (!line.startsWith('{')) return console.error(`${this.#name}: ${line}`)
    const said = JSON.parse(line) as MemberReply | { readonly told: unknown }
    if ('told' in said) return this.onTold(said.told)
    this.#replies.push(said)
    this.#waiting?.()
  }

  #gone(how: string): void {
    this.#exit ??= how
    living.delete(this.#child)
    this.#waiting?.()
  }
}
