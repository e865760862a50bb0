import type { Replica } from '../../../lib/replication/replica.js'
import type { Digest } from '../../../lib/replication/seen-set.js'
import { isClosed } from '../closings.js'
import { type Checker, Violation, type World } from '../world.js'

/** Invariant 1. Always: equal seen-sets, equal bucket hashes. When quiet: equal seen-sets and records. */
export function convergence(): Checker {
  return {
    invariant: '1 convergence',
    sample(world) {
      const byDigest = new Map<string, { readonly name: string; readonly hash: string; readonly replica: Replica }>()
      for (const { name, replica } of world.live) {
        const { divergences } = replica.stats()
        if (divergences > 0 && !world.overflowed)
          throw new Violation('1 convergence', `${name} repaired ${divergences} differences under equal seen-sets`)
        if (!replica.ready) continue
        const digest = digestText(replica.digest())
        const hash = JSON.stringify(replica.bucketHashes().filter(({ high, low }) => high !== 0 || low !== 0))
        const other = byDigest.get(digest)
        if (other === undefined) byDigest.set(digest, { name, hash, replica })
        else if (other.hash !== hash) {
          const difference = onlyIn(replica.canonicalRecords(), other.replica.canonicalRecords())
          const lines = [replica, other.replica].map(each => each.canonicalRecords())
          const unsure = new Set(
            lines
              .flat()
              .filter(line => isUncertain(line, replica, world))
              .map(keyOf),
          )
          const [ours = [], theirs = []] = lines.map(each => each.filter(line => !unsure.has(keyOf(line))))
          if (difference !== '' && onlyIn(ours, theirs) === '') {
            for (const key of unsure) world.excuse(this.invariant, key)
            continue
          }
          const what = `${name} and ${other.name} have seen the same and hold other records`
          throw new Violation('1 convergence', `${what}: ${difference}`)
        }
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

/**
 * Whether a record may have given way elsewhere, or has writes of a closed origin that only somebody may have who was
 * away for longer than members are remembered: a comparison brings them.
 */
function isUncertain(line: string, replica: Replica, world: World): boolean {
  if (world.mayBeForgotten(keyOf(line))) return true
  const writers = [...line.matchAll(/@([0-9a-f]{32})#/g)].map(([, origin = '']) => origin)
  return world.mayDiffer && writers.some(origin => isClosed(replica, origin))
}

/** The first records that only one side has. */
function onlyIn(left: readonly string[], right: readonly string[]): string {
  const [ours, theirs] = [new Set(left), new Set(right)]
  const lines = [
    ...left.filter(line => !theirs.has(line)).map(line => `+ ${line}`),
    ...right.filter(line => !ours.has(line)).map(line => `- ${line}`),
  ]
  return lines.slice(0, 4).join('; ')
}

function keyOf(line: string): string {
  return line.slice(0, line.indexOf(' '))
}
