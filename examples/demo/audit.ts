import { setTimeout as delay } from 'node:timers/promises'
import type { NodeHandle } from './fleet.js'
import { type Client, missing, sessionId } from './load.js'
import type { CartState } from './protocol.js'

const SETTLE_WITHIN_MS = 5_000
const RETRY_MS = 200

/** What the nodes hold, compared with what the clients were told. */
export interface AuditResult {
  /** Clients whose session at least one node does not have. */
  readonly lostSessions: number
  /** Acknowledged writes that at least one node does not have (the worst node of each client counts). */
  readonly lostWrites: number
  /** Sessions whose copies differ between nodes. */
  readonly unequal: number
  /** How long the copies took to become equal after the last write, in milliseconds; undefined: they did not. */
  readonly settledMs: number | undefined
}

/** Asks every node, past the balancer, for every session, until the copies are equal or the time is up. */
export async function audit(nodes: readonly NodeHandle[], clients: readonly Client[]): Promise<AuditResult> {
  const startedAt = Date.now()
  for (;;) {
    const askedAt = Date.now()
    const copies = await Promise.all(nodes.map(node => ask(node, clients)))
    const result = compare(copies, clients)
    const equal = result.lostSessions + result.lostWrites + result.unequal === 0
    if (equal) return { ...result, settledMs: askedAt - startedAt }
    if (Date.now() - startedAt > SETTLE_WITHIN_MS) return { ...result, settledMs: undefined }
    await delay(RETRY_MS)
  }
}

async function ask(node: NodeHandle, clients: readonly Client[]): Promise<Record<string, CartState>> {
  const ids = clients.flatMap(client => sessionId(client) ?? [])
  const response = await fetch(`http://127.0.0.1:${node.debugPort}/sessions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(ids),
  })
  if (!response.ok) throw new Error(`${node.name} answered the audit with ${response.status}`)
  return (await response.json()) as Record<string, CartState>
}

function compare(
  copies: readonly Record<string, CartState>[],
  clients: readonly Client[],
): Omit<AuditResult, 'settledMs'> {
  let lostSessions = 0
  let lostWrites = 0
  let unequal = 0
  for (const client of clients) {
    const id = sessionId(client)
    if (id === undefined || client.acknowledged.length === 0) continue
    const found = copies.map(copy => copy[id])
    if (found.some(state => state === undefined)) {
      lostSessions++
      continue
    }
    lostWrites += Math.max(...found.map(state => (state ? missing(client.acknowledged, state).length : 0)))
    if (new Set(found.map(state => JSON.stringify([state?.count, state?.cart, state?.steps]))).size > 1) unequal++
  }
  return { lostSessions, lostWrites, unequal }
}
