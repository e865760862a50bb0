import type { Replica } from '../../../lib/replication/replica.js'
import type { Digest } from '../../../lib/replication/seen-set.js'
import { type Checker, Violation, type World } from '../world.js'

/** Invariant 1. Always: equal seen-sets, equal bucket hashes. When quiet: equal seen-sets and records. */
export function convergence(): Checker {
  return {
    invariant: '1 convergence',
    sample(world) {
      const byDigest = new Map<string, { readonly name: string; readonly hash: string; readonly replica: Replica }>()
      for (const { name, replica } of world.live) {
        const { divergences } = replica.stats()
        if (divergences > 0 && !world.nodes.some(node => node.replica.stats().expiriesOverflowed > 0))
          throw new Violation('1 convergence', `${name} repaired ${divergences} differences under equal seen-sets`)
        if (!replica.ready) continue
        const digest = digestText(replica.digest())
        const hash = JSON.stringify(replica.bucketHashes().filter(({ high, low }) => high !== 0 || low !== 0))
        const other = byDigest.get(digest)
        if (other === undefined) byDigest.set(digest, { name, hash, replica })
        else if (other.hash !== hash) {
          const difference = onlyIn(replica.canonicalRecords(), other.replica.canonicalRecords())
          if (difference !== '' && onlyIn(certain(replica, world), certain(other.replica, world)) === '') continue
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
  return digest.map(({ origin, base, ranges }) => `${origin}:${base}:${ranges.join('/')}`).join(' ')
}

/** A replica's records without those that may have given way elsewhere. */
function certain(replica: Replica, world: World): string[] {
  return replica.canonicalRecords().filter(line => !world.mayBeForgotten(line.slice(0, line.indexOf(' '))))
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
