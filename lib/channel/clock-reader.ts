import { ClusterClock } from '../membership/cluster-clock.js'
import type { Member, MemberId } from '../membership/member.js'
import type { Clock } from '../runtime/runtime.js'
import type { Welcome } from '../wire/messages.js'
import type { After } from './coordinator-types.js'
import type { TransportPort } from './transport-port.js'

/** What reads the clocks of others. */
export interface ClockReaderParts {
  readonly clock: Clock
  readonly transport: Pick<TransportPort, 'echo'>
  /** Whether the answer of a member still counts. */
  isLive(id: MemberId): boolean
  /** The member has answered. */
  seen(id: MemberId, nowMs: number): void
  diverged(member: Member, aheadMs: number): void
}

const CLOCK_ROUNDS = 8
const CLOCK_ECHO_TIMEOUT_MS = 500
/** Each member's clock is read again after so many heartbeats of 500 ms. */
const CLOCK_EVERY_HEARTBEATS = 10

/** Keeps the group's time: reads the others' clocks by echoes (Cristian 1989) and feeds the ClusterClock. */
export class ClockReader {
  readonly clusterClock: ClusterClock
  /** Members turned away for their clocks. */
  divergences = 0
  readonly #parts: ClockReaderParts

  constructor(parts: ClockReaderParts) {
    this.#parts = parts
    this.clusterClock = new ClusterClock(parts.clock.wall(), parts.clock.monotonic())
  }

  /** Milliseconds since the epoch on the group's clock. */
  time(): number {
    return this.clusterClock.time(this.#parts.clock.monotonic())
  }

  /** Alone, or among newcomers only: the time is settled after a while without waiting for anybody. */
  start(after: After, settleAfterMs: number): void {
    after(settleAfterMs, () => this.clusterClock.settle(this.#parts.clock.monotonic()))
  }

  /** Whether a clock is too far from the group's to let its owner in; counted and told. */
  diverges(member: Member, clusterTime: number, settled: boolean, nowMs: number): boolean {
    if (!this.clusterClock.diverges(clusterTime, settled, nowMs)) return false
    this.divergences++
    this.#parts.diverged(member, this.clusterClock.aheadMs(clusterTime, nowMs))
    return true
  }

  /** The handshake of a dial is a first reading. */
  welcomed({ member, clusterTime, clockSettled }: Welcome, sentMs: number, receivedMs: number): void {
    this.clusterClock.sample(member.id, clockSettled, { sentMs, receivedMs, peerTimeMs: clusterTime })
  }

  /** Reads a new member's clock several times in a row. */
  readOften(member: Member, settled: boolean): void {
    this.#read(member, settled, CLOCK_ROUNDS)
  }

  /** After our heartbeat number `count`: reads everybody's clock again when it is time. */
  readAgain(members: readonly Member[], count: number, frequencyMs: number): void {
    if (count % Math.max(1, Math.round((CLOCK_EVERY_HEARTBEATS * 500) / frequencyMs)) !== 0) return
    for (const member of members) this.#read(member, true, 1)
  }

  #read(member: Member, settled: boolean, rounds: number): void {
    const { clock, transport } = this.#parts
    const sentMs = clock.monotonic()
    transport.echo(member, CLOCK_ECHO_TIMEOUT_MS, result => {
      if (!this.#parts.isLive(member.id)) return
      const receivedMs = clock.monotonic()
      if (result) {
        this.#parts.seen(member.id, receivedMs)
        this.clusterClock.sample(member.id, settled, { sentMs, receivedMs, peerTimeMs: result.clusterTime })
        if (rounds > 1) return this.#read(member, settled, rounds - 1)
      }
      if (settled) this.clusterClock.settle(receivedMs)
    })
  }
}
