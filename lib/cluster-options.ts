import type { ChannelOptions, MembershipOptions, ReceiverOptions, SenderOptions } from './channel/channel-options.js'
import type { Interceptor } from './channel/interceptor.js'
import { dispatch } from './channel/interceptors/dispatch.js'
import { tcpFailureDetector } from './channel/interceptors/tcp-failure-detector.js'
import { InvalidOptionError } from './errors.js'
import { checkNames, custom, isBlock, oneOf, type RulesOf, resolve, text, wholeNumber } from './options.js'
import { type ReplicaOptionsInput, resolveReplicaOptions } from './replication/replica-options.js'
import type { Runtime } from './runtime/runtime.js'
import { type DeltaManagerOptions, resolveDeltaManagerOptions } from './session/delta-manager-options.js'
import type { SessionCodec } from './session/session-codec.js'
import { type LoginPolicy, resolveLoginPolicy, type UsersOptions } from './users/login-policy.js'

const BYTE = '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'

/** Rules of the options that decide how members find, hear and reach each other. */
const CHANNEL_RULES: RulesOf<Omit<ChannelOptions, 'interceptors'>> = {
  name: text('', /^[\w-]{1,64}$/, '1 to 64 letters, digits, - or _'),
  group: text('tribeline', /^[\w.:/-]{1,128}$/, '1 to 128 letters, digits or ._:/-'),
  membership: {
    service: oneOf('multicast', 'multicast', 'static'),
    address: text(
      '228.0.0.4',
      new RegExp(`^2(2[4-9]|3\\d)(\\.${BYTE}){3}$`),
      'an IPv4 multicast address, 224.0.0.0 to 239.255.255.255',
    ),
    port: wholeNumber(45_564, 1, 65_535),
    bind: text('auto', new RegExp(`^(auto|${BYTE}(\\.${BYTE}){3})$`), "'auto' or the IPv4 address of an interface"),
    ttl: wholeNumber(1, 0, 255),
    frequency: wholeNumber(500, 10, 60_000),
    dropTime: wholeNumber(3_000, 20, 600_000),
    members: custom<readonly string[]>([], "a list of 'host:port', 1,024 at most", isSeedList),
    suspicionMs: wholeNumber(1_500, 0, 600_000),
    hungGraceMs: wholeNumber(10_000, 0, 3_600_000),
    forgetMemberAfterMs: wholeNumber(3_600_000, 1_000, 604_800_000),
  },
  receiver: {
    address: text('auto', /^[\w.:%-]{1,255}$/, "'auto', an IP address or a host name"),
    port: wholeNumber(4_000, 0, 65_535),
    autoBind: wholeNumber(100, 1, 10_000),
    maxFrameBytes: wholeNumber(1_048_576, 65_536, 67_108_864),
  },
  sender: {
    poolSize: wholeNumber(1, 1, 25),
    timeout: wholeNumber(3_000, 10, 600_000),
    queueBytes: wholeNumber(8_388_608, 65_536, 1_073_741_824),
    queueAgeMs: wholeNumber(2_000, 10, 600_000),
  },
}

/**
 * How a member joins its group. Everything has a default; names are those of Tribes where it has one, and durations
 * are milliseconds unless a name says otherwise.
 */
export interface ClusterOptions {
  /** Stable over restarts: 1 to 64 letters, digits, `-` or `_`. Default: `node-` and 8 random hex digits. */
  readonly name?: string
  /** Only members of one group see each other. Default `tribeline`. */
  readonly group?: string
  /** How members find each other and notice each other's end. Default: by multicast, as Tomcat does. */
  readonly membership?: Partial<MembershipOptions>
  /** Where this member listens. Default: the host's first address, the first free port from 4000 on. */
  readonly receiver?: Partial<ReceiverOptions>
  /** Connections and queues to the others. Default: one connection, 8 MiB and 2 s each. */
  readonly sender?: Partial<SenderOptions>
  /** Top first: `send` passes them in this order. Default `[dispatch(), tcpFailureDetector()]`, as in Tribes. */
  readonly interceptors?: readonly Interceptor[]
  /** Times and bounds of the replicas under the sessions and under each map; the defaults suit most. */
  readonly replication?: ReplicaOptionsInput
  /** Sessions' lifetime, and what a write waits for. Default: 1800 s; one other member has applied it, at most 1 s. */
  readonly sessions?: DeltaManagerOptions
  /** How many logins a principal may have. Default: as many as it likes. */
  readonly users?: UsersOptions
  /**
   * How attribute values become bytes and values again; every member must use the same. Default: msgpackr with structured
   * clone, which keeps Dates, Maps, Sets, typed arrays and references, and no classes. One that knows yours:
   *
   * ```ts
   * import { addExtension, Packr } from 'msgpackr'
   * addExtension({ Class: Money, type: 1, write: ({ cents }) => cents, read: cents => new Money(cents) })
   * const packr = new Packr({ structuredClone: true, moreTypes: true, mapsAsObjects: false })
   * const codec = { encode: (value: unknown) => packr.pack(value), decode: (bytes: Uint8Array) => packr.unpack(bytes) }
   * ```
   */
  readonly codec?: SessionCodec
  /** The outside world; tests give a simulated one. Default: this host's. */
  readonly runtime?: Runtime
}

/** Options, complete and checked. */
export interface ResolvedClusterOptions {
  readonly channel: ChannelOptions
  readonly replication: ReplicaOptionsInput
  readonly sessions: Required<DeltaManagerOptions>
  readonly users: LoginPolicy
  readonly codec: SessionCodec | undefined
}

const NAMES: readonly string[] = [
  ...Object.keys(CHANNEL_RULES),
  'interceptors',
  'replication',
  'sessions',
  'users',
  'codec',
  'runtime',
]

/**
 * Checks what is used before the rest can be checked.
 *
 * @throws {InvalidOptionError} for no object, an unknown name and a runtime that is none
 */
export function checkClusterOptions(options: ClusterOptions): void {
  checkNames(options, NAMES)
  const { runtime } = options
  const isRuntime = (['clock', 'random', 'network'] as const).every(part => isBlock(runtime?.[part]))
  if (runtime !== undefined && !isRuntime) {
    throw new InvalidOptionError('runtime', 'an object with clock, random and network', runtime)
  }
}

/**
 * @throws {InvalidOptionError} for unknown names, bad values and pairs that contradict each other
 */
export function resolveClusterOptions(options: ClusterOptions, defaultName: string): ResolvedClusterOptions {
  const { interceptors, replication, sessions, users, codec, runtime: _runtime, ...rest } = options
  const channel = resolve(CHANNEL_RULES, rest)
  const { membership } = channel
  if (membership.dropTime < 2 * membership.frequency) {
    const expected = `at least twice membership.frequency (${membership.frequency})`
    throw new InvalidOptionError('membership.dropTime', expected, membership.dropTime)
  }
  checkInterceptors(interceptors)
  if (codec !== undefined && (typeof codec?.encode !== 'function' || typeof codec.decode !== 'function')) {
    throw new InvalidOptionError('codec', 'an object with encode and decode', codec)
  }
  // Both remember for equally long who may come back, unless asked for otherwise.
  const { forgetMemberAfterMs } = membership
  const remembering =
    replication === undefined || isBlock(replication) ? { forgetMemberAfterMs, ...replication } : replication
  return {
    channel: {
      ...channel,
      name: channel.name || defaultName,
      interceptors: interceptors ?? [dispatch(), tcpFailureDetector()],
    },
    replication: resolveReplicaOptions(remembering),
    sessions: resolveDeltaManagerOptions(sessions),
    users: resolveLoginPolicy(users, 'users.'),
    codec,
  }
}

const HOOKS = [
  'send',
  'receive',
  'memberAdded',
  'memberDisappeared',
  'memberSuspected',
  'start',
  'stop',
] as const satisfies readonly (keyof Interceptor)[]

function checkInterceptors(interceptors: unknown): void {
  if (interceptors === undefined) return
  if (!Array.isArray(interceptors)) {
    throw new InvalidOptionError('interceptors', 'a list of interceptors', interceptors)
  }
  for (const [place, one] of interceptors.entries()) {
    const option = `interceptors[${place}]`
    if (!isBlock(one) || typeof one.name !== 'string') {
      throw new InvalidOptionError(option, 'an interceptor: an object with a name (dispatch() makes one)', one)
    }
    for (const hook of HOOKS) {
      if (one[hook] === undefined || typeof one[hook] === 'function') continue
      throw new InvalidOptionError(`${option}.${hook}`, 'a function', one[hook])
    }
  }
}

function isSeedList(value: unknown): boolean {
  return Array.isArray(value) && value.length <= 1_024
}
