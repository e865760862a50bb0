import type { Endpoint, Random } from '../runtime/runtime.js'
import type { Heartbeat } from '../wire/messages.js'
import { DialBook, endpointKey, jitter } from './dial-book.js'
import { compareMembers, type Member, type MemberId } from './member.js'
import { type MemberEntry, memberEntry } from './member-entry.js'
import type {
  DialOutcome,
  DisappearedReason,
  HeardVia,
  MemberEffect,
  MemberStanding,
  MemberTableCounts,
  MemberTableOptions,
  RememberedMember,
  SuspicionVerdict,
  SuspicionWhy,
} from './member-table-types.js'
import { RememberedMembers } from './remembered-members.js'

/** A suspect is asked again this often, so that one lost answer does not decide. */
const VERIFY_AGAIN_MS = 500
/** Absent members dialled in one round. */
const REDIALS_MAX = 4

/**
 * Who is in the group, as this member sees it. Pure: takes `nowMs` (monotonic) and returns effects through `emit`.
 *
 * Invariants: only a handshake this member dialled makes a member, never a datagram or a third party's word; a life
 * that left or was superseded never returns while it is remembered; every collection is bounded. The order of facts
 * follows SWIM (Das, Gupta, Motivala 2002), verification before death follows JGroups' VERIFY_SUSPECT and Tribes'
 * TcpFailureDetector.
 */
export class MemberTable {
  readonly counts: MemberTableCounts = {
    oldHeartbeats: 0,
    ghostHeartbeats: 0,
    verifications: 0,
    falseSuspicions: 0,
    membersRefused: 0,
  }

  readonly #local: Member
  readonly #random: Random
  readonly #options: MemberTableOptions
  readonly #emit: (effect: MemberEffect) => void
  readonly #entries = new Map<MemberId, MemberEntry>()
  readonly #remembered: RememberedMembers
  readonly #dials: DialBook
  /** Seeds by key, with the id that answered there last. */
  readonly #seeds = new Map<string, { readonly endpoint: Endpoint; answeredBy: MemberId | undefined }>()
  #redialMs: number
  #token = 0
  #sorted: readonly Member[] | undefined

  constructor(
    local: Member,
    random: Random,
    options: MemberTableOptions,
    emit: (effect: MemberEffect) => void,
    nowMs: number,
  ) {
    this.#local = local
    this.#random = random
    this.#options = options
    this.#emit = emit
    this.#remembered = new RememberedMembers(options.rememberedMax, options.forgetMemberAfterMs)
    this.#dials = new DialBook(random, {
      atOnceMax: options.dialsMax,
      entriesMax: options.membersMax,
      backOffMinMs: options.backOffMinMs,
      backOffMaxMs: options.backOffMaxMs,
    })
    this.#redialMs = this.#nextRedialMs(nowMs)
  }

  /** Live members without ourselves, suspects included, ordered by name. */
  get members(): readonly Member[] {
    this.#sorted ??= [...this.#entries.values()].map(entry => entry.member).sort(compareMembers)
    return this.#sorted
  }

  /** Members held for dead and remembered. */
  get absent(): readonly Member[] {
    return this.#remembered.absent
  }

  /** Ids remembered as gone. */
  get rememberedCount(): number {
    return this.#remembered.size
  }

  /** Dials out now. */
  get dialling(): number {
    return this.#dials.active
  }

  get(id: MemberId): Member | undefined {
    return this.#entries.get(id)?.member
  }

  standing(id: MemberId): MemberStanding {
    const entry = this.#entries.get(id)
    if (entry) return entry.deadlineMs === undefined ? 'alive' : 'suspect'
    return this.#remembered.get(id)?.standing ?? 'unknown'
  }

  /** Whether no datagram of a live member came for `dropTime`: multicast is broken between us, or not in use. */
  datagramsMissing(id: MemberId, nowMs: number): boolean {
    const entry = this.#entries.get(id)
    return entry !== undefined && nowMs - entry.datagramMs >= this.#options.dropTimeMs
  }

  /** An address to keep dialling until a live member answers there. The first dial is immediate. */
  addSeed(endpoint: Endpoint, nowMs: number): void {
    if (this.#seeds.size >= this.#options.membersMax || this.#isLocal(endpoint)) return
    this.#seeds.set(endpointKey(endpoint), { endpoint, answeredBy: undefined })
    this.#dials.want(endpoint, undefined, nowMs)
    this.#dial(nowMs)
  }

  /** A heartbeat came. True when it is a live member's newest: its contents count. */
  heard(heartbeat: Heartbeat, via: HeardVia, nowMs: number): boolean {
    const { member, incarnation, count } = heartbeat
    if (member.id === this.#local.id) return false
    const entry = this.#entries.get(member.id)
    const known = entry ?? this.#remembered.get(member.id)
    if (known && (incarnation < known.incarnation || count <= known.count)) {
      if (entry && via === 'datagram' && count === entry.count) entry.datagramMs = nowMs
      else this.counts.oldHeartbeats++
      return false
    }
    if (heartbeat.leaving) {
      // Whoever can send a datagram can forge or repeat this one; a connection has shaken hands.
      if (via === 'connection') this.goodbye(member, nowMs)
      else if (entry) this.#saidToLeave(entry, nowMs)
      return false
    }
    if (!entry) {
      this.hint(member, nowMs)
      return false
    }
    entry.incarnation = incarnation
    entry.count = count
    if (via === 'datagram') entry.datagramMs = nowMs
    this.#alive(entry, nowMs)
    return true
  }

  /** Somebody says this life exists, or the life itself dialled us: at most a reason to dial. */
  hint(member: Member, nowMs: number): void {
    if (member.id === this.#local.id || this.#isLocal(member) || this.#entries.has(member.id)) return
    const life = this.#remembered.get(member.id)
    if (life && life.standing !== 'absent') {
      this.counts.ghostHeartbeats++
      return
    }
    this.#dials.want(member, member.id, nowMs)
    // Its old life, if any, moved to another address or is gone: either way it is worth a look now.
    for (const other of this.#entries.values()) {
      if (other.member.name === member.name) this.#verify(other, 'ended', nowMs)
    }
    this.#dial(nowMs)
  }

  /** A sign of life other than a heartbeat, for instance a hello or an echo reply. */
  seen(id: MemberId, nowMs: number): void {
    const entry = this.#entries.get(id)
    if (entry) this.#alive(entry, nowMs)
  }

  /** A dial is over. True when the life that answered is a member now. */
  dialled(endpoint: Endpoint, outcome: DialOutcome, nowMs: number): boolean {
    const seed = this.#seeds.get(endpointKey(endpoint))
    const self = outcome.kind === 'refused' && outcome.self
    this.#dials.finished(endpoint, outcome.kind === 'welcome' || self, nowMs)
    if (self && seed) this.#seeds.delete(endpointKey(endpoint))
    let accepted = false
    if (outcome.kind === 'welcome' && outcome.member.id !== this.#local.id) {
      if (seed) seed.answeredBy = outcome.member.id
      accepted = this.#welcomed(endpoint, outcome.member, outcome.incarnation, nowMs)
    }
    this.#dial(nowMs)
    return accepted
  }

  /** The answer to a `verify` effect. Answers to verifications that were called off are ignored. */
  verified(id: MemberId, token: number, verdict: SuspicionVerdict, nowMs: number): void {
    const entry = this.#entries.get(id)
    if (!entry || entry.token !== token) return
    const { why, excused } = entry
    entry.token = 0
    if (verdict === 'alive') this.#alive(entry, nowMs)
    else if (verdict === 'refused') this.#remove(entry, why === 'leaving' ? 'left' : 'dead', nowMs, 'absent')
    else if (excused && why === 'ended') this.#verify(entry, why, nowMs)
    else if (!excused && why !== 'leaving') {
      const { suspicionMs, hungGraceMs } = this.#options
      const deadlineMs = verdict === 'hung' ? entry.heardMs + hungGraceMs : nowMs + suspicionMs
      // The first silent answer starts the time, the next do not prolong it; a hung process gets its grace.
      if (entry.deadlineMs === undefined || verdict === 'hung') entry.deadlineMs = Math.max(nowMs, deadlineMs)
    }
  }

  /** A connection with the member ended without a goodbye: verified at once. */
  connectionEnded(id: MemberId, nowMs: number): void {
    const entry = this.#entries.get(id)
    if (entry) this.#verify(entry, 'ended', nowMs)
  }

  /** The member says it leaves; final. */
  goodbye(member: Member, nowMs: number): void {
    const entry = this.#entries.get(member.id)
    if (entry) this.#remove(entry, 'left', nowMs)
    else if (member.id !== this.#local.id) this.#remember(member, 'left', 0, 0, nowMs)
  }

  /** We were asleep: the silence was ours. Everybody gets a full `dropTime` again, and the silence of those asked counts for nothing. */
  forgive(nowMs: number): void {
    for (const entry of this.#entries.values()) {
      entry.heardMs = nowMs
      entry.datagramMs = nowMs
      entry.excused = true
      if (entry.deadlineMs !== undefined) this.#alive(entry, nowMs)
    }
  }

  /** To be called several times per `dropTime`. */
  tick(nowMs: number): void {
    for (const entry of [...this.#entries.values()]) {
      if (entry.deadlineMs !== undefined && nowMs >= entry.deadlineMs) this.#remove(entry, 'dead', nowMs)
      else if (entry.deadlineMs !== undefined) {
        if (nowMs - entry.verifiedMs >= VERIFY_AGAIN_MS) this.#verify(entry, 'silence', nowMs)
      } else if (nowMs - entry.heardMs >= this.#options.dropTimeMs) this.#verify(entry, 'silence', nowMs)
    }
    this.#remembered.sweep(nowMs)
    this.#dials.sweep(nowMs)
    if (nowMs >= this.#redialMs) {
      this.#redialMs = this.#nextRedialMs(nowMs)
      for (const member of this.#remembered.rotate(REDIALS_MAX)) this.#dials.want(member, undefined, nowMs)
      for (const seed of this.#seeds.values()) {
        if (seed.answeredBy === undefined || !this.#entries.has(seed.answeredBy))
          this.#dials.want(seed.endpoint, undefined, nowMs)
      }
    }
    this.#dial(nowMs)
  }

  #welcomed(endpoint: Endpoint, member: Member, incarnation: number, nowMs: number): boolean {
    const life = this.#remembered.get(member.id)
    if (life && life.standing !== 'absent') {
      this.counts.membersRefused++
      return false
    }
    // One address, one life: whoever answers there is it. Start times never decide this.
    for (const other of [...this.#entries.values()]) {
      if (other.member.id === member.id) continue
      if (sameEndpoint(other.member, member) || sameEndpoint(other.member, endpoint))
        this.#remove(other, 'superseded', nowMs)
    }
    this.#remembered.supersede(member.host, member.port, member.id)
    this.#remembered.supersede(endpoint.host, endpoint.port, member.id)
    const entry = this.#entries.get(member.id)
    if (entry) {
      entry.incarnation = Math.max(entry.incarnation, incarnation)
      this.#alive(entry, nowMs)
      return true
    }
    if (this.#entries.size >= this.#options.membersMax) {
      this.counts.membersRefused++
      return false
    }
    this.#remembered.remove(member.id)
    const resumed = Math.max(incarnation, life?.incarnation ?? 0)
    this.#entries.set(member.id, memberEntry(member, resumed, life?.count ?? 0, nowMs))
    this.#sorted = undefined
    this.#emit({ kind: 'added', member })
    return true
  }

  #alive(entry: MemberEntry, nowMs: number): void {
    entry.heardMs = nowMs
    if (entry.deadlineMs === undefined) return
    entry.deadlineMs = undefined
    this.counts.falseSuspicions++
  }

  #verify(entry: MemberEntry, why: SuspicionWhy, nowMs: number): void {
    // The end of a connection does not wait for the answer to a milder question.
    if (entry.token !== 0 && (why !== 'ended' || entry.why === 'ended')) return
    entry.token = ++this.#token
    entry.verifiedMs = nowMs
    entry.why = why
    entry.excused = false
    this.counts.verifications++
    this.#emit({ kind: 'verify', member: entry.member, why, token: entry.token })
  }

  /** Asks at once, but not as often as such datagrams may come. A goodbye need not wait for the answer. */
  #saidToLeave(entry: MemberEntry, nowMs: number): void {
    if (nowMs - entry.leavingMs < VERIFY_AGAIN_MS) return
    entry.leavingMs = nowMs
    this.#verify(entry, 'leaving', nowMs)
  }

  #remove(
    entry: MemberEntry,
    reason: DisappearedReason,
    nowMs: number,
    standing: RememberedMember['standing'] = reason === 'dead' ? 'absent' : reason,
  ): void {
    this.#entries.delete(entry.member.id)
    this.#sorted = undefined
    this.#remember(entry.member, standing, entry.incarnation, entry.count, nowMs)
    this.#emit({ kind: 'disappeared', member: entry.member, reason })
  }

  #remember(
    member: Member,
    standing: RememberedMember['standing'],
    incarnation: number,
    count: number,
    sinceMs: number,
  ): void {
    this.#remembered.put({ member, standing, incarnation, count, sinceMs })
  }

  #dial(nowMs: number): void {
    for (let endpoint = this.#dials.take(nowMs); endpoint; endpoint = this.#dials.take(nowMs)) {
      this.#emit({ kind: 'dial', endpoint })
    }
  }

  #isLocal(endpoint: Endpoint): boolean {
    return sameEndpoint(this.#local, endpoint)
  }

  #nextRedialMs(nowMs: number): number {
    const { redialMinMs, redialMaxMs } = this.#options
    return nowMs + redialMinMs + jitter(this.#random, redialMaxMs - redialMinMs)
  }
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.host === b.host && a.port === b.port
}
