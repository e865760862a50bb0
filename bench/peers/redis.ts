import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, join } from 'node:path'
import type { Group } from '../measurement.js'
import { MemberProcess } from '../member-process.js'
import { RedisProcess } from '../redis-process.js'
import type { RedisMemberConfig } from './redis-member.js'

/** One server with nothing but memory, on a port of its own at 127.0.0.1, and clients in processes of their own. */
export class RedisPeer {
  readonly version: string
  readonly #server: RedisProcess
  readonly #clients: MemberProcess[] = []

  private constructor(server: RedisProcess, version: string) {
    this.#server = server
    this.version = version
  }

  /** Why it cannot be measured here and what to do about it; undefined: it can. */
  static missing(): string | undefined {
    if (findProgram('redis-server') === undefined) return 'not installed: apt-get install redis-server'
    const absent = ['redis', 'ioredis'].filter(name => versionOf(name) === undefined)
    return absent.length > 0 ? `not installed: npm install --no-save ${absent.join(' ')}` : undefined
  }

  static async start(): Promise<RedisPeer> {
    const server = await RedisProcess.start()
    if (server === undefined) throw new Error('redis-server is not installed')
    return new RedisPeer(server, `${server.version}, redis ${versionOf('redis')}, ioredis ${versionOf('ioredis')}`)
  }

  /** A client in a process of its own; the server's CPU counts with it. */
  async client(client: RedisMemberConfig['client']): Promise<Group> {
    const config: RedisMemberConfig = { port: this.#server.port, client }
    const member = MemberProcess.node('peers/redis-member', config, client)
    this.#clients.push(member)
    await member.reply('ready')
    return { members: [member], extraCpuMs: () => cpuMsOf(this.#server.pid) }
  }

  async end(): Promise<void> {
    for (const client of this.#clients) await client.end()
    await this.#server.stop()
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
