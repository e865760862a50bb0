import { randomBytes } from 'node:crypto'
import test from 'ava'
import fc from 'fast-check'
import type { RecordChange } from '../../../lib/replication/replica-contract.js'
import { DeltaManager } from '../../../lib/session/delta-manager.js'
import type { DeltaManagerOptions } from '../../../lib/session/delta-manager-options.js'
import type { MergeStrategy } from '../../../lib/session/merge.js'
import type { Session } from '../../../lib/session/session.js'
import type { SessionCodec } from '../../../lib/session/session-codec.js'
import type { CommitOptions } from '../../../lib/session/session-manager.js'
import { scratch } from '../../../lib/wire/frame-space.js'
import { decodeValue, encodeValue } from '../../../lib/wire/value-codec.js'
import { type LoneReplica, loneReplica } from '../../helpers/lone-replica.js'
import { CountingRandom, ManualClock } from '../../helpers/memory-record-store.js'

// So small that memory is written again all the time.
scratch.chunkBytes = 16_384

const LARGE = 3_000
const NAMES = ['a', 'b', 'c']

interface Member extends LoneReplica {
  readonly sessions: DeltaManager
}

function memberOf(codec?: SessionCodec, options?: DeltaManagerOptions): Member {
  const listeners = new Set<(change: RecordChange) => void>()
  const lone = loneReplica('a'.repeat(32), 1_000_000, undefined, change => {
    for (const listener of listeners) listener(change)
  })
  const onChange = (listener: (change: RecordChange) => void): (() => void) => {
    listeners.add(listener)
    return () => listeners.delete(listener)
  }
  const clock = new ManualClock()
  const random = new CountingRandom()
  const sessions = new DeltaManager({ store: lone.replica, clock, random, onChange, ...(codec && { codec }) }, options)
  sessions.start()
  return { ...lone, sessions }
}

/** The writes of the delta sent last, as they are now. */
function lastWrites({ sent }: Member): [name: string, value: string | undefined][] {
  const last = sent.at(-1)
  const writes = last?.kind === 'delta' ? [...last.delta.writes] : []
  return byName(writes.map(([name, bytes]) => [name, bytes && Buffer.from(bytes).toString('latin1')]))
}

/** The order is that of the record or of the view. */
function byName<T>(pairs: readonly [string, T][]): [string, T][] {
  return pairs.toSorted(([a], [b]) => (a < b ? -1 : 1))
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text.repeat(LARGE))
}

/** A session of a member whose `v` is large and has been written twice, so that it is written over from now on. */
function begun(member: Member, value: unknown): { id: string; view: Session; open: () => Session } {
  const { id } = member.sessions.create({ attributes: [['v', bytesOf('0')]] })
  const open = (): Session => member.sessions.find(id) as Session
  member.sessions.commit(open().set('v', bytesOf('1')))
  const view = open()
  member.sessions.commit(view.set('v', value))
  return { id, view, open }
}

const mineStays: MergeStrategy = (_name, { mine }) => mine

/** A value made anew each time: large and small, texts, bytes and objects. No bytes come twice. */
const value = fc
  .tuple(fc.constantFrom('text', 'bytes', 'object', 'number'), fc.constantFrom(3, LARGE), fc.nat(9))
  .map(([kind, length, digit]) => {
    const text = String(digit).repeat(length)
    return (number: number): unknown => {
      if (kind === 'bytes') return numbered(Buffer.alloc(length + 4), number)
      return kind === 'number' ? digit : kind === 'text' ? text : { text }
    }
  })
const step = fc.record({
  view: fc.nat(2),
  how: fc.constantFrom('set', 'set', 'change', 'delete', 'commit', 'commit', 'read', 'load'),
  name: fc.constantFrom(...NAMES),
  value,
  detect: fc.constantFrom('set', 'modified', 'modified', 'modified', 'get', 'all'),
  merge: fc.constantFrom<MergeStrategy>('attribute', 'attribute', 'attribute', 'last-write', mineStays),
})

function numbered(bytes: Buffer, number: number): Buffer {
  bytes.writeUInt32LE(number)
  return bytes
}

/** Changes in place what an attribute has. */
function change(session: Session, name: string, number: number): void {
  const held = session.get(name)
  if (Buffer.isBuffer(held)) session.set(name, numbered(held, number))
  else if (typeof held === 'object' && held !== null) Object.assign(held, { changed: number })
}

function attributesOf(session: Session): [string, unknown][] {
  return byName([...session.entries()])
}

test('whether values are lent makes no difference', t => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 60 }), steps => {
      const members = [memberOf(), memberOf({ encode: encodeValue, decode: decodeValue })]
      const ids = members.map(({ sessions }) => sessions.create().id)
      const views: Session[][] = []
      for (const [number, { view, how, name, value, detect, merge }] of steps.entries()) {
        if (how === 'load') views.splice(view, 1)
        const both = (views[view] ??= members.map(({ sessions }, at) => sessions.find(ids[at] as string) as Session))
        const results = both.map((session, at) => {
          const { sessions } = members[at] as Member
          if (how === 'set') session.set(name, value(number))
          else if (how === 'change') change(session, name, number)
          else if (how === 'delete') return session.delete(name)
          else if (how === 'read') return attributesOf(session)
          else if (how === 'commit') {
            return sessions.commit(session, { ack: 'none', detect, merge }) && lastWrites(members[at] as Member)
          }
          return undefined
        })
        t.deepEqual(results[0], results[1])
        const now = members.map(({ sessions }, at) => attributesOf(sessions.find(ids[at] as string) as Session))
        t.deepEqual(now[0], now[1])
      }
    }),
    { numRuns: 300 },
  )
})

test('a value is written over where it lies, and what somebody has in hands is not', t => {
  const member = memberOf()
  const { id, open } = begun(member, bytesOf('2'))
  const key = open().key as string
  const reader = open()
  member.sessions.commit(open().set('v', bytesOf('3')))
  t.deepEqual(reader.get('v'), bytesOf('2'), 'as it was when it was loaded')
  const snapshot = member.replica.attributes(key)?.get('v') as Uint8Array
  member.sessions.commit(open().set('v', bytesOf('4')))
  t.deepEqual(decodeValue(snapshot), bytesOf('3'))
  // Nobody else has what is written from here on.
  member.sessions.commit(open().set('v', bytesOf('5')))
  const writer = open()
  const place = member.sessions.find(id)
  t.deepEqual(place?.get('v'), bytesOf('5'))
  member.sessions.commit(writer.set('v', bytesOf('6')))
  t.deepEqual(open().get('v'), bytesOf('6'))
})

test('after its commit a view has its session as it was then', t => {
  const member = memberOf()
  const mine = { n: 1 }
  const { view, open } = begun(member, 'x'.repeat(LARGE))
  member.sessions.commit(open().set('small', 1).set('large', bytesOf('l')))
  const other = open()
  member.sessions.commit(other.set('o', mine).set('v', 'y'.repeat(LARGE)))
  member.sessions.commit(open().set('small', 2).set('large', bytesOf('m')).set('v', bytesOf('z')))
  t.is(member.sessions.commit(other), undefined, 'nothing of its own')
  t.deepEqual(byName([...other.entries()]), [
    ['large', bytesOf('l')],
    ['o', mine],
    ['small', 1],
    ['v', 'y'.repeat(LARGE)],
  ])
  t.is(member.sessions.commit(other.set('v', 'y'.repeat(LARGE))), undefined, 'what it has written')
  mine.n = 2
  t.truthy(member.sessions.commit(other))
  t.deepEqual(
    lastWrites(member).map(([name]) => name),
    ['o'],
  )
  t.is(view.get('v'), 'x'.repeat(LARGE))
  open().invalidate()
  t.is(other.get('small'), 1)
  t.deepEqual(other.names().toSorted(), ['large', 'o', 'small', 'v'])
})

test('bytes changed in place are written, unless somebody else has written over them; set, they always are', t => {
  const member = memberOf()
  const mine = bytesOf('2')
  const { view, open } = begun(member, mine)
  t.is(view.get('v'), mine)
  mine.fill('3')
  t.truthy(member.sessions.commit(view))
  t.deepEqual(open().get('v'), bytesOf('3'))
  member.sessions.commit(open().set('v', bytesOf('4')))
  mine.fill('5')
  t.is(member.sessions.commit(view), undefined)
  t.deepEqual(open().get('v'), bytesOf('4'))
  mine.fill('6')
  t.truthy(member.sessions.commit(view), 'known again')
  t.deepEqual(open().get('v'), bytesOf('6'))
  member.sessions.commit(open().set('v', bytesOf('7')))
  t.truthy(member.sessions.commit(view.set('v', mine.fill('8'))))
  t.deepEqual(open().get('v'), bytesOf('8'))
})

test('who loaded the session later than its writer keeps what it has', t => {
  const member = memberOf()
  const { open } = begun(member, bytesOf('2'))
  const writer = open()
  member.sessions.commit(open().set('v', bytesOf('3')))
  const reader = open()
  member.sessions.commit(writer.set('v', bytesOf('4')))
  t.deepEqual(reader.get('v'), bytesOf('3'))
})

test('what is removed is known, though others have written over it and nobody kept it', t => {
  const member = memberOf()
  const { view, open } = begun(member, bytesOf('2'))
  view.delete('v')
  member.sessions.commit(open().set('v', 'theirs'))
  t.truthy(member.sessions.commit(view, { merge: mineStays }))
  t.false(open().has('v'))
})

test('where values stay on their member none are lent', t => {
  const member = memberOf(undefined, { maxAttributeBytes: 5_000 })
  const { open } = begun(member, bytesOf('2'))
  member.sessions.commit(open().set('v', bytesOf('3')).set('mine', Buffer.alloc(10_000, 7)))
  t.deepEqual(open().get('v'), bytesOf('3'))
  t.deepEqual(open().get('mine'), Buffer.alloc(10_000, 7))
})

test('values are lent only where all that is written has just been encoded', t => {
  const member = memberOf()
  const { open } = begun(member, bytesOf('2'))
  const isLent = (options: CommitOptions): boolean => {
    member.sessions.commit(open().set('v', randomBytes(LARGE)), options)
    const last = member.sent.at(-1)
    const bytes = last?.kind === 'delta' ? last.delta.writes.get('v') : undefined
    return bytes !== undefined && scratch.chunkOf(bytes.buffer) !== undefined
  }
  for (const detect of ['set', 'modified'] as const) t.true(isLent({ detect }))
  for (const detect of ['get', 'all'] as const) t.false(isLent({ detect }))
  for (const merge of ['last-write', mineStays] as const) t.false(isLent({ merge }))
})

test('what turns out unchanged takes no shared memory', t => {
  const member = memberOf()
  const { open } = begun(member, bytesOf('2'))
  const view = open()
  let { at } = scratch.room(8)
  while (at > LARGE) ({ at } = scratch.room(8))
  t.deepEqual(view.get('v'), bytesOf('2'))
  t.is(member.sessions.commit(view.set('v', bytesOf('2'))), undefined)
  t.is(scratch.room(8).at, at + 8)
})

test('what was small before is no longer what a view compares with', t => {
  const member = memberOf()
  const { view, open } = begun(member, 'small')
  member.sessions.commit(view.set('v', bytesOf('2')))
  t.truthy(member.sessions.commit(view.set('v', 'small')))
  t.is(open().get('v'), 'small')
})

test('a small object that was read keeps what it is compared with, in memory of its own', t => {
  const member = memberOf()
  const { open } = begun(member, bytesOf('2'))
  // Both lie where they are written over.
  for (const n of [1, 2])
    member.sessions.commit(
      open()
        .set('o', { n })
        .set('p', { n })
        .set('v', bytesOf(String(n))),
    )
  const view = open()
  const [o, p] = [view.get<{ n: number }>('o'), view.get<{ n: number }>('p')]
  member.sessions.commit(view.set('v', bytesOf('3')))
  member.sessions.commit(open().set('o', { n: 4 }).set('v', bytesOf('4')))
  t.is(member.sessions.commit(view), undefined, 'it has changed nothing')
  t.is(view.get('o'), o)
  if (p !== undefined) p.n = 5
  t.truthy(member.sessions.commit(view))
  t.deepEqual([open().get('o'), open().get('p')], [{ n: 4 }, { n: 5 }])
})

test('a large object in hands keeps what it is compared with', t => {
  const member = memberOf()
  const { open } = begun(member, bytesOf('2'))
  member.sessions.commit(open().set('o', { text: 'o'.repeat(LARGE) }))
  const view = open()
  const mine = view.get<{ text: string }>('o') as { text: string }
  member.sessions.commit(view.set('v', bytesOf('3')))
  member.sessions.commit(open().set('o', { text: 'theirs'.repeat(LARGE) }))
  t.is(member.sessions.commit(view), undefined, 'it was only read')
  mine.text = 'm'.repeat(LARGE)
  t.truthy(member.sessions.commit(view))
  t.deepEqual(open().get('o'), mine)
})

test('a view whose write is refused, or whose session has ended, still has what it set', t => {
  const member = memberOf()
  const { view, open } = begun(member, bytesOf('2'))
  view.set('n'.repeat(300), 1).set('v', bytesOf('3'))
  t.throws(() => member.sessions.commit(view), { name: 'MessageTooLargeError' })
  t.deepEqual(view.get('v'), bytesOf('3'))
  t.deepEqual(open().get('v'), bytesOf('2'))
  view.delete('n'.repeat(300))
  t.truthy(member.sessions.commit(view))
  t.deepEqual(open().get('v'), bytesOf('3'))
  const late = open()
  open().invalidate()
  t.is(member.sessions.commit(late.set('w', bytesOf('4'))), undefined)
  t.deepEqual(late.get('v'), bytesOf('3'), 'as it was when it was loaded')
})

test('listeners may commit the same view, and others, amid a commit', t => {
  const member = memberOf()
  const { id, view, open } = begun(member, bytesOf('2'))
  let nested = 0
  member.sessions.on('largeAttribute', () => nested++)
  member.sessions.on('changed', () => {
    if (nested++ > 4) return
    member.sessions.commit(view)
    member.sessions.commit(open().set('more', bytesOf(String(nested % 10))))
  })
  member.sessions.commit(view.set('v', bytesOf('3')))
  t.true(nested > 4)
  t.deepEqual(member.sessions.find(id)?.get('v'), bytesOf('3'))
  t.deepEqual(new Set(member.sessions.find(id)?.get<Buffer>('more')).size, 1)
})

test('what values are lent in is held until the commit is over, however it ends', t => {
  const member = memberOf()
  const { view } = begun(member, bytesOf('2'))
  const held = (): number | undefined => scratch.chunkOf(scratch.latest.bytes.buffer)?.holders
  const heard: (number | undefined)[] = []
  member.sessions.on('changed', () => void heard.push(held()))
  member.sessions.commit(view.set('v', bytesOf('3')))
  t.deepEqual([...heard, held()], [1, 0])
  const broken = {
    get text(): string {
      throw new Error('not to be read')
    },
  }
  view.set('v', bytesOf('4')).set('broken', broken)
  t.throws(() => member.sessions.commit(view))
  t.is(held(), 0)
})
