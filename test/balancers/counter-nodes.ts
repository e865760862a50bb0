import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { SessionHttpStats } from '../../lib/http/index.js'
import type { CounterNodeConfig, CounterNodeMessage } from './counter-node.js'

const PORTS = [20_000, 60_000] as const
const READY_WITHIN_MS = 20_000

/** Processes that serve counters, started together and ended by pid, whatever happens. */
export class CounterNodes {
  /** Where they serve, on 127.0.0.1. */
  readonly ports: readonly number[]
  readonly #names: readonly string[]
  readonly #children: readonly ChildProcess[]
  readonly #endsWithUs = (): void => this.#kill()

  private constructor(names: readonly string[], children: readonly ChildProcess[], ports: readonly number[]) {
    this.#names = names
    this.#children = children
    this.ports = ports
    process.on('exit', this.#endsWithUs)
  }

  /** Starts a group that nobody else uses; resolves when every node has found the others. */
  static async start(
    names: readonly string[],
    options: Pick<CounterNodeConfig, 'ack' | 'catchUpMs' | 'hasToken' | 'delayMs' | 'routing' | 'speaksAjp'>,
  ): Promise<CounterNodes> {
    const shared = {
      group: `counters-${randomBytes(6).toString('hex')}`,
      multicastPort: randomInt(...PORTS),
      secret: randomBytes(32).toString('hex'),
      others: names.length - 1,
      ...options,
    }
    const program = fileURLToPath(new URL('counter-node.js', import.meta.url))
    const children = names.map(name => fork(program, [JSON.stringify({ name, ...shared } satisfies CounterNodeConfig)]))
    try {
      return new CounterNodes(names, children, await Promise.all(children.map(ready)))
    } catch (error) {
      for (const child of children) child.kill('SIGKILL')
      throw error
    }
  }

  /** What all of them have counted, together. */
  async stats(): Promise<SessionHttpStats> {
    const all = await Promise.all(
      this.#children.map(async child => {
        const answer = once(child, 'message')
        child.send('stats')
        const [message] = (await answer) as [Extract<CounterNodeMessage, { type: 'stats' }>]
        return message.stats
      }),
    )
    return all.reduce((sum, one) => {
      const entries = Object.entries(sum) as [keyof SessionHttpStats, number][]
      return Object.fromEntries(
        entries.map(([name, value]) => [name, value + one[name]]),
      ) as unknown as SessionHttpStats
    })
  }

  /** Kills one, by its name, and waits for its end. */
  async kill(name: string): Promise<void> {
    const child = this.#children[this.#names.indexOf(name)] as ChildProcess
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await exit
  }

  async stop(): Promise<void> {
    process.off('exit', this.#endsWithUs)
    const exits = this.#children.filter(isRunning).map(child => once(child, 'exit'))
    this.#kill()
    await Promise.all(exits)
  }

  #kill(): void {
    for (const child of this.#children) if (isRunning(child)) child.kill('SIGKILL')
  }
}

function isRunning({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode === null && signalCode === null
}

function ready(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`Not ready within ${READY_WITHIN_MS} ms`)), READY_WITHIN_MS)
    child.once('message', (message: CounterNodeMessage) => {
      clearTimeout(timer)
      if (message.type === 'ready') resolve(message.port)
    })
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      reject(new Error(`A node ended with ${signal ?? code}`))
    })
  })
}
