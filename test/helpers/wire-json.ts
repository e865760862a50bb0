import { createHash } from 'node:crypto'
import { SmallMap } from '../../lib/replication/small-map.js'

const LIST_MAX = 64

/**
 * A decoded message as JSON can carry it: bytes as hex, maps as lists, what is undefined as such, and of a long list its
 * length and SHA-256.
 */
export function wireJson(value: unknown): unknown {
  if (value === undefined) return { undefined: true }
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('hex') }
  if (isPacked(value)) return wireJson(value.snapshot())
  if (value instanceof Map || value instanceof SmallMap) return { map: [...value].map(pair => pair.map(wireJson)) }
  if (Array.isArray(value)) return value.length > LIST_MAX ? summed(value.map(wireJson)) : value.map(wireJson)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, wireJson(each)]))
  }
  return value
}

/** A record that is unpacked when somebody looks at it: what it holds counts, not how. */
function isPacked(value: unknown): value is { snapshot(): unknown } {
  return typeof (value as { snapshot?: unknown } | null)?.snapshot === 'function'
}

function summed(list: readonly unknown[]): unknown {
  return { length: list.length, sha256: createHash('sha256').update(JSON.stringify(list)).digest('hex') }
}
