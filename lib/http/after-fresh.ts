import type { SessionManager } from '../session/session-manager.js'

/**
 * Runs `run` at once, or as soon as the local copy has caught up after a stall of this process. Then what `run` throws
 * is an uncaught exception, as it would be from any other callback.
 */
export function afterFresh(sessions: Pick<SessionManager, 'whenFresh'>, run: () => void): void {
  const wait = sessions.whenFresh()
  if (wait === undefined) return run()
  // It may have stood still again; and outside the promise, where an error would be an unhandled rejection.
  void wait.then(() => process.nextTick(() => afterFresh(sessions, run)))
}

/** Fulfilled, never rejected, as soon as the local copy has caught up after a stall of this process. */
export async function freshened(sessions: Pick<SessionManager, 'whenFresh'>): Promise<void> {
  for (let wait = sessions.whenFresh(); wait !== undefined; wait = sessions.whenFresh()) await wait
}
