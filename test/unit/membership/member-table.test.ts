import test from 'ava'
import fc from 'fast-check'
import type { Member } from '../../../lib/membership/member.js'
import { MemberTable } from '../../../lib/membership/member-table.js'
import {
  type MemberEffect,
  type MemberTableOptions,
  memberTableDefaults,
} from '../../../lib/membership/member-table-types.js'
import type { Random } from '../../../lib/runtime/runtime.js'
import type { Heartbeat } from '../../../lib/wire/messages.js'

function seededRandom(seed = 1): Random {
  let state = seed >>> 0
  const uint32 = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state
  }
  return { uint32, bytes: length => Uint8Array.from({ length }, () => uint32() >>> 24) }
}

function member(n: number, port = 4_000 + n, name = `node${n}`): Member {
  return { id: n.toString(16).padStart(32, '0'), name, host: '10.0.0.1', port }
}

function beat(from: Member, count: number, more: Partial<Heartbeat> = {}): Heartbeat {
  return {
    group: 'g',
    member: from,
    incarnation: 0,
    count,
    view: '0'.repeat(16),
    leaving: false,
    clusterTime: 0,
    advertisements: [],
    ...more,
  }
}

const local = member(99)

function table(options: Partial<MemberTableOptions> = {}): { table: MemberTable; take: () => MemberEffect[] } {
  const effects: MemberEffect[] = []
  const created = new MemberTable(
    local,
    seededRandom(),
    { ...memberTableDefaults, ...options },
    e => effects.push(e),
    0,
  )
  return { table: created, take: () => effects.splice(0) }
}

function join(t: MemberTable, who: Member, nowMs = 0): boolean {
  return t.dialled(who, { kind: 'welcome', member: who, incarnation: 0 }, nowMs)
}

test('a heartbeat makes nobody a member: it leads to a dial, and the answer to the dial makes the member', t => {
  const { table: it, take } = table()
  const a = member(1)
  t.false(it.heard(beat(a, 1), 'datagram', 0))
  t.deepEqual(take(), [{ kind: 'dial', endpoint: a }])
  t.deepEqual(it.members, [])
  t.true(join(it, a, 5))
  t.deepEqual(take(), [{ kind: 'added', member: a }])
  t.deepEqual(it.members, [a])
  t.true(it.heard(beat(a, 2), 'datagram', 6))
})

test('own heartbeats and hints to the own address are ignored', t => {
  const { table: it, take } = table()
  it.heard(beat(local, 1), 'datagram', 0)
  it.hint({ ...member(1), host: local.host, port: local.port }, 0)
  t.deepEqual(take(), [])
})

test('at most four dials are out, and none twice', t => {
  const { table: it, take } = table()
  for (let n = 1; n <= 9; n++) for (let again = 1; again <= 3; again++) it.heard(beat(member(n), again), 'datagram', 0)
  t.is(take().length, 4)
  t.is(it.dialling, 4)
  it.dialled(member(1), { kind: 'failed' }, 1)
  t.deepEqual(take(), [{ kind: 'dial', endpoint: member(5) }])
})

test('an address that fails is dialled again after a growing wait of 1 to 30 s, when asked for', t => {
  const { table: it, take } = table()
  const a = member(1)
  let nowMs = 0
  let dialledMs = -1
  const waits: number[] = []
  for (let count = 1; count <= 900; count++) {
    it.heard(beat(a, count), 'datagram', nowMs)
    it.tick(nowMs)
    if (take().some(effect => effect.kind === 'dial')) {
      if (dialledMs >= 0) waits.push(nowMs - dialledMs)
      dialledMs = nowMs
      it.dialled(a, { kind: 'failed' }, nowMs)
    }
    nowMs += 200
  }
  t.true(waits.length > 5)
  t.true(waits.every(wait => wait >= 1_000 && wait <= 30_200))
  t.true((waits.at(-1) ?? 0) > (waits[0] ?? 0))
})

test('a new life at an address does not wait for the back-off of the old one', t => {
  const { table: it, take } = table()
  const old = member(1)
  it.heard(beat(old, 1), 'datagram', 0)
  it.dialled(old, { kind: 'failed' }, 0)
  take()
  it.heard(beat(member(2, old.port, old.name), 1), 'datagram', 50)
  it.tick(150)
  t.deepEqual(
    take().map(effect => effect.kind),
    ['dial'],
  )
})

test('old and repeated heartbeats count for nothing', t => {
  const { table: it } = table()
  const a = member(1)
  join(it, a)
  t.true(it.heard(beat(a, 5), 'datagram', 1))
  t.false(it.heard(beat(a, 5), 'connection', 2))
  t.false(it.heard(beat(a, 4), 'datagram', 3))
  t.true(it.heard(beat(a, 6, { incarnation: 2 }), 'datagram', 4))
  t.false(it.heard(beat(a, 7, { incarnation: 1 }), 'datagram', 5))
  t.is(it.counts.oldHeartbeats, 3)
})

test('silence is verified; without an answer the member is suspect, then dead, then absent', t => {
  const { table: it, take } = table()
  const a = member(1)
  join(it, a)
  take()
  it.tick(2_999)
  t.deepEqual(take(), [])
  it.tick(3_000)
  const [verify] = take()
  t.deepEqual(verify, { kind: 'verify', member: a, why: 'silence', token: 1 })
  it.verified(a.id, 1, 'silent', 4_000)
  t.is(it.standing(a.id), 'suspect')
  t.deepEqual(it.members, [a])
  it.tick(5_499)
  take()
  it.tick(5_500)
  t.deepEqual(take(), [{ kind: 'disappeared', member: a, reason: 'dead' }])
  t.is(it.standing(a.id), 'absent')
  t.deepEqual(it.absent, [a])
})

test('an answer, or any sign of life, clears a suspicion', t => {
  for (const sign of ['verified', 'seen', 'heard'] as const) {
    const { table: it } = table()
    const a = member(1)
    join(it, a)
    it.tick(3_000)
    it.verified(a.id, 1, 'silent', 4_000)
    it.tick(4_500)
    if (sign === 'verified') it.verified(a.id, 2, 'alive', 4_600)
    if (sign === 'seen') it.seen(a.id, 4_600)
    if (sign === 'heard') it.heard(beat(a, 1), 'datagram', 4_600)
    it.tick(6_000)
    t.is(it.standing(a.id), 'alive', sign)
    t.is(it.counts.falseSuspicions, 1)
  }
})

test('a connection that ended is verified at once; a refused dial means dead now', t => {
  const { table: it, take } = table()
  const a = member(1)
  join(it, a)
  take()
  it.connectionEnded(a.id, 10)
  it.connectionEnded(a.id, 11)
  t.deepEqual(take(), [{ kind: 'verify', member: a, why: 'ended', token: 1 }])
  it.verified(a.id, 1, 'refused', 12)
  t.deepEqual(take(), [{ kind: 'disappeared', member: a, reason: 'dead' }])
})

test('a hung process gets its grace from the last sign of life', t => {
  const { table: it, take } = table()
  const a = member(1)
  join(it, a)
  it.tick(3_000)
  it.verified(a.id, 1, 'hung', 4_000)
  it.tick(9_999)
  t.is(it.standing(a.id), 'suspect')
  take()
  it.tick(10_000)
  t.deepEqual(take(), [{ kind: 'disappeared', member: a, reason: 'dead' }])
})

test('verdicts of verifications that were called off are ignored, and a stall of our own is forgiven', t => {
  const { table: it, take } = table()
  const a = member(1)
  join(it, a)
  it.tick(3_000)
  it.forgive(60_000)
  it.verified(a.id, 1, 'silent', 60_001)
  t.is(it.standing(a.id), 'alive')
  take()
  it.tick(62_999)
  t.deepEqual(take(), [])
  it.tick(63_000)
  t.is(take()[0]?.kind, 'verify')
})

test('a dead member returns only by a handshake; its heartbeat leads to a dial', t => {
  const { table: it, take } = table()
  const a = member(1)
  join(it, a)
  it.connectionEnded(a.id, 1)
  it.verified(a.id, 1, 'refused', 2)
  take()
  t.false(it.heard(beat(a, 9), 'datagram', 3))
  t.deepEqual(take(), [{ kind: 'dial', endpoint: a }])
  t.is(it.standing(a.id), 'absent')
  t.true(join(it, a, 4))
  t.is(it.standing(a.id), 'alive')
})

test('a goodbye is final', t => {
  const { table: it, take } = table()
  const a = member(1)
  join(it, a)
  take()
  it.goodbye(a, 1)
  t.deepEqual(take(), [{ kind: 'disappeared', member: a, reason: 'left' }])
  it.heard(beat(a, 9), 'datagram', 2)
  it.hint(a, 3)
  t.deepEqual(take(), [])
  t.false(join(it, a, 4))
  t.is(it.standing(a.id), 'left')
})

test('a leaving heartbeat over a connection is a goodbye', t => {
  const { table: it, take } = table()
  const a = member(1)
  join(it, a)
  take()
  it.heard(beat(a, 2, { leaving: true }), 'connection', 1)
  t.deepEqual(take(), [{ kind: 'disappeared', member: a, reason: 'left' }])
  t.is(it.standing(a.id), 'left')
})

test('a datagram that says a member leaves has it asked at once; one that answers stays', t => {
  const { table: it, take } = table()
  const a = member(1)
  join(it, a)
  take()
  it.heard(beat(a, 1_000, { leaving: true }), 'datagram', 1)
  t.deepEqual(take(), [{ kind: 'verify', member: a, why: 'leaving', token: 1 }])
  it.verified(a.id, 1, 'alive', 5)
  t.is(it.standing(a.id), 'alive')
  t.true(it.heard(beat(a, 1), 'datagram', 6))
  for (let nowMs = 7; nowMs < 500; nowMs += 7) it.heard(beat(a, 1_000, { leaving: true }), 'datagram', nowMs)
  t.deepEqual(take(), [])
  it.heard(beat(a, 1_000, { leaving: true }), 'datagram', 501)
  t.deepEqual(take(), [{ kind: 'verify', member: a, why: 'leaving', token: 2 }])
  it.verified(a.id, 2, 'silent', 1_501)
  t.is(it.standing(a.id), 'alive')
})

test('a member that says so by datagram and refuses us has left, and may still return by a handshake', t => {
  const { table: it, take } = table()
  const a = member(1)
  join(it, a)
  it.heard(beat(a, 2, { leaving: true }), 'datagram', 1)
  take()
  it.verified(a.id, 1, 'refused', 5)
  t.deepEqual(take(), [{ kind: 'disappeared', member: a, reason: 'left' }])
  t.is(it.standing(a.id), 'absent')
  t.true(join(it, a, 6))
  it.heard(beat(a, 3, { leaving: true }), 'datagram', 10)
  it.verified(a.id, 2, 'refused', 11)
  it.goodbye(a, 12)
  t.is(it.standing(a.id), 'left')
  t.false(join(it, a, 13))
})

test('a goodbye does not wait for the verification a datagram began', t => {
  const { table: it, take } = table()
  const a = member(1)
  join(it, a)
  it.heard(beat(a, 2, { leaving: true }), 'datagram', 1)
  take()
  it.goodbye(a, 2)
  t.deepEqual(take(), [{ kind: 'disappeared', member: a, reason: 'left' }])
  it.verified(a.id, 1, 'alive', 3)
  t.deepEqual(take(), [])
  t.is(it.standing(a.id), 'left')
})

test('a leaving datagram of a stranger or of an absent member changes nothing', t => {
  const { table: it, take } = table()
  const stranger = member(2)
  it.heard(beat(stranger, 2, { leaving: true }), 'datagram', 1)
  t.deepEqual(take(), [])
  t.is(it.standing(stranger.id), 'unknown')
  const a = member(1)
  join(it, a)
  it.connectionEnded(a.id, 1)
  it.verified(a.id, 1, 'refused', 2)
  it.heard(beat(a, 9, { leaving: true }), 'datagram', 3)
  t.is(it.standing(a.id), 'absent')
  t.true(join(it, a, 4))
})

test('the end of a connection does not wait for the answer about silence', t => {
  const { table: it, take } = table()
  const a = member(1)
  join(it, a)
  it.tick(3_000)
  take()
  it.connectionEnded(a.id, 3_010)
  t.deepEqual(take(), [{ kind: 'verify', member: a, why: 'ended', token: 2 }])
  it.verified(a.id, 1, 'silent', 3_011)
  t.is(it.standing(a.id), 'alive')
  it.verified(a.id, 2, 'refused', 3_012)
  t.deepEqual(take(), [{ kind: 'disappeared', member: a, reason: 'dead' }])
})

test('a refusal counts even when we were asleep while asking; no answer is asked for again', t => {
  const { table: it, take } = table()
  const [a, b] = [member(1), member(2)]
  join(it, a)
  join(it, b)
  it.connectionEnded(a.id, 10)
  it.connectionEnded(b.id, 10)
  it.forgive(5_000)
  take()
  it.verified(a.id, 1, 'refused', 5_001)
  t.deepEqual(take(), [{ kind: 'disappeared', member: a, reason: 'dead' }])
  it.verified(b.id, 2, 'hung', 5_001)
  t.deepEqual(take(), [{ kind: 'verify', member: b, why: 'ended', token: 3 }])
  t.is(it.standing(b.id), 'alive')
})

test('whoever answers at an address supersedes the life that was there', t => {
  const { table: it, take } = table()
  const old = member(1)
  const fresh = member(2, old.port, old.name)
  join(it, old)
  take()
  t.true(join(it, fresh, 5))
  t.deepEqual(take(), [
    { kind: 'disappeared', member: old, reason: 'superseded' },
    { kind: 'added', member: fresh },
  ])
  t.is(it.standing(old.id), 'superseded')
  it.heard(beat(old, 50), 'datagram', 6)
  t.deepEqual(take(), [])
  t.is(it.counts.ghostHeartbeats, 1)
})

test('an absent life is superseded by whoever answers at its address', t => {
  const { table: it } = table()
  const old = member(1)
  join(it, old)
  it.connectionEnded(old.id, 1)
  it.verified(old.id, 1, 'refused', 2)
  join(it, member(2, old.port), 3)
  t.is(it.standing(old.id), 'superseded')
})

test('a known name at another address has its old life looked at', t => {
  const { table: it, take } = table()
  const old = member(1)
  join(it, old)
  take()
  it.hint(member(2, 5_000, old.name), 1)
  t.deepEqual(
    take().map(effect => effect.kind),
    ['verify', 'dial'],
  )
})

test('absent members are dialled again every 5 to 15 s, and forgotten after their time', t => {
  const { table: it, take } = table({ forgetMemberAfterMs: 60_000 })
  const a = member(1)
  join(it, a)
  it.connectionEnded(a.id, 0)
  it.verified(a.id, 1, 'refused', 0)
  take()
  const dialsMs: number[] = []
  for (let nowMs = 0; nowMs < 120_000; nowMs += 200) {
    it.tick(nowMs)
    for (const effect of take()) {
      if (effect.kind !== 'dial') continue
      dialsMs.push(nowMs)
      it.dialled(a, { kind: 'failed' }, nowMs)
    }
  }
  t.true(dialsMs.length >= 2)
  t.true(dialsMs.every(ms => ms < 75_000))
  t.true((dialsMs[0] ?? 0) >= 5_000 && (dialsMs[0] ?? 0) <= 15_200)
  t.is(it.standing(a.id), 'unknown')
})

test('seeds are dialled at once and again until somebody lives there; ourselves are no seed', t => {
  const { table: it, take } = table()
  const seed = { host: 'one.example', port: 4_000 }
  it.addSeed(seed, 0)
  t.deepEqual(take(), [{ kind: 'dial', endpoint: seed }])
  it.dialled(seed, { kind: 'failed' }, 1)
  let again = false
  for (let nowMs = 0; nowMs < 20_000; nowMs += 200) {
    it.tick(nowMs)
    again ||= take().some(effect => effect.kind === 'dial')
  }
  t.true(again)
  it.dialled(seed, { kind: 'refused', self: true }, 20_000)
  for (let nowMs = 20_000; nowMs < 60_000; nowMs += 200) it.tick(nowMs)
  t.deepEqual(take(), [])
})

test('datagrams that stay away are noticed while connections keep the member alive', t => {
  const { table: it } = table()
  const a = member(1)
  join(it, a)
  it.heard(beat(a, 1), 'connection', 2_000)
  it.heard(beat(a, 2), 'connection', 4_000)
  t.true(it.datagramsMissing(a.id, 4_000))
  t.is(it.standing(a.id), 'alive')
  it.heard(beat(a, 2), 'datagram', 4_001)
  t.false(it.datagramsMissing(a.id, 4_001))
})

const events = fc.array(
  fc.record({
    kind: fc.constantFrom(
      'heard',
      'leaving',
      'hint',
      'welcome',
      'failed',
      'verdict',
      'ended',
      'goodbye',
      'tick',
      'forgive',
      'seed',
    ),
    who: fc.nat(11),
    port: fc.nat(3),
    count: fc.nat(20),
    verdict: fc.constantFrom('alive', 'refused', 'silent', 'hung'),
    waitMs: fc.nat(4_000),
  }),
  { maxLength: 150 },
)

test('property: no event sequence resurrects a final life, exceeds a bound, or makes a member without a handshake', t => {
  fc.assert(
    fc.property(events, steps => {
      const limits = { membersMax: 4, rememberedMax: 64, dialsMax: 2 }
      const effects: MemberEffect[] = []
      const it = new MemberTable(local, seededRandom(7), { ...memberTableDefaults, ...limits }, e => effects.push(e), 0)
      const final = new Set<string>()
      const live = new Set<string>()
      const tokens = new Map<string, number>()
      let nowMs = 0
      for (const step of steps) {
        nowMs += step.waitMs
        const who = member(step.who, 4_000 + step.port)
        if (step.kind === 'heard') it.heard(beat(who, step.count), 'datagram', nowMs)
        if (step.kind === 'leaving') it.heard(beat(who, step.count, { leaving: true }), 'datagram', nowMs)
        if (step.kind === 'hint') it.hint(who, nowMs)
        if (step.kind === 'welcome') join(it, who, nowMs)
        if (step.kind === 'failed') it.dialled(who, { kind: 'failed' }, nowMs)
        if (step.kind === 'verdict') it.verified(who.id, tokens.get(who.id) ?? 0, step.verdict, nowMs)
        if (step.kind === 'ended') it.connectionEnded(who.id, nowMs)
        if (step.kind === 'goodbye') it.goodbye(who, nowMs)
        if (step.kind === 'tick') it.tick(nowMs)
        if (step.kind === 'forgive') it.forgive(nowMs)
        if (step.kind === 'seed') it.addSeed(who, nowMs)
        for (const effect of effects.splice(0)) {
          if (effect.kind === 'added') {
            if (step.kind !== 'welcome' || effect.member.id !== who.id) throw new Error('a member without a handshake')
            if (final.has(effect.member.id)) throw new Error('a final life returned')
            live.add(effect.member.id)
          }
          if (effect.kind === 'disappeared') {
            if (!live.delete(effect.member.id)) throw new Error('gone twice')
          }
          if (effect.kind === 'verify') tokens.set(effect.member.id, effect.token)
        }
        for (let n = 0; n < 12; n++) {
          const standing = it.standing(member(n).id)
          if (standing === 'left' || standing === 'superseded') final.add(member(n).id)
          else if (final.has(member(n).id) && standing !== 'unknown') throw new Error(`final, now ${standing}`)
        }
        if (it.members.length !== live.size || it.members.length > 4) throw new Error('members out of bounds')
        if (it.rememberedCount > 64 || it.dialling > 2) throw new Error('out of bounds')
      }
    }),
    { numRuns: 400 },
  )
  t.pass()
})

test('when too many lives are remembered, absent ones are forgotten first', t => {
  const { table: it } = table({ rememberedMax: 3 })
  it.goodbye(member(1), 0)
  for (let n = 2; n <= 6; n++) {
    join(it, member(n))
    it.connectionEnded(member(n).id, n)
    it.verified(member(n).id, n - 1, 'refused', n)
  }
  t.is(it.rememberedCount, 3)
  t.is(it.standing(member(1).id), 'left')
  t.is(it.standing(member(2).id), 'unknown')
  t.is(it.standing(member(6).id), 'absent')
})
