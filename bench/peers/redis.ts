import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createConnection, createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Group } from '../measurement.js'
import { MemberProcess } from '../member-process.js'
import type { RedisMemberConfig } from './redis-member.js'

/** One server with nothing but memory, on a port of its own at 127.0.0.1, and clients in processes of their own. */
export class RedisPeer {
  readonly version: string
  readonly #server: ChildProcess
  readonly #port: number
  readonly #clients: MemberProcess[] = []

  private constructor(server: ChildProcess, port: number, version: string) {
    this.#server = server
    this.#port = port
    this.version = version
    process.once('exit', this.#kill)
  }

  /** Why it cannot be measured here and what to do about it; undefined: it can. */
  static missing(): string | undefined {
    if (findProgram('redis-server') === undefined) return 'not installed: apt-get install redis-server'
    const absent = ['redis', 'ioredis'].filter(name => versionOf(name) === undefined)
    return absent.length > 0 ? `not installed: npm install --no-save ${absent.join(' ')}` : undefined
  }

  static async start(): Promise<RedisPeer> {
    const port = await freePort()
    const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--daemonize', 'no']
    const server = spawn(findProgram('redis-server') ?? 'redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let log = ''
    server.stdout.on('data', text => {
      log = `${log}${text}`.slice(-10_000)
    })
    await untilOpen(port, server)
    const own = /Redis version=([\d.]+)/.exec(log)?.[1] ?? '?'
    const version = `${own}, redis ${versionOf('redis')}, ioredis ${versionOf('ioredis')}`
    return new RedisPeer(server, port, version)
  }

  /** A client in a process of its own; the server's CPU counts with it. */
  async client(client: RedisMemberConfig['client']): Promise<Group> {
    const config: RedisMemberConfig = { port: this.#port, client }
    const member = MemberProcess.node('peers/redis-member', config, client)
    this.#clients.push(member)
    await member.reply('ready')
    return { members: [member], extraCpuMs: () => cpuMsOf(this.#server.pid) }
  }

  async end(): Promise<void> {
    for (const client of this.#clients) await client.end()
    process.off('exit', this.#kill)
    const gone = once(this.#server, 'exit')
    this.#server.kill('SIGTERM')
    await gone
  }

  readonly #kill = (): void => {
    this.#server.kill('SIGKILL')
  }
}

function findProgram(name: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map(folder => join(folder, name))
    .find(path => existsSync(path))
}

function versionOf(name: string): string | undefined {
  const require = createRequire(import.meta.url)
  try {
    const main = require.resolve(name)
    const folder = main.slice(0, main.lastIndexOf(join('node_modules', name)) + join('node_modules', name).length)
    return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version
  } catch {
    return undefined
  }
}

/** User and system time of a process in milliseconds, where /proc tells it; else 0. */
function cpuMsOf(pid: number | undefined): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // Ticks of 10 ms: what Linux has told user space on every architecture Node runs on.
    return (Number(fields[11]) + Number(fields[12])) * 10
  } catch {
    return 0
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

async function untilOpen(port: number, server: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 250 && server.exitCode === null; tries++) {
    const socket = createConnection({ host: '127.0.0.1', port })
    const open = await Promise.race([
      once(socket, 'connect').then(
        () => true,
        () => false,
      ),
      delay(1_000, false),
    ])
    socket.destroy()
    if (open) return
    await delay(20)
  }
  throw new Error('redis-server did not start')
}
