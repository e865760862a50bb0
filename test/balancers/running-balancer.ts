import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../../examples/demo/free-port.js'
import type { Balancer, Place } from './balancer.js'

/** From the compiled file to the sources: configuration files are not compiled. */
const EXAMPLES = fileURLToPath(new URL('../../../examples/balancers/', import.meta.url))
/** The addresses in the examples, in the order of the nodes. */
const ADDRESSES = ['10.0.0.11:3000', '10.0.0.12:3000', '10.0.0.13:3000']
const LISTENS_WITHIN_MS = 5_000
const EXIT_WITHIN_MS = 3_000
const OUTPUT_CHARS_MAX = 10_000_000
const TAIL_CHARS = 5_000

/** A program that is there. */
export interface Installed {
  readonly program: string
  readonly version: string
}

/** Looks for the program; undefined if it is not installed. */
export function find(balancer: Balancer): Installed | undefined {
  const { programs, version } = balancer
  if (balancer.isComplete?.() === false) return undefined
  for (const program of programs) {
    const { error, stdout, stderr } = spawnSync(program, ['-v'], { encoding: 'utf8' })
    if (error === undefined) return { program, version: version.exec(`${stdout}${stderr}`)?.[1] ?? 'unknown' }
  }
  return undefined
}

/** A real balancer as a child process, in a directory of its own. Ended by its pid. */
export class RunningBalancer {
  readonly port: number
  readonly #child: ChildProcess
  readonly #balancer: Balancer
  readonly #place: Place
  readonly #config: string
  readonly #endsWithUs: () => void
  #output = ''

  private constructor(child: ChildProcess, balancer: Balancer, place: Place, config: string) {
    this.port = place.port
    this.#child = child
    this.#balancer = balancer
    this.#place = place
    this.#config = config
    this.#endsWithUs = () => {
      child.kill('SIGTERM')
      rmSync(place.dir, { recursive: true, force: true })
    }
    process.on('exit', this.#endsWithUs)
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (text: Buffer) => {
        this.#output = `${this.#output}${text.toString('utf8')}`.slice(-OUTPUT_CHARS_MAX)
      })
    }
  }

  /**
   * Starts the program with the example's file, the addresses replaced and nothing else; resolves when it listens.
   *
   * @param nodePorts Where the nodes are, on 127.0.0.1.
   * @param changes Further changes, for what the example's comments offer.
   */
  static async start(
    balancer: Balancer,
    { program }: Installed,
    nodePorts: readonly number[],
    changes: readonly (readonly [from: string, to: string])[] = [],
  ): Promise<RunningBalancer> {
    const dir = await mkdtemp(join(tmpdir(), `tribeline-${balancer.name}-`))
    const place = {
      dir,
      config: join(dir, balancer.example),
      port: await freePort(),
      isRoot: process.getuid?.() === 0,
    }
    const nodes =
      balancer.addresses?.(nodePorts) ??
      ADDRESSES.map((address, index) => [address, `127.0.0.1:${nodePorts[index]}`] as const)
    const files = [balancer.example, ...(balancer.companions ?? [])]
    const examples = await Promise.all(files.map(file => readFile(join(EXAMPLES, file), 'utf8')))
    const configs = replaced(examples, [...nodes, ...balancer.replacements(place), ...changes])
    await Promise.all(configs.map((text, index) => writeFile(join(dir, files[index] as string), text)))
    const config = configs[0] as string
    const main = balancer.wrapper ? join(dir, 'main.conf') : place.config
    if (balancer.wrapper) await writeFile(main, balancer.wrapper(place))
    const child = spawn(program, balancer.args(place, main), { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] })
    const running = new RunningBalancer(child, balancer, place, config)
    try {
      await Promise.race([listens(place.port), ended(child)])
      return running
    } catch (error) {
      const said = await running.output()
      await running.stop()
      throw new Error(`${balancer.name} did not start: ${error instanceof Error ? error.message : error}\n${said}`)
    }
  }

  /** The last lines it wrote, and where the rest is. */
  async output(): Promise<string> {
    const file = `${this.#place.dir}.log`
    await writeFile(file, this.#output)
    return `${this.#output.slice(-TAIL_CHARS)}\nAll of it: ${file}`
  }

  /** Tells it that the node on this port is about to be stopped, where it must be told. */
  async takeOut(nodePort: number): Promise<void> {
    if (this.#balancer.takeOut) await this.#reload(this.#balancer.takeOut(this.#config, `127.0.0.1:${nodePort}`))
  }

  /** Tells it that all nodes are there again, where it must be told. */
  async putBack(): Promise<void> {
    if (this.#balancer.takeOut) await this.#reload(this.#config)
  }

  /** Asks it to end, and insists after a while; removes its directory. */
  async stop(): Promise<void> {
    process.off('exit', this.#endsWithUs)
    if (this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid !== undefined) {
      const exit = once(this.#child, 'exit')
      this.#child.kill('SIGTERM')
      const insist = setTimeout(() => this.#child.kill('SIGKILL'), EXIT_WITHIN_MS)
      await exit
      clearTimeout(insist)
    }
    await rm(this.#place.dir, { recursive: true, force: true })
  }

  async #reload(config: string): Promise<void> {
    await writeFile(this.#place.config, config)
    this.#child.kill('SIGHUP')
  }
}

function replaced(texts: readonly string[], pairs: readonly (readonly [from: string, to: string])[]): string[] {
  let results = [...texts]
  for (const [from, to] of pairs) {
    if (!results.some(text => text.includes(from))) throw new Error(`The example does not contain: ${from}`)
    results = results.map(text => text.replaceAll(from, to))
  }
  return results
}

async function listens(port: number): Promise<void> {
  for (const deadline = Date.now() + LISTENS_WITHIN_MS; ; ) {
    if (await accepts(port)) return
    if (Date.now() > deadline) throw new Error(`Nothing listens on port ${port}`)
    await delay(50)
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

function ended(child: ChildProcess): Promise<never> {
  return new Promise((_, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => reject(new Error(`it ended with ${signal ?? code}`)))
  })
}
