import type { MemberId } from '../membership/member.js'
import { DueWheel } from './due-wheel.js'
import type { CheckEntry, TouchEntry } from './messages.js'
import type { Peer, Peers } from './peers.js'
import type { ReplicaRecord } from './record.js'
import type { Glance } from './record-table.js'
import type { RecordKey } from './replica-contract.js'
import type { ReplicaState } from './replica-state.js'
import { type AccessStamp, compareAccess } from './stamp.js'
import { maxInactiveMs, type Touches } from './touches.js'

const SLOT_MS = 100
const DUE_MAX = 500
const ROUND_MAX = 1_000
const ROUNDS_MAX = 8
const RETRY_MS = 1_000
/** How many members before it a member waits for at most. */
const TURNS_MAX = 4

interface Round {
  readonly limits: ReadonlyMap<RecordKey, AccessStamp>
  readonly waiting: Set<MemberId>
  readonly startedAtMs: number
  sentAtMs: number
}

/**
 * Ends records nobody used for longer than they allow. The last user's member proposes, or the first by name when that
 * one is gone; all who are present are asked, save those who would long have told that they hold the scope, and only when
 * all have answered or left is the expiry issued. After a stall of the process nothing is expired before it has heard
 * from a peer.
 */
export class Expiry {
  readonly #state: ReplicaState
  readonly #peers: Peers
  readonly #touches: Touches
  readonly #expire: (key: RecordKey, limit: AccessStamp) => void
  readonly #wheel: DueWheel
  #rounds = new Map<number, Round>()
  #nextRound = 1
  #fencedAtMs: number | undefined
  #askedAtMs = 0

  constructor(
    state: ReplicaState,
    peers: Peers,
    touches: Touches,
    expire: (key: RecordKey, limit: AccessStamp) => void,
  ) {
    this.#state = state
    this.#peers = peers
    this.#touches = touches
    this.#expire = expire
    const { records } = state
    this.#wheel = new DueWheel(
      SLOT_MS,
      key => records.glance(key),
      () => records.size,
    )
  }

  get fenced(): boolean {
    return this.#fencedAtMs !== undefined
  }

  get rounds(): number {
    return this.#rounds.size
  }

  /** A record is new or its limit changed. */
  file(key: RecordKey, record: Glance | undefined = this.#state.glance(key)): void {
    if (record === undefined) return
    const limit = maxInactiveMs(record)
    if (limit === undefined) record.dueSlot = 0
    else this.#wheel.file(key, record, record.usedAtMs + limit + this.#touches.slackMs(limit))
  }

  /** A record is out of sight, or gone. */
  removed(key: RecordKey): void {
    const record = this.#state.records.glance(key)
    if (record !== undefined) record.dueSlot = 0
  }

  /** The process stood still: others may have moved on. */
  stalled(): void {
    this.#fencedAtMs = this.#state.now()
    this.#askedAtMs = -Infinity
    for (const [id, round] of this.#rounds) this.#drop(id, round)
  }

  /** A digest came in. */
  heard(): void {
    this.#fencedAtMs = undefined
  }

  tick(): void {
    const now = this.#state.now()
    if (this.#fencedAtMs !== undefined && !this.#mayGoOn(now, this.#fencedAtMs)) return
    if (!this.#state.ready) return
    this.#repeat(now)
    const entries: CheckEntry[] = []
    const ready = this.#peers.ready()
    for (const key of this.#wheel.take(now, DUE_MAX)) {
      const record = this.#state.records.peek(key)
      const limit = record === undefined ? undefined : maxInactiveMs(record)
      if (record === undefined || limit === undefined) continue
      const dueMs = record.usedAtMs + limit + this.#touches.slackMs(limit)
      if (now < dueMs) this.#fileAt(key, dueMs)
      else if (this.#mayExpire(record, ready, now, dueMs)) entries.push({ key, access: record.access })
      else this.#fileAt(key, now + RETRY_MS)
    }
    for (let i = 0; i < entries.length; i += ROUND_MAX) this.#ask(entries.slice(i, i + ROUND_MAX), now)
  }

  /** Another member means to expire these: name the ones used later, which is consent for the rest. */
  check(round: number, entries: readonly CheckEntry[], from: MemberId): void {
    if (this.fenced) return
    const later: TouchEntry[] = []
    for (const { key, access } of entries) {
      const known = this.#state.records.peek(key)
      const record = known !== undefined && this.#isMisjudged(known, access) ? this.#restamped(key, access) : known
      if (record !== undefined && compareAccess(record.access, access) > 0) later.push(this.#touches.entry(record))
    }
    this.#state.env.send([from], { kind: 'checked', round, later })
  }

  /**
   * Whether a record was used here too lately to expire, though no later by its stamp than the use that is judged: the
   * clock of whoever made that one is ahead, or it was used there while both were apart.
   */
  #isMisjudged(record: ReplicaRecord, judged: AccessStamp): boolean {
    const limit = maxInactiveMs(record)
    const isRecent = limit !== undefined && this.#state.now() - record.usedAtMs < limit
    return isRecent && compareAccess(record.access, judged) <= 0
  }

  /** The same use under a stamp above another. */
  #restamped(key: RecordKey, above: AccessStamp): ReplicaRecord | undefined {
    const { clock, env } = this.#state
    const record = this.#state.visible(key)
    if (record === undefined || clock.isAhead(above, env.clusterTime())) return record
    clock.observe(above)
    record.access = clock.access(env.clusterTime(), env.id)
    return record
  }

  checked(id: number, later: readonly TouchEntry[], from: MemberId): void {
    const round = this.#rounds.get(id)
    this.#touches.received(later)
    if (round === undefined || !round.waiting.delete(from)) return
    if (round.waiting.size === 0) this.#fire(id, round)
  }

  memberDisappeared(member: MemberId): void {
    for (const [id, round] of this.#rounds) {
      if (round.waiting.delete(member) && round.waiting.size === 0) this.#fire(id, round)
    }
  }

  #mayGoOn(now: number, sinceMs: number): boolean {
    const present = this.#peers.present()
    if (present.length === 0) {
      if (now - sinceMs >= this.#state.options.aloneAfterStallMs) this.#fencedAtMs = undefined
    } else if (now - this.#askedAtMs >= this.#state.options.checkTimeoutMs) {
      this.#askedAtMs = now
      this.#state.env.send(
        present.map(peer => peer.id),
        { kind: 'askDigest' },
      )
    }
    return this.#fencedAtMs === undefined
  }

  #mayExpire(record: ReplicaRecord, ready: readonly Peer[], now: number, dueMs: number): boolean {
    const { env: self, origin } = this.#state
    const user = record.access.origin
    if (user === self.id || user === origin) return true
    const rank = ready.filter(peer => peer.name < (self.name ?? self.id)).length
    // The last user's member may know better, or think it was another that is gone: it goes first, not alone.
    const turn = this.#peers.writer(user)?.ready === true ? rank + 1 : rank
    return now >= dueMs + Math.min(turn, TURNS_MAX) * this.#state.options.expiryTurnMs
  }

  #ask(entries: readonly CheckEntry[], now: number): void {
    if (this.#rounds.size >= ROUNDS_MAX) {
      for (const { key } of entries) this.#fileAt(key, now + RETRY_MS)
      return
    }
    const asked = this.#state.options.rules.checkBeforeExpire ? this.#peers.holders(now).map(peer => peer.id) : []
    const id = this.#nextRound++
    const limits = new Map(entries.map(({ key, access }) => [key, access]))
    const round: Round = { limits, waiting: new Set(asked), startedAtMs: now, sentAtMs: now }
    this.#state.counters.checks++
    if (asked.length === 0) {
      this.#fire(id, round)
      return
    }
    this.#rounds.set(id, round)
    this.#state.env.send(asked, { kind: 'check', round: id, entries })
  }

  #repeat(now: number): void {
    const { checkTimeoutMs } = this.#state.options
    for (const [id, round] of this.#rounds) {
      if (now - round.startedAtMs > 4 * checkTimeoutMs) this.#drop(id, round)
      else if (now - round.sentAtMs >= checkTimeoutMs) {
        round.sentAtMs = now
        const entries = [...round.limits].map(([key, access]) => ({ key, access }))
        this.#state.env.send([...round.waiting], { kind: 'check', round: id, entries })
      }
    }
  }

  #fire(id: number, round: Round): void {
    this.#rounds.delete(id)
    if (this.fenced) {
      this.#drop(id, round)
      return
    }
    for (const [key, limit] of round.limits) {
      const record = this.#state.visible(key)
      if (record === undefined) continue
      if (compareAccess(record.access, limit) > 0) this.file(key)
      else this.#expire(key, limit)
    }
  }

  #drop(id: number, round: Round): void {
    this.#rounds.delete(id)
    const at = this.#state.now() + RETRY_MS
    for (const key of round.limits.keys()) this.#fileAt(key, at)
  }

  #fileAt(key: RecordKey, atMs: number): void {
    const record = this.#state.glance(key)
    if (record !== undefined) this.#wheel.file(key, record, atMs)
  }
}
