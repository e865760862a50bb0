import type { MemberId } from './member.js'

/** 64 bits over the ids, whatever their order, as 16 hex digits: equal views have equal hashes (FNV-1a, two lanes). */
export function viewHash(ids: readonly MemberId[]): string {
  let low = 0x811c9dc5
  let high = 0xcbf29ce4
  for (const id of [...ids].sort()) {
    for (let at = 0; at < id.length; at++) {
      const code = id.charCodeAt(at)
      low = Math.imul(low ^ code, 0x01000193)
      high = Math.imul(high ^ code, 0x01000193 + 0x100)
    }
    low ^= 0x2c
    high = Math.imul(high ^ (low >>> 16), 0x85ebca6b)
  }
  return hex(high) + hex(low)
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0')
}
