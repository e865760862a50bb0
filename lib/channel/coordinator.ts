import debugging from 'debug'
import type { Member } from '../membership/member.js'
import { MemberTable } from '../membership/member-table.js'
import { type HeardVia, type MemberEffect, memberTableDefaults } from '../membership/member-table-types.js'
import { viewHash } from '../membership/view-hash.js'
import type { Clock, Timer } from '../runtime/runtime.js'
import type { ReceiverHandlers, SenderHandlers } from '../transport/types.js'
import type { Frame, Heartbeat } from '../wire/messages.js'
import { ClockReader } from './clock-reader.js'
import type { CoordinatorParts } from './coordinator-types.js'
import { Heartbeats } from './heartbeats.js'
import type { ChainEnds, ChannelMessage, InterceptorContext } from './interceptor.js'
import { Introductions } from './introductions.js'
import type { TransportPort } from './transport-port.js'

const TICK_MS = 200
/** A tick this late means that we were asleep, not the others. */
const STALL_FENCE_MS = 2_000
/** Time for goodbyes to reach the others before the connections close. */
const GOODBYE_MS = 50
const debug = debugging('tribeline:membership')

function unheard(): void {}

/** The bottom of the chain: joins membership and transport, owns the timers. Tribes' ChannelCoordinator. */
export class ChannelCoordinator {
  readonly #parts: CoordinatorParts
  readonly #clock: Clock
  readonly #transport: TransportPort
  readonly #clocks: ClockReader
  readonly #heartbeats: Heartbeats
  readonly #introductions: Introductions
  readonly #timers = new Set<Timer>()
  #chain: ChainEnds | undefined
  #table: MemberTable | undefined
  #local: Member
  #stalls = 0
  #state: 'new' | 'running' | 'stopping' | 'stopped' = 'new'
  #lastTickMs = 0
  #view = ''
  /** The live member a message came of last, whose next ones need no look into the table until somebody is gone. */
  #heardLast: Member | undefined

  /** @param provisional the local member before its port is known */
  constructor(parts: CoordinatorParts, provisional: Member) {
    this.#parts = parts
    this.#clock = parts.clock
    this.#local = provisional
    this.#transport = parts.transport(this.#receiverHandlers(), this.#senderHandlers())
    this.#clocks = new ClockReader({
      clock: this.#clock,
      transport: this.#transport,
      isLive: id => this.#state === 'running' && this.#table?.get(id) !== undefined,
      seen: (id, nowMs) => this.#table?.seen(id, nowMs),
      diverged: (member, aheadMs) => parts.events.clockDivergence(member, aheadMs),
    })
    this.#introductions = new Introductions({
      clock: this.#clock,
      clocks: this.#clocks,
      transport: this.#transport,
      group: parts.group,
      local: () => this.#local,
      table: () => this.#table,
      running: () => this.#state === 'running',
      awake: () => this.#awake(),
    })
    this.#heartbeats = new Heartbeats({
      clock: this.#clock,
      random: parts.random,
      service: parts.service,
      transport: this.#transport,
      after: (delayMs, run) => this.#after(delayMs, run),
      frequencyMs: parts.options.frequency,
      dropTimeMs: parts.options.dropTime,
      members: () => this.members,
      datagramsMissing: (id, nowMs) => this.#table?.datagramsMissing(id, nowMs) === true,
      content: leaving => ({
        group: parts.group,
        member: this.#local,
        incarnation: this.#introductions.incarnation,
        view: this.viewHash(),
        leaving,
        clusterTime: this.clusterTime(),
        advertisements: leaving ? [] : parts.events.advertisements(),
      }),
      sent: count => this.#clocks.readAgain(this.members, count, parts.options.frequency),
    })
  }

  get local(): Member {
    return this.#local
  }

  get members(): readonly Member[] {
    return this.#table?.members ?? []
  }

  get absent(): readonly Member[] {
    return this.#table?.absent ?? []
  }

  get clockSettled(): boolean {
    return this.#clocks.clusterClock.settled
  }

  clusterTime(): number {
    return this.#clocks.time()
  }

  viewHash(): string {
    if (this.#view === '') this.#view = viewHash([this.#local.id, ...this.members.map(({ id }) => id)])
    return this.#view
  }

  stats(): Readonly<Record<string, unknown>> {
    return {
      heartbeatsSent: this.#heartbeats.count,
      clockDivergences: this.#clocks.divergences,
      stalls: this.#stalls,
      ...this.#introductions.counts,
      ...this.#table?.counts,
      absent: this.absent.length,
      incarnation: this.#introductions.incarnation,
      clockSettled: this.clockSettled,
      membership: this.#parts.service.counts,
      transport: this.#transport.stats(),
    }
  }

  /** What interceptors may use. Valid while running. */
  interceptorContext(): InterceptorContext {
    return {
      clock: this.#clock,
      random: this.#parts.random,
      local: this.#local,
      echo: (member, timeoutMs, settled) =>
        this.#transport.echo(member, timeoutMs, result => settled(result !== undefined)),
      probe: (member, timeoutMs, settled) => this.#transport.probe(member, timeoutMs, settled),
    }
  }

  /** Listens; afterwards `local` is final. */
  async listen(): Promise<void> {
    const { host, port } = await this.#transport.listen()
    debug('%s listens on %s:%d', this.#local.name, host, port)
    this.#local = { ...this.#local, host, port }
  }

  /** Joins the group: what is found goes up the chain. */
  async start(chain: ChainEnds): Promise<void> {
    const { options, random, service } = this.#parts
    const nowMs = this.#clock.monotonic()
    this.#chain = chain
    this.#table = new MemberTable(
      this.#local,
      random,
      {
        ...memberTableDefaults,
        dropTimeMs: options.dropTime,
        suspicionMs: options.suspicionMs,
        hungGraceMs: options.hungGraceMs,
        forgetMemberAfterMs: options.forgetMemberAfterMs,
      },
      effect => this.#perform(effect),
      nowMs,
    )
    this.#lastTickMs = nowMs
    this.#state = 'running'
    try {
      await service.start({ heartbeat: heartbeat => this.#heard(heartbeat, 'datagram') })
    } catch (error) {
      this.#close()
      throw error
    }
    if (this.#state !== 'running') return
    for (const seed of service.seeds) this.#table.addSeed(seed, nowMs)
    this.#heartbeats.start()
    this.#after(TICK_MS, () => this.#tick())
    this.#clocks.start((delayMs, run) => this.#after(delayMs, run), 2 * options.frequency)
  }

  /** Says goodbye, waits until it may have arrived, closes everything. */
  async stop(): Promise<void> {
    if (this.#state !== 'running') return this.#close()
    this.#heartbeats.send(true)
    this.#state = 'stopping'
    for (const member of this.members) this.#transport.control(member, { kind: 'goodbye', member: this.#local.id })
    for (const timer of this.#timers) timer.cancel()
    await new Promise<void>(resolve => this.#clock.setTimer(GOODBYE_MS, resolve))
    this.#close()
  }

  /** Ends as a crash would: no goodbye. For tests and simulations. */
  destroy(): void {
    this.#close(true)
  }

  /** The bottom of the chain's way out. */
  send(message: ChannelMessage): void {
    const settled = message.settled ?? unheard
    const { to } = message
    if (this.#areLive(to)) return this.#transport.send(message, to, settled)
    const live: Member[] = []
    for (const member of to) {
      if (this.#isLive(member)) live.push(member)
      else settled(member, 'disappeared')
    }
    if (live.length > 0) this.#transport.send(message, live, settled)
  }

  /** Whether messages of a member count: it is live, or not known to be gone for good. */
  #hears(from: Member): boolean {
    if (from === this.#heardLast) return true
    const standing = this.#table?.standing(from.id)
    if (standing === 'alive' || standing === 'suspect') this.#heardLast = from
    return standing !== undefined && standing !== 'left' && standing !== 'superseded'
  }

  #areLive(members: readonly Member[]): boolean {
    // Mostly it goes to all of them.
    if (members === this.#table?.members) return this.#state === 'running'
    for (const member of members) if (!this.#isLive(member)) return false
    return true
  }

  #isLive({ id }: Member): boolean {
    return this.#state === 'running' && this.#table?.get(id) !== undefined
  }

  /** Asks for a heartbeat now, so that an urgent advertisement need not wait; rate-limited. */
  kick(): void {
    if (this.#state === 'running') this.#heartbeats.kick()
  }

  #close(abrupt = false): void {
    this.#state = 'stopped'
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
    this.#parts.service.stop()
    this.#transport.stop(this.members, abrupt)
  }

  #after(delayMs: number, run: () => void): void {
    const timer = this.#clock.setTimer(delayMs, () => {
      this.#timers.delete(timer)
      if (this.#state === 'running') run()
    })
    this.#timers.add(timer)
  }

  #tick(): void {
    this.#after(TICK_MS, () => this.#tick())
    const nowMs = this.#awake()
    this.#lastTickMs = nowMs
    this.#table?.tick(nowMs)
    this.#heartbeats.sweep(nowMs)
  }

  /** The time; notices first whether we were asleep. */
  #awake(): number {
    const nowMs = this.#clock.monotonic()
    if (nowMs - this.#lastTickMs <= TICK_MS + STALL_FENCE_MS) return nowMs
    debug('stalled for %d ms: the silence was ours', Math.round(nowMs - this.#lastTickMs))
    this.#lastTickMs = nowMs
    this.#stalls++
    this.#table?.forgive(nowMs)
    return nowMs
  }

  #heard(heartbeat: Heartbeat, via: HeardVia): void {
    if (this.#state !== 'running' || !this.#table) return
    const nowMs = this.#awake()
    if (this.#table.get(heartbeat.member.id)) this.#heartbeats.heard(heartbeat, via, nowMs)
    if (!this.#table.heard(heartbeat, via, nowMs)) return
    const member = this.#table.get(heartbeat.member.id)
    if (!member) return
    if (heartbeat.view !== this.viewHash()) this.#introductions.ask(member, nowMs)
    const rest = this.#heartbeats.advertised(heartbeat)
    if (rest.length > 0) this.#parts.events.advertised(rest, member)
  }

  #control(frame: Frame, from: Member): void {
    if (this.#state !== 'running' || !this.#table) return
    if (frame.kind === 'goodbye' && frame.member === from.id) this.#table.goodbye(from, this.#clock.monotonic())
    if (frame.kind !== 'heartbeat') return
    const { heartbeat } = frame
    if (heartbeat.group === this.#parts.group && heartbeat.member.id === from.id) this.#heard(heartbeat, 'connection')
  }

  #perform(effect: MemberEffect): void {
    if (effect.kind === 'dial') this.#introductions.dial(effect.endpoint)
    else if (effect.kind === 'verify') {
      this.#chain?.memberSuspected({ member: effect.member, why: effect.why }, verdict => {
        if (this.#state !== 'running') return
        this.#table?.verified(effect.member.id, effect.token, verdict, this.#awake())
        // Has the control connection made again if it was the one that ended.
        if (verdict === 'alive') this.#transport.control(effect.member, { kind: 'echo', nonce: 0 })
      })
    } else if (effect.kind === 'added') {
      this.#view = ''
      this.#introductions.viewChanged()
      this.#transport.add(effect.member)
      this.#chain?.memberAdded(effect.member)
    } else {
      const { member, reason } = effect
      this.#view = ''
      this.#heardLast = undefined
      this.#introductions.viewChanged()
      this.#clocks.clusterClock.forget(member.id)
      this.#heartbeats.forget(member.id)
      this.#transport.remove(member, reason)
      this.#chain?.memberDisappeared(member, reason)
    }
  }

  #receiverHandlers(): ReceiverHandlers {
    return {
      hello: hello => this.#introductions.greeted(hello),
      message: (topic, payload, from) => {
        if (this.#state !== 'running' || !this.#chain || !this.#hears(from)) return 'rejected'
        return this.#chain.receive({ topic, payload }, from)
      },
      control: (frame, from) => this.#control(frame, from),
      ended: member => this.#ended(member),
      clusterTime: () => this.clusterTime(),
    }
  }

  #senderHandlers(): SenderHandlers {
    return {
      ended: member => this.#ended(member),
      control: (frame, from) => this.#control(frame, from),
      refill: (member, topic, keys, lost) => {
        if (this.#state === 'running') this.#parts.events.refill(member, topic, keys, lost)
      },
      hello: purpose => this.#introductions.hello(purpose),
    }
  }

  #ended(member: Member): void {
    if (this.#state === 'running') this.#table?.connectionEnded(member.id, this.#clock.monotonic())
  }
}
