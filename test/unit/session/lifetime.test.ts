import test from 'ava'
import { DeltaManager } from '../../../lib/session/delta-manager.js'
import { CREATED } from '../../../lib/session/session.js'
import { CountingRandom, ManualClock, MemoryRecordStore } from '../../helpers/memory-record-store.js'
import { oneManager, twoManagers } from '../../helpers/session-managers.js'

test('a session ends for good at its absolute end, however much it was used', t => {
  const [a, b] = twoManagers({ maxLifetime: 60 })
  const told: unknown[] = []
  for (const { sessions } of [a, b]) {
    sessions.on('destroyed', ({ id, reason, cause }) => told.push([id, reason, cause]))
  }
  const { id } = a.sessions.create({ attributes: [['user', 'ada']] })
  t.is(b.sessions.find(id)?.endsInMs, 60_000)
  for (let seconds = 0; seconds < 59; seconds++) {
    a.clock.nowMs += 1_000
    b.sessions.find(id)?.touch()
  }
  const last = a.sessions.find(id)
  t.is(last?.endsInMs, 1_000)
  t.true(last?.isValid)
  a.clock.nowMs += 1_000
  t.false(last?.isValid)
  t.is(last?.endsInMs, 0)
  t.is(a.sessions.size, 1, 'nobody has looked yet')
  t.is(b.sessions.find(id), undefined)
  t.deepEqual([a.sessions.size, b.sessions.size], [0, 0])
  t.deepEqual(told.sort(), [
    [id, 'expired', 'local'],
    [id, 'expired', 'remote'],
  ])
  t.is(a.sessions.stats().expired, 1)
  t.is(a.sessions.stats().invalidated, 0)
})

test('the end is the session’s own: members’ options do not matter afterwards', t => {
  const { sessions, clock } = oneManager({ maxLifetime: 60 })
  const short = sessions.create({ maxLifetime: 10 })
  const endless = sessions.create({ maxLifetime: 0 })
  const usual = sessions.create()
  t.deepEqual([short.endsInMs, endless.endsInMs, usual.endsInMs], [10_000, undefined, 60_000])
  clock.nowMs += 10_000
  t.deepEqual([...sessions.ids()].sort(), [endless.id, usual.id].sort())
  t.is(sessions.size, 2)
})

test('the clock is the group’s: a step of a host’s clock ends nothing', t => {
  const clock = new ManualClock()
  const store = new MemoryRecordStore(clock)
  let stepMs = 0
  const stepping = Object.assign(Object.create(clock), { wall: () => clock.nowMs + stepMs })
  let clusterMs = 5_000_000
  const parts = { store, clock: stepping, random: new CountingRandom(), onChange: store.onChange }
  const sessions = new DeltaManager({ ...parts, clusterMs: () => clusterMs }, { maxLifetime: 60 })
  sessions.start()
  const { id, createdAt } = sessions.create()
  t.is(createdAt, clock.nowMs)
  stepMs = 3_600_000
  t.is(sessions.find(id)?.endsInMs, 60_000)
  clusterMs += 60_000
  t.is(sessions.find(id), undefined)
})

test('an unused session goes no later than its end, also one that would never expire', t => {
  const { sessions } = oneManager({ maxLifetime: 60, maxInactiveInterval: -1 })
  const session = sessions.create()
  t.is(session.maxInactiveInterval, 60)
  session.maxInactiveInterval = 1_000
  t.is(session.maxInactiveInterval, 60)
  session.maxInactiveInterval = 20
  t.is(session.maxInactiveInterval, 20)
})

test('another id is no new life; a new session is', t => {
  const { sessions, clock } = oneManager({ maxLifetime: 60 })
  const session = sessions.create()
  clock.nowMs += 30_000
  session.changeId()
  t.is(sessions.find(session.id)?.endsInMs, 30_000)
  t.is(sessions.create().endsInMs, 60_000)
})

test('an end that is over is still a logout if somebody logs out before', t => {
  const { sessions, clock } = oneManager({ maxLifetime: 60 })
  const reasons: string[] = []
  sessions.on('destroyed', ({ reason }) => reasons.push(reason))
  const session = sessions.create()
  clock.nowMs += 50_000
  session.invalidate()
  t.deepEqual(reasons, ['invalidated'])
})

test('bytes that are no time are no end', t => {
  const { sessions } = oneManager({ maxLifetime: 60 })
  const session = sessions.create()
  session.setReserved('\u0000endsAt', Buffer.from('soon'))
  sessions.commit(session)
  t.is(sessions.find(session.id)?.endsInMs, undefined)
  t.truthy(session.reserved(CREATED))
})

test('a lifetime out of range is refused', t => {
  const { sessions } = oneManager()
  for (const maxLifetime of [-1, 0.5, Number.NaN, 3_153_600_001]) {
    t.throws(() => oneManager({ maxLifetime }), { code: 'INVALID_OPTION', message: /maxLifetime/ }, String(maxLifetime))
    t.throws(() => sessions.create({ maxLifetime }), { code: 'INVALID_OPTION' }, String(maxLifetime))
  }
  t.is(sessions.size, 0)
})
