import { randomBytes, randomInt } from 'node:crypto'
import { Channel } from '../../lib/channel/channel.js'
import type { ChannelOptions, MembershipOptions } from '../../lib/channel/channel-options.js'
import type { Interceptor } from '../../lib/channel/interceptor.js'
import { tcpFailureDetector } from '../../lib/channel/interceptors/tcp-failure-detector.js'
import { createNodeRuntime } from '../../lib/runtime/node-runtime.js'
import type { Runtime } from '../../lib/runtime/runtime.js'

/** A group of its own: parallel runs must not meet. */
export interface TestGroup {
  readonly group: string
  readonly multicastPort: number
}

export function testGroup(): TestGroup {
  return { group: `test-${randomBytes(6).toString('hex')}`, multicastPort: randomInt(20_000, 60_000) }
}

export interface TestChannelOptions {
  readonly port?: number
  readonly membership?: Partial<MembershipOptions>
  readonly interceptors?: readonly Interceptor[]
  readonly runtime?: Runtime
}

const opened = new Set<Channel>()

/** Ends what a failed test left open, which would keep the process alive. */
export function destroyAll(): void {
  for (const channel of opened) channel.destroy()
}

export function testChannel(
  { group, multicastPort }: TestGroup,
  name: string,
  given: TestChannelOptions = {},
): Channel {
  const options: ChannelOptions = {
    name,
    group,
    membership: {
      service: 'multicast',
      address: '228.0.0.4',
      port: multicastPort,
      bind: '127.0.0.1',
      ttl: 0,
      frequency: 200,
      dropTime: 1_500,
      members: [],
      suspicionMs: 500,
      hungGraceMs: 4_000,
      forgetMemberAfterMs: 60_000,
      ...given.membership,
    },
    receiver: { address: '127.0.0.1', port: given.port ?? 0, autoBind: 100, maxFrameBytes: 1_048_576 },
    sender: { poolSize: 1, timeout: 3_000, queueBytes: 8_388_608, queueAgeMs: 2_000 },
    interceptors: given.interceptors ?? [tcpFailureDetector()],
  }
  const channel = new Channel({ runtime: given.runtime ?? createNodeRuntime() }, options)
  opened.add(channel)
  return channel
}

/** Resolves when the channel sees exactly these names; fails after 10 s. */
export async function sees(channel: Channel, ...names: string[]): Promise<void> {
  const wanted = names.join()
  const current = (): string => channel.members.map(({ name }) => name).join()
  if (current() === wanted) return
  await new Promise<void>((resolve, reject) => {
    const check = (): void => {
      if (current() !== wanted) return
      end()
      resolve()
    }
    const late = setTimeout(() => {
      end()
      reject(
        new Error(`${channel.local.name} sees ${current()} instead of ${wanted}: ${JSON.stringify(channel.stats())}`),
      )
    }, 10_000)
    const end = (): void => {
      clearTimeout(late)
      channel.off('memberAdded', check)
      channel.off('memberDisappeared', check)
    }
    channel.on('memberAdded', check)
    channel.on('memberDisappeared', check)
  })
}
