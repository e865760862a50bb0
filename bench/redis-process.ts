import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../examples/demo/free-port.js'

const READY_WITHIN_MS = 5_000
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** A Redis of our own on a free port of 127.0.0.1, which keeps nothing on disk. */
export class RedisProcess {
  readonly port: number
  readonly version: string
  readonly #child: ChildProcess

  private constructor(port: number, version: string, child: ChildProcess) {
    this.port = port
    this.version = version
    this.#child = child
    process.once('exit', this.#kill)
    for (const signal of SIGNALS) process.once(signal, this.#interrupted)
  }

  /** Undefined where `redis-server` is not installed. */
  static async start(): Promise<RedisProcess | undefined> {
    const { status, stdout } = spawnSync('redis-server', ['--version'], { encoding: 'utf8' })
    if (status !== 0) return undefined
    const port = await freePort()
    const flags = [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
      '--daemonize',
      'no',
    ]
    const child = spawn('redis-server', flags, { stdio: 'ignore' })
    const redis = new RedisProcess(port, /v=([\d.]+)/.exec(stdout)?.[1] ?? '', child)
    const until = performance.now() + READY_WITHIN_MS
    while (!(await answers(port))) {
      if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`)
      if (performance.now() > until) throw new Error('redis-server does not answer')
      await delay(20)
    }
    return redis
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Ends it and waits until it is gone. */
  async stop(): Promise<void> {
    process.off('exit', this.#kill)
    for (const signal of SIGNALS) process.off(signal, this.#interrupted)
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await gone
  }

  readonly #kill = (): void => {
    this.#child.kill('SIGKILL')
  }

  /** It has no channel to us by which it would notice our end. */
  readonly #interrupted = (): void => {
    process.exit(1)
  }
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
