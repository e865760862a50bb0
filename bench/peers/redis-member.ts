import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { type Answer, answer, type Orders, peakMiB, resetPeak, takeOrders, Waits } from '../orders.js'

/** Where the server is, and through which library it is talked to. */
export interface RedisMemberConfig {
  readonly port: number
  readonly client: 'redis' | 'ioredis' | 'ioredis-auto'
}

interface RedisClient {
  set(key: string, value: Buffer): Promise<unknown>
  get(key: string): Promise<unknown>
}

interface RedisModule {
  createClient(
    options: object,
  ): RedisClient & { connect(): Promise<unknown>; on(event: 'error', run: () => void): void }
}

interface IoRedisModule {
  Redis: new (options: object) => RedisClient & { once(event: 'ready', run: () => void): void }
}

// Not imported: who runs only the other benches needs neither, and NODE_PATH may say where they are.
const require = createRequire(import.meta.url)

async function connect({ client, port }: RedisMemberConfig): Promise<RedisClient> {
  if (client === 'redis') {
    const { createClient } = require('redis') as RedisModule
    const redis = createClient({ socket: { host: '127.0.0.1', port } })
    redis.on('error', () => {})
    await redis.connect()
    return redis
  }
  const { Redis } = require('ioredis') as IoRedisModule
  const redis = new Redis({ host: '127.0.0.1', port, enableAutoPipelining: client === 'ioredis-auto' })
  await new Promise<void>(resolve => redis.once('ready', resolve))
  return redis
}

const KEYS = 32

/** Keeps `writers` commands under way, each sent when one before it is answered. */
async function write(client: RedisClient, order: Orders): Promise<Answer> {
  const kind = order.text('kind')
  const writers = order.number('writers')
  const value = randomBytes(order.number('bytes'))
  const waits = new Waits()
  let count = 0
  const startedAt = Date.now()
  const until = performance.now() + order.number('ms')
  const writer = async (index: number): Promise<void> => {
    const key = `session-${index % KEYS}`
    for (let now = performance.now(); now < until; ) {
      count++
      if (kind === 'get') await client.get(key)
      else await client.set(key, value)
      const then = performance.now()
      waits.add(then - now)
      now = then
    }
  }
  await Promise.all(Array.from({ length: writers }, (_, index) => writer(index)))
  return { startedAt, endedAt: Date.now(), count, short: 0, waits: waits.quantiles() }
}

async function main(config: RedisMemberConfig): Promise<void> {
  const client = await connect(config)
  takeOrders((op, order) => {
    if (op === 'begin') resetPeak()
    if (op === 'report') return { peakMiB: peakMiB() }
    return op === 'write' ? write(client, order) : {}
  })
  answer('ready')
}

await main(JSON.parse(process.argv[2] ?? '{}') as RedisMemberConfig)
