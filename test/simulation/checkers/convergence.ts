import type { MemberId } from '../../../lib/membership/member.js'
import type { Replica } from '../../../lib/replication/replica.js'
import type { RecordKey, Stamp } from '../../../lib/replication/replica-contract.js'
import type { Digest } from '../../../lib/replication/seen-set.js'
import { compareStamps } from '../../../lib/replication/stamp.js'
import { isClosed } from '../closings.js'
import type { SimNode } from '../sim-node.js'
import { type Checker, Violation, type World } from '../world.js'

/** A repair follows what was seen so lately: members wait for a second, to be sure that it stays. */
const REPAIR_WITHIN_MS = 2_000

interface Excuse {
  readonly key: RecordKey
  readonly why: string
}

/**
 * Invariant 1. Always: equal seen-sets, equal bucket hashes. When quiet: equal seen-sets and records.
 *
 * Excused are writes of an origin that was closed by members who could not know of them: they count as seen everywhere,
 * so only comparisons bring them to those who lack them, and a member that notices and asks for one does as it should.
 * Left out until then are records whose end somebody is about to tell, when its turn comes.
 */
export function convergence(): Checker {
  /** What was last excused at a member, and its repairs so far. */
  const excused = new Map<MemberId, Excuse & { readonly atMs: number }>()
  const repaired = new Map<MemberId, number>()
  return {
    invariant: '1 convergence',
    sample(world) {
      const groups = new Map<string, SimNode[]>()
      for (const node of world.live) {
        const { id, name, replica } = node
        const { divergences, hashesWrong } = replica.stats()
        if (hashesWrong > 0) throw new Violation('1 convergence', `${name} was told ${hashesWrong} wrong hashes`)
        if (divergences > (repaired.get(id) ?? 0)) {
          const excuse = excused.get(id)
          if (excuse === undefined || world.now - excuse.atMs > REPAIR_WITHIN_MS)
            throw new Violation('1 convergence', `${name} repaired ${divergences} differences under equal seen-sets`)
          world.excuse('1 convergence', excuse.key, `${excuse.why}, repaired`)
          repaired.set(id, divergences)
        }
        if (!replica.ready) continue
        const digest = digestText(replica.digest())
        const group = groups.get(digest)
        if (group === undefined) groups.set(digest, [node])
        else group.push(node)
      }
      for (const nodes of groups.values()) {
        const excuse = excuseOf(nodes, world)
        if (excuse === undefined) continue
        world.excuse('1 convergence', excuse.key, excuse.why)
        for (const { id } of nodes) excused.set(id, { ...excuse, atMs: world.now })
      }
    },
    quiet(world) {
      const problem = disagreement(world)
      if (problem !== undefined) throw new Violation('1 convergence', problem)
    },
  }
}

/** Why the live members are not yet equal, or undefined. */
export function disagreement(world: World): string | undefined {
  const [first, ...others] = world.live
  if (first === undefined) return 'nobody lives'
  for (const { name, replica } of world.live) if (!replica.ready) return `${name} is not ready`
  const digest = digestText(first.replica.digest())
  for (const { name, replica } of others)
    if (digestText(replica.digest()) !== digest) return `${name} has seen other deltas than ${first.name}`
  const records = first.replica.canonicalRecords().join('\n')
  for (const { name, replica } of others) {
    if (replica.canonicalRecords().join('\n') !== records) return `${name} holds other records than ${first.name}`
  }
  return undefined
}

function digestText(digest: Digest): string {
  const entries = digest.map(({ origin, base, ranges }) => `${origin}:${base}:${ranges.join('/')}`)
  return `${entries.join(' ')} closed ${digest.closedBeforeMs ?? 0}`
}

/** Why members that have seen the same hold other records; undefined: they do not. */
function excuseOf([first, ...others]: readonly SimNode[], world: World): Excuse | undefined {
  let excuse: Excuse | undefined
  for (const { name, replica } of others) {
    if (hashOf(replica) === hashOf(first!.replica)) continue
    for (const [ours, theirs] of differences(replica.canonicalRecords(), first!.replica.canonicalRecords())) {
      const key = keyOf(ours ?? theirs!)
      if ((ours === undefined || theirs === undefined) && isUpheld(key, world)) continue
      const holder = ours === undefined ? first!.replica : replica
      const why =
        ours === undefined || theirs === undefined
          ? (silentUse(key, holder, world) ?? silentExpiry(key, holder, world))
          : silentWrites(ours, theirs, replica, world)
      if (why === undefined) {
        const what = `${name} and ${first!.name} have seen the same and hold other records`
        throw new Violation('1 convergence', `${what}: ${ours ?? 'none'} and ${theirs ?? 'none'}`)
      }
      excuse = { key, why }
    }
  }
  return excuse
}

/** Whether somebody is about to tell of a record's end: whoever has seen the same will then have seen less. */
function isUpheld(key: RecordKey, world: World): boolean {
  return world.live.some(({ replica }) => replica.isUpholding(key))
}

function hashOf(replica: Replica): string {
  return JSON.stringify(replica.bucketHashes().filter(({ high, low }) => high !== 0 || low !== 0))
}

/** The records that differ; undefined where only the other side has one. */
function differences(left: readonly string[], right: readonly string[]): [string | undefined, string | undefined][] {
  const [ours, theirs] = [left, right].map(lines => new Map(lines.map(line => [keyOf(line), line])))
  const keys = new Set([...ours!.keys(), ...theirs!.keys()])
  return [...keys]
    .map((key): [string | undefined, string | undefined] => [ours!.get(key), theirs!.get(key)])
    .filter(([our, their]) => our !== their)
}

/** Why only one shows a record that expired: what shows it there is of an origin wrongly closed. */
function silentUse(key: RecordKey, holder: Replica, world: World): string | undefined {
  if (!world.expired.has(key)) return undefined
  for (const origin of holder.inspect(key)?.context.keys() ?? [])
    if (isClosed(holder, origin)) return world.wronglyClosed(origin)
  return undefined
}

/** The same, the other way round: every expiry it counts as seen and never had is of an origin wrongly closed. */
function silentExpiry(key: RecordKey, holder: Replica, world: World): string | undefined {
  const context = holder.inspect(key)?.context
  let why: string | undefined
  for (const { origin, seq } of world.expiries.get(key) ?? []) {
    if ((context?.get(origin) ?? 0) >= seq || !holder.seen(origin, seq)) continue
    why = isClosed(holder, origin) ? world.wronglyClosed(origin) : undefined
    if (why === undefined) return undefined
  }
  return why
}

/** Why two copies of a record may differ: in all that does, the later write is of an origin wrongly closed. */
function silentWrites(ours: string, theirs: string, replica: Replica, world: World): string | undefined {
  const [left, right] = [stampsOf(ours), stampsOf(theirs)]
  let why: string | undefined
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    const [one, other] = [left.get(name), right.get(name)]
    if (one !== undefined && other !== undefined && compareStamps(one, other) === 0) continue
    const later = other === undefined || (one !== undefined && compareStamps(one, other) > 0) ? one! : other
    why = isClosed(replica, later.origin) ? world.wronglyClosed(later.origin) : undefined
    if (why === undefined) return undefined
  }
  return why
}

/** The stamp of each attribute in a canonical record. */
function stampsOf(line: string): Map<string, Stamp> {
  const stamps = new Map<string, Stamp>()
  for (const [, name = '', wallMs, counter, origin = '', seq] of line.matchAll(/ ("\S*")=(\d+)\.(\d+)@(\w+)#(\d+):/g))
    stamps.set(name, { wallMs: Number(wallMs), counter: Number(counter), origin, seq: Number(seq) })
  return stamps
}

function keyOf(line: string): string {
  return line.slice(0, line.indexOf(' '))
}
