import test from 'ava'
import type { MemberId } from '../../lib/membership/member.js'
import type { Dot } from '../../lib/replication/replica-contract.js'
import { convergence } from './checkers/convergence.js'
import type { Closing } from './closings.js'
import type { SimNode } from './sim-node.js'
import type { World } from './world.js'

const KEY = 'a#1'
/** Of an origin that both count as seen altogether, and of one that is open. */
const CLOSED: Dot = { origin: 'old', seq: 7 }
const OPEN: Dot = { origin: 'c', seq: 3 }
const WRONG = /have seen the same and hold other records/

/** One of two members that have seen the same. `context`: what its record has applied; undefined: it shows none. */
function node(name: MemberId, context?: ReadonlyMap<MemberId, number>): SimNode {
  const replica = {
    ready: true,
    stats: () => ({ divergences: 0, hashesWrong: 0 }),
    digest: () => [{ origin: 'c', base: 3, ranges: [] }],
    bucketHashes: () => [{ high: 0, low: context === undefined ? 0 : 1 }],
    canonicalRecords: () => (context === undefined ? [] : [`${KEY} "a"=1.0@a#1:00`]),
    inspect: () => context && { context },
    isUpholding: () => false,
    seen: (origin: MemberId, seq: number) => origin === 'old' || (origin === 'c' && seq <= 3),
  }
  return { id: name, name, replica } as unknown as SimNode
}

/** What the checker says of a record only one shows, after these expiries; undefined: it is excused. */
function judged(
  expiries: readonly Dot[],
  context: readonly [MemberId, number][],
  closing?: Exclude<Closing, 'rightly'>,
): string | undefined {
  const excuses: string[] = []
  const world = {
    now: 0,
    live: [node('b'), node('a', new Map(context))],
    expired: new Map(expiries.length > 0 ? [[KEY, 0]] : []),
    expiries: new Map([[KEY, expiries]]),
    wronglyClosed: (origin: MemberId) => (origin === 'old' ? closing : undefined),
    excuse: (_invariant: string, key: string, why: string) => excuses.push(`${key} ${why}`),
  } as unknown as World
  try {
    convergence().sample!(world)
    return excuses.join()
  } catch (error) {
    return (error as Error).message
  }
}

test('an expiry of an origin wrongly closed may hide a record only where it was merged', t => {
  t.is(judged([CLOSED], [], 'apart'), `${KEY} apart`)
  t.is(judged([CLOSED], [['c', 3]], 'unknown'), `${KEY} unknown`)
})

test('an expiry of an origin rightly closed may not, nor one that was merged, nor one of an open origin', t => {
  t.regex(judged([], [], 'apart')!, WRONG)
  t.regex(judged([CLOSED], [])!, WRONG)
  t.regex(judged([OPEN], [], 'apart')!, WRONG)
  t.regex(judged([CLOSED, OPEN], [], 'apart')!, WRONG)
})

test('who has merged the expiry shows the record because of a use that was closed with its origin', t => {
  t.is(judged([CLOSED], [['old', 7]], 'apart'), `${KEY} apart`)
  t.regex(judged([CLOSED], [['old', 7]])!, WRONG)
})
