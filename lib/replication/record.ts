import type { MemberId } from '../membership/member.js'
import type { AttributeState, Context, Delta, RecordSnapshot } from './delta.js'
import { attributeMix, type Hash64, keyMix, limitMix, presenceMix, xor } from './mix.js'
import type { RecordKey, Stamp } from './replica-contract.js'
import { type AccessStamp, compareAccess, compareStamps, NEVER } from './stamp.js'

/** Lives a record's context remembers; forgetting the oldest costs a fetch, never safety. */
export const CONTEXT_MAX = 64

const NO_NAMES: string[] = []

/** An attribute with its part in the record's hash, kept because the next write takes it out again. */
interface HeldAttribute extends AttributeState {
  /** Undefined until somebody asks for the hash: of many writes in between only the last is mixed in. */
  mix: Hash64 | undefined
}

/**
 * One replicated record: a map of attributes in which the larger stamp wins, removals included. Joining is idempotent,
 * commutative and associative (context beyond its bound aside), so deltas and snapshots merge in any order. Access is
 * joined too, but is no part of the hash: it is announced loosely. An expiry only raises the limit: the record goes on
 * merging out of sight, and a use later than the limit shows it again, whole.
 */
export class ReplicaRecord {
  readonly key: RecordKey
  readonly bucket: number
  readonly attributes: Map<string, HeldAttribute> = new Map()
  readonly context: Map<MemberId, number> = new Map()
  access: AccessStamp = NEVER
  /** The latest use an expiry has judged too old. */
  limit: AccessStamp = NEVER
  /** Local monotonic time of the last use known. */
  usedAtMs: number
  /** Local monotonic time of the last use the others have been told of. */
  announcedAtMs: number
  /** When its idleness is to be looked at again; see DueWheel. */
  dueSlot = 0
  /** Whether it was asked for since RecordTable last looked, and its place in that table's list. */
  used = true
  place = -1
  /** Names and live values, in bytes. */
  bytes = 0
  /** The hash that BucketIndex counts, while it has not looked at what changed since. */
  counted: Hash64 | undefined
  #hash: Hash64
  /** Whether attributes are missing in the hash. */
  #unmixed = false
  #mix: Hash64 | undefined
  /** The member whose dot was applied last. */
  #lastOrigin: MemberId = ''

  constructor(key: RecordKey, bucket: number, nowMs: number) {
    this.key = key
    this.bucket = bucket
    this.usedAtMs = nowMs
    this.announcedAtMs = nowMs
    this.#hash = presenceMix(key)
  }

  /** What copies of the record are compared by. */
  get hash(): Hash64 {
    if (this.#unmixed) {
      for (const [name, attribute] of this.attributes) {
        if (attribute.mix !== undefined) continue
        attribute.mix = attributeMix(this.#keyMix, name, attribute.stamp)
        this.#hash = xor(this.#hash, attribute.mix)
      }
      this.#unmixed = false
    }
    return this.#hash
  }

  /** Whether it has not been used since it was judged. */
  get isExpired(): boolean {
    return this.limit.wallMs > 0 && compareAccess(this.access, this.limit) <= 0
  }

  /** Whether every dot of `deps` was applied to this record. */
  satisfies(deps: Context): boolean {
    for (const [origin, seq] of deps) if ((this.context.get(origin) ?? 0) < seq) return false
    return true
  }

  /** Merges a delta; the names whose value is now another. */
  applyDelta(delta: Delta): string[] {
    let changed: string[] = NO_NAMES
    for (const [name, value] of delta.writes) {
      if (!this.#set(name, delta.stamp, value)) continue
      // A literal: a list that grows makes room for seventeen, and most have one.
      if (changed.length === 0) changed = [name]
      else changed.push(name)
    }
    this.#extend(delta.stamp.origin, delta.stamp.seq)
    if (delta.limit !== undefined) this.#judge(delta.limit)
    return changed
  }

  /** Joins a whole record into this one; the names whose value is now another. */
  join(snapshot: RecordSnapshot, nowMs: number): string[] {
    const changed: string[] = []
    for (const [name, { stamp, value }] of snapshot.attributes) if (this.#set(name, stamp, value)) changed.push(name)
    for (const [origin, seq] of snapshot.context) this.#extend(origin, seq)
    this.#judge(snapshot.limit)
    this.use(snapshot.access, snapshot.ageMs, nowMs)
    return changed
  }

  /** Takes over a later use; `false` when it is not later. */
  use(access: AccessStamp, ageMs: number, nowMs: number): boolean {
    if (compareAccess(access, this.access) <= 0) return false
    this.access = access
    this.usedAtMs = Math.max(this.usedAtMs, nowMs - ageMs)
    this.announcedAtMs = Math.max(this.announcedAtMs, this.usedAtMs)
    return true
  }

  snapshot(nowMs: number): RecordSnapshot {
    return {
      key: this.key,
      attributes: [...this.attributes],
      context: [...this.context],
      access: this.access,
      ageMs: Math.max(0, Math.floor(nowMs - this.usedAtMs)),
      limit: this.limit,
    }
  }

  value(name: string): Uint8Array | undefined {
    return this.attributes.get(name)?.value
  }

  stamp(name: string): Stamp | undefined {
    return this.attributes.get(name)?.stamp
  }

  /** The attributes that have a value. */
  live(): Map<string, Uint8Array> {
    const result = new Map<string, Uint8Array>()
    for (const [name, { value }] of this.attributes) if (value !== undefined) result.set(name, value)
    return result
  }

  get #keyMix(): Hash64 {
    this.#mix ??= keyMix(this.key)
    return this.#mix
  }

  #judge(limit: AccessStamp): void {
    if (compareAccess(limit, this.limit) <= 0) return
    this.#hash = xor(xor(this.#hash, limitMix(this.#keyMix, this.limit)), limitMix(this.#keyMix, limit))
    this.limit = limit
  }

  #set(name: string, stamp: Stamp, value: Uint8Array | undefined): boolean {
    const before = this.attributes.get(name)
    if (before !== undefined && compareStamps(stamp, before.stamp) <= 0) return false
    if (before !== undefined) {
      if (before.mix !== undefined) this.#hash = xor(this.#hash, before.mix)
      this.bytes -= name.length + (before.value?.length ?? 0)
    }
    this.#unmixed = true
    this.bytes += name.length + (value?.length ?? 0)
    this.attributes.set(name, value === undefined ? { stamp, mix: undefined } : { stamp, value, mix: undefined })
    return before?.value !== undefined || value !== undefined
  }

  #extend(origin: MemberId, seq: number): void {
    const before = this.context.get(origin) ?? 0
    if (seq < before) return
    // Moved to the end, the place of the youngest, unless it is there.
    if (origin !== this.#lastOrigin) this.context.delete(origin)
    this.#lastOrigin = origin
    this.context.set(origin, seq)
    if (this.context.size <= CONTEXT_MAX) return
    for (const oldest of this.context.keys()) {
      this.context.delete(oldest)
      break
    }
  }
}

/** What a write to a record, if there is one, builds on: its context as it is now. */
export function depsOf(record: ReplicaRecord | undefined): Context {
  let deps: (readonly [MemberId, number])[] = NO_DEPS
  if (record === undefined) return deps
  for (const dot of record.context) {
    if (deps.length === 0) deps = [dot]
    else deps.push(dot)
  }
  return deps
}

const NO_DEPS: (readonly [MemberId, number])[] = []
