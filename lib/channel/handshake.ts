import type { ClusterClock } from '../membership/cluster-clock.js'
import type { Member } from '../membership/member.js'
import type { MemberTable } from '../membership/member-table.js'
import { PROTOCOL_VERSIONS } from '../wire/codec.js'
import type { ConnectionPurpose, Hello, RefusalReason, Welcome } from '../wire/messages.js'

/** Names a welcome carries at most; the rest is heard of from others. */
const KNOWN_MAX = 256

/** A dialler turned away. */
export interface Refusal {
  readonly kind: 'refused'
  readonly reason: RefusalReason
  readonly detail: string
}

/** What a handshake is judged by. */
export interface HandshakeContext {
  readonly group: string
  readonly local: Member
  readonly incarnation: number
  readonly stopping: boolean
  readonly table: MemberTable
  readonly clock: ClusterClock
  readonly membersMax: number
}

/** Our first words on a connection. */
export function helloOf(context: HandshakeContext, purpose: ConnectionPurpose, nowMs: number): Hello {
  return {
    kind: 'hello',
    protocolMin: PROTOCOL_VERSIONS.min,
    protocolMax: PROTOCOL_VERSIONS.max,
    group: context.group,
    purpose,
    member: context.local,
    incarnation: context.incarnation,
    clusterTime: context.clock.time(nowMs),
    clockSettled: context.clock.settled,
  }
}

/** Whether a dialler may speak to us; pure. */
export function judgeHello(context: HandshakeContext, hello: Hello, nowMs: number): Welcome | Refusal {
  const { table, clock, local } = context
  if (context.stopping) return refusal('stopping', 'leaving the group')
  if (hello.group !== context.group) return refusal('group', 'another group')
  if (hello.protocolMin > PROTOCOL_VERSIONS.max || hello.protocolMax < PROTOCOL_VERSIONS.min) {
    return refusal('protocol', `speaking ${PROTOCOL_VERSIONS.min} to ${PROTOCOL_VERSIONS.max}`)
  }
  if (hello.member.id === local.id) return refusal('self', 'the caller itself')
  const standing = table.standing(hello.member.id)
  if (standing === 'left' || standing === 'superseded')
    return refusal('superseded', `this life ${standing === 'left' ? 'left' : 'was superseded'}`)
  if (clock.diverges(hello.clusterTime, hello.clockSettled, nowMs)) {
    return refusal('clock', `clocks differ by ${Math.abs(Math.round(clock.aheadMs(hello.clusterTime, nowMs)))} ms`)
  }
  if (standing !== 'alive' && standing !== 'suspect' && table.members.length >= context.membersMax) {
    return refusal('limit', `${context.membersMax} members`)
  }
  const live = table.members.map(member => ({ member, absent: false }))
  const absent = table.absent.map(member => ({ member, absent: true }))
  // The caller must learn that it was held for dead, whatever else is cut off.
  absent.sort((a, b) => Number(b.member.id === hello.member.id) - Number(a.member.id === hello.member.id))
  return {
    kind: 'welcome',
    protocol: Math.min(PROTOCOL_VERSIONS.max, hello.protocolMax),
    member: local,
    incarnation: context.incarnation,
    clusterTime: clock.time(nowMs),
    clockSettled: clock.settled,
    known: [...absent.slice(0, 1), ...live, ...absent.slice(1)].slice(0, KNOWN_MAX),
  }
}

function refusal(reason: RefusalReason, detail: string): Refusal {
  return { kind: 'refused', reason, detail }
}
