import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What a process of a bench does for its parent; argument and answer travel as JSON. */
// biome-ignore lint/suspicious/noExplicitAny: each order has types of its own; the caller's interface names them.
export type Orders<T> = { readonly [Name in keyof T]: (argument: any) => unknown }

interface Request {
  readonly id: number
  readonly order: string
  readonly argument: unknown
}

type Message =
  | { readonly id: number; readonly value?: unknown; readonly error?: string }
  | { readonly told: unknown }
  | { readonly loaded: true }

const ANSWER_WITHIN_MS = 120_000
const EXIT_WITHIN_MS = 3_000

/** Milliseconds on a clock all processes of this host share. */
export function sharedNow(): number {
  return Number(process.hrtime.bigint()) / 1_000_000
}

/** Serves the parent's orders in this process until the parent goes. To be called once. */
export function serve<T extends Orders<T>>(orders: T): void {
  const all: Readonly<Record<string, (argument: unknown) => unknown>> = {
    ...(orders as Record<string, (argument: unknown) => unknown>),
    '~cpuMs': cpuMs,
    '~exit': () => void setImmediate(() => process.exit(0)),
  }
  process.on('message', ({ id, order, argument }: Request) => {
    Promise.resolve(argument)
      .then(all[order])
      .then(
        value => process.send?.({ id, value } satisfies Message),
        (error: unknown) => process.send?.({ id, error: describe(error) } satisfies Message),
      )
  })
  process.on('disconnect', () => process.exit(0))
  process.send?.({ loaded: true } satisfies Message)
}

/** Tells the parent something it did not ask for. */
export function tell(what: unknown): void {
  process.send?.({ told: what } satisfies Message)
}

const living = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of living) child.kill('SIGKILL')
})

/** A process of a bench, seen from the parent. Flags of the parent, `--cpu-prof` for instance, hold for it too. */
export class Worker<T extends Orders<T>> {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>()
  readonly #loaded: Promise<void>
  #nextId = 1
  /** Hears what the process tells unasked. */
  onTold: (what: unknown) => void = () => {}

  /** Starts `file`, a compiled file of this folder. */
  constructor(file: string, flags: readonly string[] = []) {
    const child = fork(fileURLToPath(new URL(file, import.meta.url)), [], {
      execArgv: [...process.execArgv, ...flags],
      env: { ...process.env, NODE_ENV: 'production' },
    })
    this.#child = child
    living.add(child)
    this.#loaded = new Promise((resolve, reject) => {
      child.on('message', (message: Message) => {
        if ('loaded' in message) resolve()
        else if ('told' in message) this.onTold(message.told)
        else this.#answered(message)
      })
      child.once('exit', (code, signal) => {
        living.delete(child)
        const error = new Error(`${file} ended with ${signal ?? code}`)
        reject(error)
        for (const { reject } of this.#waiting.values()) reject(error)
        this.#waiting.clear()
      })
    })
    this.#loaded.catch(() => {})
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Resolves when the program is loaded and takes orders. */
  get loaded(): Promise<void> {
    return this.#loaded
  }

  /** Gives an order and waits for the answer. */
  async ask<Name extends keyof T & string>(
    order: Name,
    argument: Parameters<T[Name]>[0],
    withinMs: number = ANSWER_WITHIN_MS,
  ): Promise<Awaited<ReturnType<T[Name]>>> {
    return (await this.#ask(order, argument, withinMs)) as Awaited<ReturnType<T[Name]>>
  }

  /** CPU the process has used so far, in milliseconds. */
  async cpuMs(): Promise<number> {
    return (await this.#ask('~cpuMs', null, ANSWER_WITHIN_MS)) as number
  }

  /** SIGKILL: gone without a word. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  /** Lets the process end, so that it can write its profile if it makes one; then kills it. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const patience = setTimeout(() => this.kill(), EXIT_WITHIN_MS)
    const gone = once(this.#child, 'exit')
    this.#ask('~exit', null, EXIT_WITHIN_MS).catch(() => {})
    await gone
    clearTimeout(patience)
  }

  async #ask(order: string, argument: unknown, withinMs: number): Promise<unknown> {
    await this.#loaded
    const id = this.#nextId++
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        reject(new Error(`No answer to '${order}' within ${withinMs} ms`))
      }, withinMs)
      const done =
        <V>(then: (value: V) => void) =>
        (value: V): void => {
          clearTimeout(timer)
          then(value)
        }
      this.#waiting.set(id, { resolve: done(resolve), reject: done(reject) })
      this.#child.send({ id, order, argument } satisfies Request, error => {
        if (error) this.#answered({ id, error: error.message })
      })
    })
  }

  #answered({ id, value, error }: Extract<Message, { id: number }>): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error === undefined) waiting?.resolve(value as never)
    else waiting?.reject(new Error(error))
  }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
