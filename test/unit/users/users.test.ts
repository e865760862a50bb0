import test from 'ava'
import fc from 'fast-check'
import { decodeText } from '../../../lib/replication/attribute-text.js'
import type { Stamp } from '../../../lib/replication/replica-contract.js'
import { DeltaManager } from '../../../lib/session/delta-manager.js'
import { resolveDeltaManagerOptions } from '../../../lib/session/delta-manager-options.js'
import { PRINCIPAL } from '../../../lib/session/principal.js'
import type { Session } from '../../../lib/session/session.js'
import {
  decodeLogin,
  encodeLogin,
  surplusOf,
  type UsersOptions,
  type WhenFull,
} from '../../../lib/users/login-policy.js'
import { type UserSessionEndedEvent, Users } from '../../../lib/users/users.js'
import { CountingRandom, MemoryRecordStore } from '../../helpers/memory-record-store.js'
import { VirtualClock } from '../../helpers/virtual-clock.js'

interface MemberFixture {
  readonly store: MemoryRecordStore
  readonly sessions: DeltaManager
  readonly users: Users
  readonly ended: UserSessionEndedEvent[]
}

function member(store: MemoryRecordStore, clock: VirtualClock, options?: UsersOptions, seed = 1): MemberFixture {
  const parts = { store, clock, random: new CountingRandom(seed), onChange: store.onChange }
  const sessions = new DeltaManager(parts)
  const users = new Users({ ...parts, sessions, receipts: resolveDeltaManagerOptions() }, options)
  const ended: UserSessionEndedEvent[] = []
  users.on('ended', event => ended.push(event))
  users.start()
  sessions.start()
  return { store, sessions, users, ended }
}

function pair(options?: UsersOptions): { a: MemberFixture; b: MemberFixture; clock: VirtualClock } {
  const clock = new VirtualClock()
  const [one, other] = MemoryRecordStore.pair(clock)
  return { a: member(one, clock, options), b: member(other, clock, options, 1 << 20), clock }
}

function login(
  { sessions, users }: MemberFixture,
  principal: string,
  options?: Parameters<Users['login']>[2],
): Session {
  const session = sessions.create({ deferred: true })
  users.login(session, principal, options)
  return session
}

function idsOf({ users }: MemberFixture, principal: string): string[] {
  return users.sessions(principal).map(({ id }) => id)
}

test('every member finds the sessions of a principal, whatever is written in whatever order', t => {
  const principal = fc.constantFrom('ann', 'bob')
  const step = fc.oneof(
    fc.record({ what: fc.constant('login'), at: fc.nat(1), principal, n: fc.nat(9) }),
    fc.record({ what: fc.constant('attach'), at: fc.nat(1), principal, n: fc.nat(9) }),
    fc.record({ what: fc.constantFrom('detach', 'logout', 'hold', 'flush'), at: fc.nat(1), principal, n: fc.nat(9) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), steps => {
      const { a, b } = pair()
      const both = [a, b]
      for (const { what, at, principal: who, n } of steps) {
        const one = both[at]!
        const known = [...one.sessions]
        const found = known[n % Math.max(1, known.length)]
        if (what === 'login') login(one, who)
        else if (what === 'hold') for (const each of both) each.store.held = true
        else if (what === 'flush') for (const each of both) each.store.flush()
        else if (found !== undefined && what === 'logout') one.users.logout(found)
        else if (found !== undefined) {
          found.principal = what === 'attach' ? who : undefined
          one.sessions.commit(found)
        }
        for (const each of both) {
          const recount: string[] = []
          for (const key of each.store.keys()) {
            const bytes = each.store.attribute(key, PRINCIPAL)
            if (bytes !== undefined) recount.push(decodeText(bytes))
          }
          for (const name of ['ann', 'bob']) {
            const count = recount.filter(other => other === name).length
            t.is(each.users.count(name), count)
            t.is(each.users.sessions(name).length, count)
          }
          t.deepEqual([...each.users.principals()].sort(), [...new Set(recount)].sort())
        }
      }
    }),
  )
})

const stampAt = (wallMs: number): Stamp => ({ wallMs, counter: 0, origin: 'a', seq: wallMs })
const policies: readonly (readonly [logins: string, surplus: string])[] = [
  ['1 2 3', ''],
  ['1e1 2e1 3e1', '1 2'],
  ['3e1 1e1 2e1', '1 2'],
  ['1r1 2r1 3r1', '2 3'],
  ['3r2 1r2 2r2', '3'],
  ['1 2 3e1', '1 2'],
  ['1 2 3r1', '3'],
  ['1e1 2r1 3e1', '2 1'],
  ['1r1 2e2 3r2', '3'],
  ['1e1 2 3', ''],
  ['1 2e1 3', '1'],
]

for (const [logins, surplus] of policies) {
  test(`of the logins ${logins} these are too many: ${surplus || 'none'}`, t => {
    const list = logins.split(' ').map(text => {
      const [, at = '', kind, max] = /^(\d)(?:([er])(\d))?$/.exec(text) ?? []
      const whenFull: WhenFull = kind === 'r' ? 'refuse' : 'endOldest'
      const policy = max === undefined ? undefined : { maxSessions: Number(max), whenFull }
      return { name: at, stamp: stampAt(Number(at)), policy }
    })
    t.is(
      surplusOf(list)
        .map(({ name }) => name)
        .join(' '),
      surplus,
    )
  })
}

test('members that have heard of some of the logins end none that would stay', t => {
  const policy = fc.record({
    maxSessions: fc.integer({ min: 1, max: 4 }),
    whenFull: fc.constantFrom<WhenFull>('refuse', 'endOldest'),
  })
  fc.assert(
    fc.property(policy, fc.uniqueArray(fc.nat(99), { maxLength: 10 }), fc.array(fc.boolean()), (one, times, heard) => {
      const logins = times.map(at => ({ at, stamp: stampAt(at), policy: one }))
      const surplus = surplusOf(logins).map(({ at }) => at)
      t.is(logins.length - surplus.length, Math.min(logins.length, one.maxSessions))
      for (const { at } of surplusOf(logins.filter((_, index) => heard[index]))) t.true(surplus.includes(at))
    }),
  )
})

test('a login is noted with its policy; what is no note is none', t => {
  const note = { atMs: 1_800_000_000_000, policy: { maxSessions: 3, whenFull: 'refuse' } } as const
  t.deepEqual(decodeLogin(encodeLogin(note)), note)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), bytes => t.is(decodeLogin(bytes), undefined)),
    { numRuns: 300 },
  )
})

test('a login gives the session a new id, a principal and a place on every member', async t => {
  const { a, b } = pair()
  const session = a.sessions.create({ attributes: [['cart', 1]] })
  const before = session.id
  const receipt = await a.users.login(session, 'ann')
  t.is(receipt?.outcome, 'met')
  t.not(session.id, before)
  for (const one of [a, b]) {
    t.is(one.sessions.find(before), undefined)
    t.is(one.sessions.find(session.id)?.principal, 'ann')
    t.deepEqual(idsOf(one, 'ann'), [session.id])
    t.is(one.users.sessions('ann')[0]?.get('cart'), 1)
  }
  a.users.login(session, 'bob', { keepId: true })
  t.deepEqual([idsOf(b, 'ann').length, idsOf(b, 'bob')], [0, [session.id]])
})

test('a session with a principal alone is stored, one that never was stays unknown', t => {
  const { a, b } = pair()
  const session = a.sessions.create({ deferred: true })
  session.principal = 'ann'
  t.is(a.users.count('ann'), 0)
  a.sessions.commit(session)
  t.is(b.users.count('ann'), 1)
  session.principal = undefined
  a.sessions.commit(session)
  t.deepEqual([b.users.count('ann'), b.sessions.size], [0, 1])
})

for (const wrong of ['', 'x'.repeat(257), '☃'.repeat(86), 7, null]) {
  test(`no principal is called ${JSON.stringify(wrong).slice(0, 20)}`, t => {
    const { a } = pair()
    const session = a.sessions.create()
    const error = { code: 'INVALID_OPTION', message: /^Option principal must be a string of 1 to 256 bytes; got / }
    t.throws(() => a.users.login(session, wrong as string), error)
    t.throws(() => a.users.endAll(wrong as string), error)
    t.throws(() => {
      session.principal = wrong as string
    }, error)
    t.is(session.principal, undefined)
  })
}

for (const [options, name] of [
  [{ maxSessions: -1 }, 'maxSessions'],
  [{ maxSessions: 1.5 }, 'maxSessions'],
  [{ whenFull: 'panic' }, 'whenFull'],
  [{ most: 1 }, 'most'],
] as const) {
  test(`the option ${name} of ${JSON.stringify(options)} is refused`, t => {
    const { a } = pair()
    const message = new RegExp(`^Option users\\.${name} must be `)
    t.throws(() => member(a.store, new VirtualClock(), options as never), { code: 'INVALID_OPTION', message })
  })
}

test('the oldest ends at once where the login is made, and is told why everywhere', t => {
  const { a, b } = pair({ maxSessions: 2 })
  const [one, two] = [login(a, 'ann'), login(b, 'ann')]
  const three = login(b, 'ann')
  for (const each of [a, b]) t.deepEqual(idsOf(each, 'ann').sort(), [two.id, three.id].sort())
  t.deepEqual(b.ended, [{ principal: 'ann', id: one.id, why: 'limit', cause: 'local' }])
  t.deepEqual(a.ended, [{ principal: 'ann', id: one.id, why: 'limit', cause: 'remote' }])
  t.is(b.store.written.filter(({ kind }) => kind === 'invalidated').length, 1)
  t.is(a.store.written.filter(({ kind }) => kind === 'invalidated').length, 0)
})

test('a refused login changes nothing', t => {
  const { a, b } = pair({ maxSessions: 1, whenFull: 'refuse' })
  const first = login(a, 'ann')
  const session = b.sessions.create({ attributes: [['cart', 1]] })
  const { id } = session
  const written = b.store.written.length
  t.throws(() => b.users.login(session, 'ann'), { code: 'LOGIN_REFUSED' })
  t.deepEqual([session.id, session.principal, b.store.written.length], [id, undefined, written])
  // Once more with the session that has the place, and with a policy of one's own.
  a.users.login(first, 'ann')
  t.is(a.users.count('ann'), 1)
  b.users.login(session, 'ann', { maxSessions: 2 })
  t.is(a.users.count('ann'), 2)
  void a.users.logout(first)
  t.deepEqual(idsOf(b, 'ann'), [session.id])
})

test('two logins at the same moment: the surplus ends when they meet, and one member does it', t => {
  for (const whenFull of ['endOldest', 'refuse'] as const) {
    const { a, b, clock } = pair({ maxSessions: 1, whenFull })
    a.store.held = true
    b.store.held = true
    const older = login(a, 'ann')
    clock.advance(1)
    const newer = login(b, 'ann')
    a.store.flush()
    b.store.flush()
    t.deepEqual([a.users.count('ann'), b.users.count('ann')], [2, 2])
    clock.advance(1_100)
    const stays = whenFull === 'refuse' ? older : newer
    t.deepEqual([idsOf(a, 'ann'), idsOf(b, 'ann')], [[stays.id], [stays.id]])
    const invalidations = [a, b].flatMap(({ store }) => store.written.filter(({ kind }) => kind === 'invalidated'))
    t.is(invalidations.length, 1)
    t.deepEqual([a.ended[0]?.why, b.ended[0]?.why], ['limit', 'limit'])
  }
})

test('a login that cannot be stored leaves the session as it was, and no sign-on', t => {
  const { a } = pair()
  const session = a.sessions.create()
  const { id } = session
  const bad = {
    get value(): never {
      throw new Error('not to be encoded')
    },
  }
  session.set('bad', bad)
  t.throws(() => a.users.login(session, 'ann', { signOn: true }))
  t.deepEqual([session.id, session.principal, a.users.count('ann'), a.store.size], [id, undefined, 0, 1])
  session.delete('bad')
  a.sessions.commit(session)
  t.is(a.users.count('ann'), 0)
})

test('all sessions but one end, those of later logins never, and once more costs no second record', async t => {
  const { a, b, clock } = pair()
  const [one, two] = [login(a, 'ann'), login(b, 'ann')]
  const other = login(b, 'bob')
  clock.advance(1)
  t.is((await a.users.endAll('ann', { except: one })).outcome, 'met')
  t.deepEqual([idsOf(a, 'ann'), idsOf(b, 'ann'), idsOf(a, 'bob')], [[one.id], [one.id], [other.id]])
  t.deepEqual(
    b.ended.map(({ id, why }) => [id, why]),
    [[two.id, 'forced']],
  )
  clock.advance(1)
  login(b, 'ann')
  t.is(a.users.count('ann'), 2)
  clock.advance(1)
  const { size } = a.store
  void b.users.endAll('ann')
  t.deepEqual([a.users.count('ann'), a.store.size, a.sessions.size], [0, size - 2, 1])
  clock.advance(2_000)
  t.is(b.users.count('ann'), 0)
})

test('a session is ended by its id, once', async t => {
  const { a, b } = pair()
  const session = login(a, 'ann')
  t.is((await b.users.end(session.id))?.outcome, 'met')
  t.is(b.users.end(session.id), undefined)
  t.deepEqual([a.users.count('ann'), a.ended[0]?.why, session.isValid], [0, 'forced', false])
  t.throws(() => a.users.login(session, 'ann'), { code: 'SESSION_INVALID' })
})

test('sign-ons: hidden from the sessions, joined, ended with any of their sessions', t => {
  const { a, b, clock } = pair()
  const session = login(a, 'ann', { signOn: true })
  const id = a.users.signOnOf(session) as string
  t.deepEqual([a.sessions.size, [...a.sessions.ids()].length, a.store.size], [1, 1, 2])
  t.is(b.users.signedOn(id), 'ann')
  t.is(b.users.signedOn(`${id}x`), undefined)
  const other = b.sessions.create({ attributes: [['app', 2]] })
  const before = other.id
  t.is(b.users.join(other, id), 'ann')
  b.sessions.commit(other)
  t.not(other.id, before)
  t.is(a.users.count('ann'), 2)
  // Logging in again keeps the sign-on; as somebody else, it is over.
  a.users.login(session, 'ann', { signOn: true })
  t.is(a.users.signOnOf(session), id)
  t.is(a.users.count('ann'), 2)
  a.users.login(session, 'bob', { signOn: true })
  t.deepEqual([a.users.signedOn(id), a.users.count('ann'), a.users.count('bob')], [undefined, 0, 1])
  t.is(b.users.join(b.sessions.create(), id), undefined)
  void session.invalidate()
  clock.advance(2_000)
  t.deepEqual([a.store.size, b.store.size], [1, 1])
})

test('all sessions of one sign-on are one login to the policy', t => {
  const { a, b, clock } = pair({ maxSessions: 1 })
  const session = login(a, 'ann', { signOn: true })
  const other = b.sessions.create()
  b.users.join(other, a.users.signOnOf(session) as string)
  b.sessions.commit(other)
  clock.advance(2_000)
  t.is(a.users.count('ann'), 2)
  const elsewhere = login(b, 'ann')
  t.deepEqual([idsOf(a, 'ann'), idsOf(b, 'ann')], [[elsewhere.id], [elsewhere.id]])
  t.deepEqual([a.store.size, a.ended.map(({ why }) => why)], [1, ['limit', 'limit']])
})

test('a session that expires leaves its sign-on; the last one ends it', t => {
  const { a, b, clock } = pair()
  const session = login(a, 'ann', { signOn: true })
  const id = a.users.signOnOf(session) as string
  const other = b.sessions.create({ maxInactiveInterval: 10 })
  b.users.join(other, id)
  b.sessions.commit(other)
  clock.advance(60_000)
  b.store.expireIdle()
  clock.advance(60_000)
  t.deepEqual([a.users.signedOn(id), a.users.count('ann'), a.ended[0]?.why], ['ann', 1, 'expired'])
  clock.advance(1_800_000)
  a.store.expireIdle()
  clock.advance(60_000)
  t.deepEqual([a.users.signedOn(id), a.store.size, b.store.size], [undefined, 0, 0])
})

test('a listener that throws stops nothing, and nobody listens after stop', t => {
  const { a } = pair()
  const errors: string[] = []
  a.users.on('listenerError', (error, event) => errors.push(`${event}: ${(error as Error).message}`))
  a.users.once('ended', () => {
    throw new Error('no')
  })
  const [one, two] = [login(a, 'ann'), login(a, 'ann')]
  void a.users.logout(one)
  t.deepEqual([errors, a.ended.length], [['ended: no'], 1])
  a.users.stop()
  void two.invalidate()
  t.deepEqual([a.ended.length, a.users.count('ann')], [1, 0])
  t.throws(() => a.users.endAll('ann'), { code: 'INVALID_STATE' })
})

test('a signal is made when asked for, shared by all views, and aborts with the reason', t => {
  const { a, b } = pair()
  const deferred = a.sessions.create({ deferred: true })
  const { signal } = deferred
  t.is(deferred.signal, signal)
  void deferred.invalidate()
  t.like(signal.reason, { code: 'SESSION_ENDED', why: 'unknown' })
  const session = login(a, 'ann')
  const remote = b.sessions.find(session.id)!
  t.is(remote.signal, b.sessions.find(session.id)!.signal)
  session.changeId()
  t.false(remote.signal.aborted)
  const aborted = remote.signal
  void a.users.logout(session)
  t.like(aborted.reason, { code: 'SESSION_ENDED', why: 'logout' })
  t.true(remote.signal.aborted)
  t.like(session.signal.reason, { code: 'SESSION_ENDED' })
})

test('a login and its new id are one delta, acknowledged as the login asks', t => {
  const { a, b } = pair()
  const session = a.sessions.create({ attributes: [['cart', 1]] })
  const { id } = session
  const seen: unknown[] = []
  b.store.onChange(() => seen.push(b.sessions.find(id)?.principal))
  const deltas = a.store.written.length
  a.users.login(session, 'ann', { copies: 'all', ackTimeoutMs: 77 })
  t.is(a.store.written.length, deltas + 1)
  t.like(a.store.sends.at(-1), { copies: 'all', timeoutMs: 77 })
  t.deepEqual(seen, [undefined])
  t.not(session.id, id)
  t.is(b.sessions.find(session.id)?.principal, 'ann')
  t.is(b.sessions.find(session.id)?.get('cart'), 1)
  session.set('cart', 2)
  a.sessions.commit(session)
  t.is(b.sessions.find(session.id)?.get('cart'), 2)
})

test('a login that cannot be stored leaves the session its id', t => {
  const { a } = pair()
  const session = a.sessions.create({ attributes: [['cart', 1]] })
  const { id } = session
  const broken = {
    get items(): never {
      throw new Error('broken')
    },
  }
  session.set('cart', broken)
  t.throws(() => a.users.login(session, 'ann'), { code: 'SESSION_VALUE', message: /"cart" .*: broken$/ })
  t.deepEqual([session.id, session.principal, session.isRenamed], [id, undefined, false])
  session.set('cart', 2)
  a.sessions.commit(session)
  t.like(a.sessions.find(id), { principal: undefined })
})

test('a sign-on ends with the absolute end of the session that began it, and so does what joins it', t => {
  const { a, b, clock } = pair()
  const first = a.sessions.create({ deferred: true, maxLifetime: 100 })
  a.users.login(first, 'ann', { signOn: true })
  const signOnId = a.users.signOnOf(first) as string
  clock.advance(40_000)
  const second = b.sessions.create({ deferred: true, maxLifetime: 5_000 })
  t.is(b.users.join(second, signOnId), 'ann')
  const third = b.sessions.create({ deferred: true, maxLifetime: 30, maxInactiveInterval: 10 })
  t.is(b.users.join(third, signOnId), 'ann')
  for (const session of [second, third]) b.sessions.commit(session)
  t.deepEqual([second.endsInMs, third.endsInMs], [60_000, 30_000])
  t.deepEqual([second.maxInactiveInterval, third.maxInactiveInterval], [60, 10])
  clock.advance(59_999)
  t.is(b.users.signedOn(signOnId), 'ann')
  clock.advance(1)
  t.is(b.users.signedOn(signOnId), undefined)
  const late = b.sessions.create({ deferred: true })
  t.is(b.users.join(late, signOnId), undefined)
  t.is(late.principal, undefined)
  t.deepEqual([a.sessions.find(first.id), a.sessions.find(second.id)], [undefined, undefined])
})

test('nobody signs on by sessions that nobody used for too long, removed or not', t => {
  const { a, b, clock } = pair()
  const first = a.sessions.create({ deferred: true, maxInactiveInterval: 100 })
  a.users.login(first, 'ann', { signOn: true })
  const signOnId = a.users.signOnOf(first) as string
  const second = b.sessions.create({ deferred: true, maxInactiveInterval: 200 })
  b.users.join(second, signOnId)
  b.sessions.commit(second)
  clock.advance(150_000)
  t.is(a.users.signedOn(signOnId), 'ann', 'the second is in use')
  clock.advance(100_000)
  t.is(a.users.signedOn(signOnId), undefined)
  t.is(a.users.join(a.sessions.create({ deferred: true }), signOnId), undefined)
  t.is(a.sessions.size, 2)
  for (const { store } of [a, b]) store.expireIdle()
  t.deepEqual([a.sessions.size, a.users.signedOn(signOnId)], [0, undefined])
})
