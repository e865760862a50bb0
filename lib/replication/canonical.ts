import type { ReplicaRecord } from './record.js'

/** A record as text, equal wherever it has converged: attributes with stamps and bytes; no context, no access. */
export function canonicalRecord(record: ReplicaRecord): string {
  const names = [...record.attributes.keys()].sort()
  const parts = names.map(name => {
    const { stamp, value } = record.attributes.get(name)!
    const bytes = value === undefined ? '-' : hexOf(value)
    return `${JSON.stringify(name)}=${stamp.wallMs}.${stamp.counter}@${stamp.origin}#${stamp.seq}:${bytes}`
  })
  return `${record.key} ${parts.join(' ')}`
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
}
