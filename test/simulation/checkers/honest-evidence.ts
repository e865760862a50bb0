import { type Checker, Violation } from '../world.js'

/** Invariant 7: a receipt that says met is backed by so many other lives that had applied. */
export function honestEvidence(): Checker {
  return {
    invariant: '7 honest evidence',
    settled({ dot, key }, { outcome, wanted }, writer, world) {
      if (outcome !== 'met' || wanted === 0) return
      const applied = world.nodes.filter(node => node !== writer && node.replica.seen(dot.origin, dot.seq)).length
      if (applied < wanted)
        throw new Violation(
          '7 honest evidence',
          `${applied} instead of ${wanted} had applied delta ${dot.seq} on ${key}`,
        )
    },
  }
}
