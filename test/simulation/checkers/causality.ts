import { type Checker, Violation } from '../world.js'

/** The attribute whose value names the delta its writer had read. */
export const CAUSE = 'cause'

/** Invariant 6: whoever shows an effect has applied its cause. */
export function causality(): Checker {
  return {
    invariant: '6 causality',
    changed(node, { kind, key }) {
      if (kind === 'removed') return
      const cause = node.replica.attribute(key, CAUSE)
      if (cause === undefined) return
      const [origin = '', seq = ''] = Buffer.from(cause).toString().split('#')
      if ((node.replica.inspect(key)?.context.get(origin) ?? 0) < Number(seq)) {
        throw new Violation('6 causality', `${node.name} shows an effect on ${key} without its cause ${seq}`)
      }
    },
  }
}
