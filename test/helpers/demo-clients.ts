import { setTimeout as delay } from 'node:timers/promises'
import type { Load, LoadOptions } from '../../examples/demo/load.js'

const STARTED_WITHIN_MS = 15_000

/**
 * A connection for each request: balancers close idle ones when they like, at a reload for instance. A browser sends
 * again what met such an end; these clients do not, and what they count is to be the nodes' doing.
 */
export const LOAD: LoadOptions = { thinkMs: [400, 800], reads: 0.4, keepAlive: false }

/** Waits until every client has a session. */
export async function allStarted(load: Load): Promise<void> {
  for (const deadline = Date.now() + STARTED_WITHIN_MS; load.started < load.clients.length; ) {
    if (Date.now() > deadline) {
      const reasons = [...load.reasons].map(([reason, count]) => `${count} x ${reason}`).join(', ')
      throw new Error(`Only ${load.started} clients got a session in ${STARTED_WITHIN_MS} ms: ${reasons}`)
    }
    await delay(100)
  }
}
