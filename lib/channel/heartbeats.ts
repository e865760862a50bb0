import debugging from 'debug'
import { jitter } from '../membership/dial-book.js'
import type { Member, MemberId } from '../membership/member.js'
import type { HeardVia } from '../membership/member-table-types.js'
import type { MembershipService } from '../membership/membership-service.js'
import type { Clock, Random } from '../runtime/runtime.js'
import type { Advertisement, Heartbeat } from '../wire/messages.js'
import type { After } from './coordinator-types.js'
import type { TransportPort } from './transport-port.js'

/** What heartbeats are made of and where they go. */
export interface HeartbeatParts {
  readonly clock: Clock
  readonly random: Random
  readonly service: MembershipService
  readonly transport: Pick<TransportPort, 'control'>
  readonly after: After
  /** Milliseconds between two heartbeats, give or take a tenth. */
  readonly frequencyMs: number
  /** How long a member's wish for heartbeats over its connection holds. */
  readonly dropTimeMs: number
  members(): readonly Member[]
  /** Whether the member's own datagrams stay away; see `MemberTable.datagramsMissing`. */
  datagramsMissing(id: MemberId, nowMs: number): boolean
  /** All of the next heartbeat but its number. */
  content(leaving: boolean): Omit<Heartbeat, 'count'>
  /** The heartbeat with this number is out. */
  sent(count: number): void
}

/** Urgent heartbeats are no closer than this. */
const KICK_GAP_MS = 20
/** In a heartbeat over a connection: we do not hear your datagrams, send yours this way too. */
const NO_DATAGRAMS = '~no-datagrams'

const debug = debugging('tribeline:membership')

/**
 * Sends our heartbeats: by the membership service to all, and over the control connection to those that multicast does
 * not reach. Either side may notice that; the heartbeat over the connection carries the wish to be answered likewise.
 */
export class Heartbeats {
  readonly #parts: HeartbeatParts
  /** Members that asked for heartbeats over the connection, and until when. At most one entry a live member. */
  readonly #datagramsUnheardBy = new Map<MemberId, number>()
  readonly #warned = new Set<MemberId>()
  #count = 0
  #lastMs = Number.NEGATIVE_INFINITY
  #kicked = false

  constructor(parts: HeartbeatParts) {
    this.#parts = parts
  }

  /** Heartbeats sent so far, also the number of the last one. */
  get count(): number {
    return this.#count
  }

  /** Sends one now and the others in their time. */
  start(): void {
    this.send(false)
    this.#schedule()
  }

  /** Sends one now. */
  send(leaving: boolean): void {
    const { clock, service, transport } = this.#parts
    const nowMs = clock.monotonic()
    this.#lastMs = nowMs
    const heartbeat: Heartbeat = { ...this.#parts.content(leaving), count: ++this.#count }
    service.broadcast(heartbeat)
    const asking = [...heartbeat.advertisements, { topic: NO_DATAGRAMS, bytes: Uint8Array.of(1) }]
    for (const member of this.#parts.members()) {
      if (service.broadcasts && this.#parts.datagramsMissing(member.id, nowMs)) {
        this.#warn(member)
        transport.control(member, { kind: 'heartbeat', heartbeat: { ...heartbeat, advertisements: asking } })
      } else if (!service.broadcasts || this.#datagramsUnheardBy.has(member.id)) {
        transport.control(member, { kind: 'heartbeat', heartbeat })
      }
    }
    this.#parts.sent(this.#count)
  }

  /** Sends the next one now, or as soon as the last is 20 ms old. */
  kick(): void {
    if (this.#kicked) return
    this.#kicked = true
    const waitMs = Math.max(0, this.#lastMs + KICK_GAP_MS - this.#parts.clock.monotonic())
    this.#parts.after(waitMs, () => {
      this.#kicked = false
      this.send(false)
    })
  }

  /** A live member's heartbeat: notes its wish, if it has one, even when the same heartbeat came by datagram first. */
  heard({ member, advertisements }: Heartbeat, via: HeardVia, nowMs: number): void {
    if (via !== 'connection' || !advertisements.some(isWish)) return
    this.#datagramsUnheardBy.set(member.id, nowMs + this.#parts.dropTimeMs)
  }

  /** What a heartbeat advertises apart from our own marks. */
  advertised({ advertisements }: Heartbeat): readonly Advertisement[] {
    return advertisements.some(isWish) ? advertisements.filter(it => !isWish(it)) : advertisements
  }

  /** The member is gone. */
  forget(id: MemberId): void {
    this.#datagramsUnheardBy.delete(id)
    this.#warned.delete(id)
  }

  /** Lets old wishes go. */
  sweep(nowMs: number): void {
    for (const [id, untilMs] of this.#datagramsUnheardBy) if (untilMs <= nowMs) this.#datagramsUnheardBy.delete(id)
  }

  #schedule(): void {
    const { after, frequencyMs, random } = this.#parts
    const tenth = frequencyMs / 10
    after(frequencyMs - tenth + jitter(random, 2 * tenth), () => {
      this.#schedule()
      this.send(false)
    })
  }

  #warn(member: Member): void {
    if (this.#warned.has(member.id)) return
    this.#warned.add(member.id)
    debug('%s is alive but its multicast does not arrive; heartbeats go over the connection', member.name)
  }
}

function isWish({ topic }: Advertisement): boolean {
  return topic === NO_DATAGRAMS
}
