import debugging from 'debug'
import type { Member } from '../membership/member.js'
import type { MemberTable } from '../membership/member-table.js'
import { memberTableDefaults } from '../membership/member-table-types.js'
import type { Clock, Endpoint } from '../runtime/runtime.js'
import type { DialResult } from '../transport/types.js'
import type { ConnectionPurpose, Hello, Welcome } from '../wire/messages.js'
import type { ClockReader } from './clock-reader.js'
import { type HandshakeContext, helloOf, judgeHello, type Refusal } from './handshake.js'
import type { TransportPort } from './transport-port.js'

/** What handshakes are made with. */
export interface IntroductionParts {
  readonly clock: Clock
  readonly clocks: ClockReader
  readonly transport: Pick<TransportPort, 'dial' | 'ask'>
  readonly group: string
  local(): Member
  /** None before the start. */
  table(): MemberTable | undefined
  running(): boolean
  /** The time; notices first whether we were asleep. */
  awake(): number
}

/** A member whose view differs is asked whom it knows, with growing gaps while the views stay different. */
const ASK_GAP_MIN_MS = 250
const ASK_GAP_MAX_MS = 30_000

const debug = debugging('tribeline:membership')

/** The handshakes, both ways: who is let in, who lets us in, and whom they know. */
export class Introductions {
  readonly counts: {
    hellosRefused: Record<string, number>
    dialsFailed: number
    dialsRefused: Record<string, number>
  } = { hellosRefused: {}, dialsFailed: 0, dialsRefused: {} }
  /** Which time we say that we are here; grows when others held us for dead (SWIM). */
  incarnation = 0

  readonly #parts: IntroductionParts
  #askedMs = Number.NEGATIVE_INFINITY
  #askGapMs = ASK_GAP_MIN_MS

  constructor(parts: IntroductionParts) {
    this.#parts = parts
  }

  /** Dials and shakes hands; tells the table what came of it. */
  dial(endpoint: Endpoint): void {
    const { clock, transport } = this.#parts
    const sentMs = clock.monotonic()
    transport.dial(endpoint, result => {
      const table = this.#parts.table()
      if (this.#parts.running() && table) this.#dialled(table, endpoint, sentMs, result)
    })
  }

  /** The view has changed: differences that remain are worth a question soon. */
  viewChanged(): void {
    this.#askGapMs = ASK_GAP_MIN_MS
  }

  /** Two newcomers that joined by the same member at the same moment learn of each other here. */
  ask(member: Member, nowMs: number): void {
    if (nowMs - this.#askedMs < this.#askGapMs) return
    this.#askedMs = nowMs
    this.#askGapMs = Math.min(ASK_GAP_MAX_MS, this.#askGapMs * 2)
    this.#parts.transport.ask(member, result => {
      if (!this.#parts.running() || result.kind !== 'welcome') return
      for (const hint of result.welcome.known) this.#parts.table()?.hint(hint.member, this.#parts.clock.monotonic())
    })
  }

  /** Our first words on a connection; only once started. */
  hello(purpose: ConnectionPurpose): Hello {
    return helloOf(this.#context(this.#parts.table() as MemberTable), purpose, this.#parts.clock.monotonic())
  }

  /** Judges a dialler. */
  greeted(hello: Hello): Welcome | Refusal {
    const nowMs = this.#parts.clock.monotonic()
    const table = this.#parts.table()
    if (!table) return { kind: 'refused', reason: 'stopping', detail: 'not started yet' }
    const answer = judgeHello(this.#context(table), hello, nowMs)
    if (answer.kind === 'refused') {
      tally(this.counts.hellosRefused, answer.reason)
      if (answer.reason === 'clock') {
        this.#parts.clocks.diverges(hello.member, hello.clusterTime, hello.clockSettled, nowMs)
      }
    } else {
      table.seen(hello.member.id, nowMs)
      if (hello.purpose !== 'probe') table.hint(hello.member, nowMs)
    }
    return answer
  }

  #dialled(table: MemberTable, endpoint: Endpoint, sentMs: number, result: DialResult): void {
    const { clocks } = this.#parts
    const nowMs = this.#parts.awake()
    if (result.kind === 'failed') {
      this.counts.dialsFailed++
      debug('%s:%d cannot be reached: %s', endpoint.host, endpoint.port, result.end)
      table.dialled(endpoint, { kind: 'failed' }, nowMs)
      return
    }
    if (result.kind === 'refused') {
      tally(this.counts.dialsRefused, result.reason)
      debug('%s:%d refused us: %s (%s)', endpoint.host, endpoint.port, result.reason, result.detail)
      table.dialled(endpoint, { kind: 'refused', self: result.reason === 'self' }, nowMs)
      return
    }
    const { member, incarnation, clusterTime, clockSettled, known } = result.welcome
    const { id: localId } = this.#parts.local()
    if (member.id === localId || clocks.diverges(member, clusterTime, clockSettled, nowMs)) {
      table.dialled(endpoint, { kind: 'refused', self: member.id === localId }, nowMs)
      return
    }
    clocks.welcomed(result.welcome, sentMs, nowMs)
    // Held for dead over there: a new incarnation says that we are back.
    if (known.some(({ member: { id }, absent }) => absent && id === localId)) this.incarnation++
    if (!table.dialled(endpoint, { kind: 'welcome', member, incarnation }, nowMs)) return
    clocks.readOften(member, clockSettled)
    for (const hint of known) table.hint(hint.member, nowMs)
  }

  #context(table: MemberTable): HandshakeContext {
    return {
      group: this.#parts.group,
      local: this.#parts.local(),
      incarnation: this.incarnation,
      stopping: !this.#parts.running(),
      table,
      clock: this.#parts.clocks.clusterClock,
      membersMax: memberTableDefaults.membersMax,
    }
  }
}

function tally(counts: Record<string, number>, reason: string): void {
  counts[reason] = (counts[reason] ?? 0) + 1
}
