import type { Clock } from '../runtime/runtime.js'

/** The clocks by which sessions live. */
export interface SessionClocks {
  readonly clock: Clock
  /** Milliseconds of cluster time, which no step of one host's clock moves. Default: the wall clock's. */
  readonly clusterMs?: () => number
}

/** What tells cluster time. */
export function clusterTimeOf({ clock, clusterMs }: SessionClocks): () => number {
  return clusterMs ?? (() => clock.wall())
}
