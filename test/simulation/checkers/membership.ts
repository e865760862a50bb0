import { type Checker, Violation, type World } from '../world.js'

/** Invariant 11: when quiet, everybody's view is everybody who lives, and nobody else. */
export function membership(): Checker {
  return {
    invariant: '11 membership',
    quiet(world) {
      const problem = wrongView(world)
      if (problem !== undefined) throw new Violation('11 membership', problem)
    },
  }
}

/** Whose view is wrong, or undefined. */
export function wrongView(world: World): string | undefined {
  const ids = world.live.map(({ id }) => id).sort()
  for (const { name, id, view } of world.live) {
    if ([...view, id].sort().join() !== ids.join())
      return `${name} sees ${view.length} others instead of ${ids.length - 1}`
  }
  return undefined
}
