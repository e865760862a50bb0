import type { MemberId } from '../membership/member.js'
import { AttributeList, type AttributeSnapshot } from './attribute-list.js'
import { decodeNumber } from './attribute-text.js'
import { type Context, type Delta, lastOf, NO_CONTEXT, type RecordSnapshot } from './delta.js'
import { attributeMix, type Hash64, keyMix, limitMix, presenceMix, xor } from './mix.js'
import type { RecordKey, Stamp } from './replica-contract.js'
import { type AccessStamp, compareAccess, compareStamps, NEVER } from './stamp.js'

/** Lives a record's context remembers; forgetting the oldest costs a fetch, never safety. */
export const CONTEXT_MAX = 64

const NO_NAMES: string[] = []

/**
 * One replicated record: a map of attributes in which the larger stamp wins, removals included. Joining is idempotent,
 * commutative and associative (context beyond its bound aside), so deltas and snapshots merge in any order. Access is
 * joined too, but is no part of the hash: it is announced loosely. An expiry only raises the limit: the record goes on
 * merging out of sight, and a use later than the limit shows it again, whole.
 */
export class ReplicaRecord {
  readonly key: RecordKey
  readonly bucket: number
  readonly attributes: AttributeList = new AttributeList()
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
  #context: Context = NO_CONTEXT
  /** The only dot of the context, while nobody has been given that: it is changed where it is, as most deltas do. */
  #ownDot: [origin: MemberId, seq: number] | undefined

  constructor(key: RecordKey, bucket: number, nowMs: number) {
    this.key = key
    this.bucket = bucket
    this.usedAtMs = nowMs
    this.announcedAtMs = nowMs
    this.#hash = presenceMix(key)
  }

  /** What it has applied, the youngest last. It stays as it is, so that a delta may hold on to it. */
  get context(): Context {
    this.#ownDot = undefined
    return this.#context
  }

  /** What copies of the record are compared by. */
  get hash(): Hash64 {
    if (this.#unmixed) {
      for (const attribute of this.attributes.cells) {
        if (attribute.mix !== undefined) continue
        attribute.mix = attributeMix(this.#keyMix, attribute.name, attribute.stamp)
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
    for (const dep of deps) if (!this.hasApplied(dep[0], dep[1])) return false
    return true
  }

  /** Whether a dot was applied to this record. */
  hasApplied(origin: MemberId, seq: number): boolean {
    return seq <= lastOf(this.#context, origin)
  }

  /** Merges a delta; the names whose value is now another. */
  applyDelta(delta: Delta): string[] {
    let changed: string[] = NO_NAMES
    const { stamp, writes } = delta
    const isLent = delta.isLent === true
    for (let place = 0; place < writes.size; place++) {
      const name = writes.nameAt(place)
      if (!this.#set(name, stamp, writes.valueAt(place), isLent)) continue
      // A literal: a list that grows makes room for seventeen, and most have one.
      if (changed.length === 0) changed = [name]
      else changed.push(name)
    }
    this.#extend(stamp.origin, stamp.seq)
    if (delta.limit !== undefined) this.#judge(delta.limit)
    return changed
  }

  /** Joins a whole record into this one; the names whose value is now another. */
  join(snapshot: RecordSnapshot, nowMs: number): string[] {
    const changed: string[] = []
    for (const [name, { stamp, value }] of snapshot.attributes)
      if (this.#set(name, stamp, value, false)) changed.push(name)
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
      context: this.context,
      access: plain(this.access),
      ageMs: Math.max(0, Math.floor(nowMs - this.usedAtMs)),
      limit: this.limit,
    }
  }

  /** To be looked at only now. */
  value(name: string): Uint8Array | undefined {
    return this.attributes.get(name)?.value
  }

  /** The number that a value says, 0 without one. */
  number(name: string): number {
    const bytes = this.value(name)
    return bytes === undefined ? 0 : decodeNumber(bytes)
  }

  /** A value that stays as it is. */
  lend(name: string): Uint8Array | undefined {
    return this.attributes.lend(name)
  }

  stamp(name: string): Stamp | undefined {
    return this.attributes.get(name)?.stamp
  }

  /** The attributes that have a value, as they are now and stay. */
  live(): AttributeSnapshot {
    return this.attributes.snapshot()
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

  #set(name: string, stamp: Stamp, value: Uint8Array | undefined, isLent: boolean): boolean {
    const before = this.attributes.get(name)
    const hadValue = before?.value !== undefined
    if (before !== undefined && compareStamps(stamp, before.stamp) <= 0) return false
    if (before !== undefined) {
      if (before.mix !== undefined) this.#hash = xor(this.#hash, before.mix)
      this.bytes -= name.length + (before.value?.length ?? 0)
    }
    this.#unmixed = true
    this.bytes += name.length + (value?.length ?? 0)
    this.attributes.set(name, stamp, value, isLent)
    return hadValue || value !== undefined
  }

  #extend(origin: MemberId, seq: number): void {
    const own = this.#ownDot
    if (own !== undefined && own[0] === origin) {
      if (seq > own[1]) own[1] = seq
      return
    }
    const context = this.#context
    if (seq < lastOf(context, origin)) return
    // To the end, the place of the youngest.
    const isAlone = context.length === 0 || (context.length === 1 && context[0]?.[0] === origin)
    const others = isAlone ? NO_CONTEXT : context.filter(dot => dot[0] !== origin)
    const dot: [MemberId, number] = [origin, seq]
    if (others.length === 0) this.#context = [dot]
    else this.#context = [...others.slice(Math.max(0, others.length + 1 - CONTEXT_MAX)), dot]
    this.#ownDot = others.length === 0 ? dot : undefined
  }
}

/** A use alone, which may have been told by the stamp of a write. */
function plain({ wallMs, counter, origin }: AccessStamp): AccessStamp {
  return { wallMs, counter, origin }
}
