import test from 'ava'
import { type MemberId, memberId } from '../../../lib/membership/member.js'
import { NO_WRITES } from '../../../lib/replication/delta.js'
import { DeltaApplier } from '../../../lib/replication/delta-applier.js'
import type { ReplicationMessage } from '../../../lib/replication/messages.js'
import { OriginRetirement } from '../../../lib/replication/origin-retirement.js'
import { Peers, rememberDigest } from '../../../lib/replication/peers.js'
import { resolveReplicaOptions } from '../../../lib/replication/replica-options.js'
import { ReplicaState } from '../../../lib/replication/replica-state.js'
import { SeenSet } from '../../../lib/replication/seen-set.js'
import { UpheldRemovals } from '../../../lib/replication/upheld-removals.js'

const START_MS = 1_700_000_000_000
const HOUR_MS = 3_600_000

/** A member, its one peer and a life of that peer's that is over. */
class Group {
  nowMs = 0
  readonly id = life(0)
  readonly old = life(1)
  readonly peer = life(2)
  readonly sent: ReplicationMessage[] = []
  readonly state: ReplicaState
  readonly peers: Peers
  readonly retirement: OriginRetirement
  renewed = 0

  constructor(options: object = {}) {
    const env = {
      id: this.id,
      name: 'a',
      send: (_to: unknown, message: ReplicationMessage): void => void this.sent.push(message),
      monotonic: (): number => this.nowMs,
      clusterTime: (): number => START_MS + this.nowMs,
      random: { uint32: (): number => 7 },
    }
    const input = { retireOriginAfterMs: 24 * HOUR_MS, ...options }
    this.state = new ReplicaState(env, resolveReplicaOptions(input), () => {})
    this.state.ready = true
    this.peers = new Peers({ id: this.id, name: 'a' })
    this.retirement = new OriginRetirement(this.state, this.peers, () => this.renewed++)
    this.peers.added(member(this.old), 0)
    this.peers.disappeared(this.old, false, 0)
    this.peers.added(member(this.peer), 0)
    this.state.seen.add(this.id, 1)
    this.state.seen.add(this.old, 1)
    this.agree()
  }

  /** The peer says what it has seen: the same. */
  agree(digest = this.state.seen.digest()): void {
    const peer = this.peers.get(this.peer)!
    rememberDigest(peer, digest)
    peer.origin = this.peer
    peer.membersHash = this.peers.hash
  }

  pass(ms: number): void {
    const untilMs = this.nowMs + ms
    while (this.nowMs < untilMs) {
      this.nowMs += 60_000
      this.peers.forget(this.nowMs, HOUR_MS)
      const peer = this.peers.get(this.peer)
      if (peer?.present === true) peer.membersHash = this.peers.hash
      this.retirement.tick()
    }
  }

  get isClosed(): boolean {
    return this.state.seen.isClosed(this.old)
  }
}

test('a life that was replaced is closed after its time, and nobody else', t => {
  const group = new Group()
  group.pass(23 * HOUR_MS)
  t.false(group.isClosed)
  group.pass(2 * HOUR_MS)
  t.true(group.isClosed)
  t.is(group.state.counters.originsClosed, 1)
  t.false(group.state.seen.isClosed(group.peer))
  t.false(group.state.seen.isClosed(group.id))
  t.deepEqual(group.retirement.ended(), [])
})

test('a life is not closed while one of its records is held', t => {
  const group = new Group()
  const key = `${group.old}#2`
  const stamp = { wallMs: START_MS, counter: 0, origin: group.old, seq: 2 }
  const removals = new UpheldRemovals(group.state, group.peers, () => t.fail())
  const applier = new DeltaApplier(group.state, () => {}, removals)
  t.is(applier.apply({ kind: 'create', key, stamp, deps: [], writes: NO_WRITES }, 'remote'), 'done')
  group.agree()
  group.pass(48 * HOUR_MS)
  t.false(group.isClosed)
  group.state.remove(key, 'invalidated', 'remote')
  group.pass(2 * HOUR_MS)
  t.true(group.isClosed)
})

test('a life that only disappeared is not closed', t => {
  const group = new Group()
  const lost = life(3)
  group.peers.added({ ...member(lost), name: 'c' }, 0)
  group.state.seen.add(lost, 1)
  group.agree()
  group.peers.disappeared(lost, false, 0)
  group.pass(72 * HOUR_MS)
  t.true(group.isClosed)
  t.false(group.state.seen.isClosed(lost))
})

const UNSURE: readonly (readonly [string, (group: Group) => void])[] = [
  ['the peer is away', group => group.peers.disappeared(group.peer, false, group.nowMs)],
  ['the peer does not know of closed origins', group => void (group.peers.get(group.peer)!.origin = undefined)],
  ['the peer had seen more', group => group.agree(SeenSet.from([{ origin: group.old, base: 2, ranges: [] }]).digest())],
  ['the peer had seen less', group => group.agree([])],
  ['something has been left out', group => void (group.state.incomplete = true)],
]

for (const [what, change] of UNSURE) {
  test(`nothing is closed when ${what}`, t => {
    const group = new Group()
    change(group)
    group.pass(24.5 * HOUR_MS - (what === 'the peer is away' ? 24 * HOUR_MS : 0))
    t.false(group.isClosed)
  })
}

test('a peer that has not said under which origin it writes is asked', t => {
  const group = new Group()
  group.peers.get(group.peer)!.origin = undefined
  group.pass(25 * HOUR_MS)
  t.true(group.sent.some(({ kind }) => kind === 'askDigest'))
})

test('a life that only disappeared is not closed in passing, even if it is forgotten and had written nothing', t => {
  const group = new Group()
  const idle = life(3)
  group.peers.added({ ...member(idle), name: 'c' }, 0)
  group.pass(20 * HOUR_MS)
  group.peers.disappeared(idle, false, group.nowMs)
  group.state.seen.add(life(4), 1)
  group.agree()
  const newcomer = new Group()
  newcomer.nowMs = group.nowMs
  const { digest, open } = { digest: group.state.seen.digest(), open: group.state.seen.unwritten() }
  newcomer.retirement.inherit({ digest, open, ended: [{ origin: life(4), ageMs: 23 * HOUR_MS }] })
  group.retirement.inherit({ digest: [], ended: [{ origin: life(4), ageMs: 23 * HOUR_MS }] })
  newcomer.state.seen.add(life(4), 1)
  newcomer.agree()
  for (const one of [group, newcomer]) {
    one.pass(6 * HOUR_MS)
    const { state } = one
    t.true(state.seen.isClosed(life(4)))
    t.false(state.seen.isClosed(idle))
    t.false(state.seen.has(idle, 1))
  }
})

test('lives that wrote nothing count among the origins, and give way first', t => {
  const group = new Group({ originsMax: 4 })
  for (let n = 10; n < 20; n++) {
    group.peers.added({ ...member(life(n)), name: `n${n}` }, group.nowMs)
    group.retirement.tick()
    group.peers.disappeared(life(n), false, group.nowMs)
    group.pass(60_000)
  }
  group.pass(2 * HOUR_MS)
  t.true(group.state.seen.size <= 4, String(group.state.seen.size))
})

test('a newcomer goes on waiting where those before it were', t => {
  const group = new Group()
  const newcomer = new Group()
  group.pass(20 * HOUR_MS)
  newcomer.nowMs = group.nowMs
  newcomer.retirement.inherit({ digest: [], ended: group.retirement.ended() })
  newcomer.pass(5 * HOUR_MS)
  t.true(newcomer.isClosed)
})

test('beyond originsMax lives that are over are closed at once, the oldest first', t => {
  const group = new Group({ originsMax: 4 })
  const lives = [10, 11, 12, 13].map(life)
  for (const [index, id] of lives.entries()) {
    group.nowMs = (index + 1) * 60_000
    if (index > 0) group.peers.disappeared(lives[index - 1]!, false, group.nowMs)
    group.peers.added({ ...member(id), name: 'd' }, group.nowMs)
    group.state.seen.add(id, 1)
  }
  group.peers.disappeared(lives[3]!, true, group.nowMs)
  group.agree()
  group.pass(2 * HOUR_MS)
  t.true(group.state.seen.size <= 4, String(group.state.seen.size))
  t.true(group.isClosed)
  t.true(group.state.counters.originsOverflowed > 0)
  t.false(group.state.seen.isClosed(lives[3]!))
})

test('what another member closed is closed here after a comparison, and also who has never heard of it compares', t => {
  const group = new Group()
  const other = SeenSet.from(group.state.seen.digest())
  other.open(group.peer)
  other.close([group.old])
  t.false(group.retirement.met(other.digest()))
  t.false(group.isClosed)
  group.state.seen.claim(other.digest())
  t.true(group.retirement.met(other.digest()))
  t.true(group.isClosed)
  t.is(group.renewed, 0)
  const stranger = new SeenSet()
  stranger.open(group.peer)
  stranger.open(group.id)
  stranger.close([life(3)])
  t.false(group.retirement.met(stranger.digest()))
  group.state.seen.claim(stranger.digest())
  t.true(group.retirement.met(stranger.digest()))
})

test('whose own origin was closed goes on under a later one', t => {
  const group = new Group()
  const other = new SeenSet()
  other.add(life(5), 1)
  other.close([life(5)])
  group.state.issued = 9
  group.retirement.inherit({ digest: other.digest() })
  t.is(group.renewed, 1)
  t.not(group.state.origin, group.id)
  t.is(group.state.issued, 0)
  t.false(other.isClosed(group.state.origin))
  group.retirement.inherit({ digest: other.digest() })
  t.is(group.renewed, 1)
})

test("a mark far ahead of the clock is nobody's to set", t => {
  const group = new Group()
  const digest = Object.assign([], { closedBeforeMs: START_MS + HOUR_MS })
  t.true(group.retirement.met(digest))
  group.retirement.inherit({ digest })
  t.is(group.renewed, 0)
  t.is(group.state.seen.closedBeforeMs, 0)
})

test('lives that are over are few in a digest, whatever their number', t => {
  const peers = new Peers({ id: life(0), name: 'a' })
  for (let i = 1; i <= 400; i++) {
    peers.disappeared(life(i - 1), false, i)
    peers.added(member(life(i)), i)
    peers.forget(i, HOUR_MS)
  }
  t.is(peers.known(400).length, 257)
  t.is(peers.known(400).find(({ id }) => id === life(399))?.awayMs, 1)
  t.is(peers.get(life(1)), undefined)
})

test('absent members are bounded', t => {
  const peers = new Peers({ id: life(0), name: 'a' })
  for (let i = 1; i <= 4_100; i++) {
    peers.added({ ...member(life(i)), name: `n${i}` }, i)
    peers.disappeared(life(i), false, i)
  }
  peers.forget(4_100, HOUR_MS)
  t.is(peers.known(4_100).length, 4_096)
  t.is(peers.get(life(4)), undefined)
})

function life(n: number): MemberId {
  const random = new Uint8Array(10)
  random[8] = n >> 8
  random[9] = n & 255
  return memberId(START_MS - 5_000 + n, random)
}

function member(id: MemberId): { id: MemberId; name: string; host: string; port: number } {
  return { id, name: 'b', host: '127.0.0.1', port: 4_000 }
}
