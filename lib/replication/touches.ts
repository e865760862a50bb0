import type { TouchEntry } from './messages.js'
import type { ReplicaRecord } from './record.js'
import type { Glance } from './record-table.js'
import { MAX_INACTIVE, type RecordKey } from './replica-contract.js'
import type { ReplicaState } from './replica-state.js'
import type { AccessStamp } from './stamp.js'

/** Entries in one message. */
const BATCH_MAX = 1_000

/** Milliseconds of idleness a record allows; undefined: it never expires. */
export function maxInactiveMs(record: Glance): number | undefined {
  const seconds = record.number(MAX_INACTIVE)
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : undefined
}

/** Uses of records: noted at once, announced in batches, and only when the others' notion has become too old. */
export class Touches {
  readonly #state: ReplicaState
  readonly #use: (key: RecordKey, access: AccessStamp, ageMs: number) => boolean
  #dirty = new Set<RecordKey>()
  #flushedAtMs = 0

  /** `use`: notes that another member used a record; whether that was news. */
  constructor(state: ReplicaState, use: (key: RecordKey, access: AccessStamp, ageMs: number) => boolean) {
    this.#state = state
    this.#use = use
  }

  get pending(): number {
    return this.#dirty.size
  }

  /** How old the others' notion of a record's last use may become, in milliseconds. */
  granularityMs(limitMs: number): number {
    const { granularityMinMs, granularityMaxMs } = this.#state.options
    return Math.min(Math.max(limitMs * 0.05, granularityMinMs), granularityMaxMs)
  }

  /** How much later than its limit a record may be expired: what announcements may be behind. */
  slackMs(limitMs: number): number {
    const { touchFlushMs, expirySlackMs } = this.#state.options
    return 2 * this.granularityMs(limitMs) + touchFlushMs + expirySlackMs
  }

  touch(key: RecordKey): void {
    const { clock, env } = this.#state
    const record = this.#state.visible(key)
    if (record === undefined) return
    const now = this.#state.now()
    record.access = clock.access(env.clusterTime(), env.id)
    record.usedAtMs = now
    const limit = maxInactiveMs(record)
    if (limit !== undefined && now - record.announcedAtMs >= this.granularityMs(limit)) this.#dirty.add(key)
  }

  tick(): void {
    const now = this.#state.now()
    if (now - this.#flushedAtMs < this.#state.options.touchFlushMs) return
    this.#flushedAtMs = now
    this.flush()
  }

  /** Announces at once what is to be announced. */
  flush(): void {
    if (this.#dirty.size === 0) return
    const keys = [...this.#dirty]
    this.#dirty.clear()
    this.announce(keys)
  }

  /** Tells everybody of the last use of these records. */
  announce(keys: readonly RecordKey[]): void {
    const entries: TouchEntry[] = []
    for (const key of keys) {
      const record = this.#state.visible(key)
      if (record === undefined) continue
      record.announcedAtMs = record.usedAtMs
      entries.push(this.entry(record))
    }
    this.#state.counters.touchesSent += entries.length
    for (let i = 0; i < entries.length; i += BATCH_MAX) {
      this.#state.env.send('all', { kind: 'touches', entries: entries.slice(i, i + BATCH_MAX) })
    }
  }

  entry(record: ReplicaRecord): TouchEntry {
    const ageMs = Math.max(0, Math.floor(this.#state.now() - record.usedAtMs))
    return { key: record.key, access: record.access, ageMs }
  }

  received(entries: readonly TouchEntry[]): void {
    const state = this.#state
    const clusterTime = state.env.clusterTime()
    for (const { key, access, ageMs } of entries) {
      if (state.clock.isAhead(access, clusterTime)) {
        state.counters.rejectedAhead++
        continue
      }
      if (this.#use(key, access, ageMs)) state.clock.observe(access)
    }
  }
}
