import { type Checker, Violation } from '../world.js'

/** Invariant 4: a record leaves a member only because someone invalidated it or let it expire. */
export function vanish(): Checker {
  return {
    invariant: '4 vanish',
    changed(node, { kind, key }, world) {
      if (kind === 'removed' && !world.invalidated.has(key) && !world.expired.has(key)) {
        if (world.mayBeClosed(key)) return
        throw new Violation('4 vanish', `${node.name} dropped ${key}, which nobody invalidated and which never expired`)
      }
    },
  }
}
