import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below the ephemeral ports, which any outgoing connection may take in the meantime. */
export const PORT_MIN = 20_000
/** From here on {@link freePort} chooses; below, receivers of members may listen, which take the next that is free. */
export const FREE_PORT_MIN = 25_000
/** The first port that is not used any more. */
export const PORT_MAX = 30_000

const TRIES_MAX = 50

/** A port of 127.0.0.1 that nobody listens on now; random, so that two runs at once rarely meet. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const port = randomInt(FREE_PORT_MIN, PORT_MAX)
    if (await isFree(port)) return port
  }
  throw new Error(`No free port between ${FREE_PORT_MIN} and ${PORT_MAX}`)
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  server.listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
    server.close()
    await once(server, 'close')
    return true
  } catch {
    return false
  }
}
