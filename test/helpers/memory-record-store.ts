import type { SendReceipt } from '../../lib/channel/topic.js'
import type {
  AttributeWrites,
  Dot,
  IssuedDelta,
  RecordChange,
  RecordKey,
  RecordStore,
  RemovalReason,
  Stamp,
  WriteOptions,
} from '../../lib/replication/replica-contract.js'
import { MAX_INACTIVE } from '../../lib/replication/replica-contract.js'
import type { Clock, Random, Timer } from '../../lib/runtime/runtime.js'

interface Cell {
  readonly stamp: Stamp
  readonly bytes: Uint8Array | undefined
}

interface Delta {
  readonly key: RecordKey
  readonly stamp: Stamp
  readonly kind: 'create' | 'write' | RemovalReason
  readonly writes: AttributeWrites
}

/** A clock that stands still until it is told to move. */
export class ManualClock implements Clock {
  nowMs = 1_000_000
  wall(): number {
    return this.nowMs
  }
  monotonic(): number {
    return this.nowMs
  }
  setTimer(): Timer {
    throw new Error('no timers here')
  }
  soon(): void {
    throw new Error('no turns here')
  }
}

/** Counts up, so that ids differ and runs repeat. */
export class CountingRandom implements Random {
  #next = 1
  constructor(start = 1) {
    this.#next = start
  }
  uint32(): number {
    return this.#next++
  }
  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    new DataView(bytes.buffer).setUint32(0, this.#next++)
    return bytes
  }
}

/**
 * A RecordStore after the contract, without a network: attributes are joined by stamp, removal is final, and linked
 * stores hear of every delta at once, or when `flush` is called while the link is held.
 */
export class MemoryRecordStore implements RecordStore {
  readonly ready = true
  readonly origin: string
  readonly written: Delta[] = []
  readonly sends: WriteOptions[] = []
  touches = 0
  /** What receipts say; `undefined`: they stay open. */
  outcome: SendReceipt['outcome'] | undefined = 'met'
  held = false
  readonly #clock: Clock
  readonly #cells = new Map<RecordKey, Map<string, Cell>>()
  readonly #used = new Map<RecordKey, number>()
  readonly #tombstones = new Set<RecordKey>()
  readonly #listeners = new Set<(change: RecordChange) => void>()
  readonly #peers: MemoryRecordStore[] = []
  readonly #applied = new Set<string>()
  /** Whether the linked stores are members, as far as `present` says. */
  linked = true
  #waiting: { readonly dot: Dot; readonly done: (here: boolean) => void }[] = []
  #queue: Delta[] = []
  #seq = 0

  constructor(clock: Clock, origin: string = 'a'.repeat(32)) {
    this.#clock = clock
    this.origin = origin
  }

  static pair(clock: Clock): [MemoryRecordStore, MemoryRecordStore] {
    const pair: [MemoryRecordStore, MemoryRecordStore] = [
      new MemoryRecordStore(clock, 'a'.repeat(32)),
      new MemoryRecordStore(clock, 'b'.repeat(32)),
    ]
    pair[0].#peers.push(pair[1])
    pair[1].#peers.push(pair[0])
    return pair
  }

  readonly onChange = (listener: (change: RecordChange) => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  get size(): number {
    return this.#cells.size
  }

  has(key: RecordKey): boolean {
    return this.#cells.has(key)
  }

  attribute(key: RecordKey, name: string): Uint8Array | undefined {
    return this.#cells.get(key)?.get(name)?.bytes
  }

  attributes(key: RecordKey): ReadonlyMap<string, Uint8Array> | undefined {
    const cells = this.#cells.get(key)
    if (cells === undefined) return undefined
    const live = new Map<string, Uint8Array>()
    for (const [name, { bytes }] of cells) if (bytes !== undefined) live.set(name, bytes)
    return live
  }

  stamp(key: RecordKey, name: string): Stamp | undefined {
    return this.#cells.get(key)?.get(name)?.stamp
  }

  keys(): IterableIterator<RecordKey> {
    return this.#cells.keys()
  }

  idleMs(key: RecordKey): number | undefined {
    const usedMs = this.#used.get(key)
    return usedMs === undefined ? undefined : this.#clock.monotonic() - usedMs
  }

  create(writes: AttributeWrites, send?: WriteOptions): IssuedDelta {
    const stamp = this.#stamp()
    return this.#issue({ key: `${stamp.origin}#${stamp.seq}`, stamp, kind: 'create', writes }, send)
  }

  write(key: RecordKey, writes: AttributeWrites, send?: WriteOptions): IssuedDelta | undefined {
    if (!this.has(key)) return undefined
    return this.#issue({ key, stamp: this.#stamp(), kind: 'write', writes }, send)
  }

  invalidate(key: RecordKey, send?: WriteOptions, last: AttributeWrites = new Map()): IssuedDelta | undefined {
    if (!this.has(key)) return undefined
    return this.#issue({ key, stamp: this.#stamp(), kind: 'invalidated', writes: last }, send)
  }

  seen(origin: string, seq: number): boolean {
    return this.#applied.has(dotName({ origin, seq }))
  }

  present(origin: string): boolean {
    return this.linked && this.#peers.some(peer => peer.origin === origin)
  }

  /** Who waits for a delta; `flush` of another store and `giveUp` end it. */
  get waiting(): number {
    return this.#waiting.length
  }

  catchUp(dot: Dot, _timeoutMs: number, done: (here: boolean) => void): void {
    this.#waiting.push({ dot, done })
  }

  /** The time is over for all that wait. */
  giveUp(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const { done } of waiting) done(false)
  }

  touch(key: RecordKey): void {
    if (!this.has(key)) return
    this.touches++
    this.#used.set(key, this.#clock.monotonic())
  }

  /** What the expiry of a real replica does, without its slack. */
  expireIdle(): void {
    for (const key of [...this.#cells.keys()]) {
      const bytes = this.attribute(key, MAX_INACTIVE)
      if (bytes === undefined || (this.idleMs(key) ?? 0) < Number(Buffer.from(bytes).toString()) * 1000) continue
      this.#issue({ key, stamp: this.#stamp(), kind: 'expired', writes: new Map() })
    }
  }

  /** Delivers what was held back. */
  flush(): void {
    this.held = false
    const queue = this.#queue
    this.#queue = []
    for (const delta of queue) for (const peer of this.#peers) peer.#apply(delta, 'remote')
  }

  #stamp(): Stamp {
    return { wallMs: this.#clock.wall(), counter: 0, origin: this.origin, seq: ++this.#seq }
  }

  #issue(delta: Delta, send: WriteOptions = {}): IssuedDelta {
    this.written.push(delta)
    this.sends.push(send)
    this.#apply(delta, 'local')
    this.#queue.push(delta)
    if (!this.held) this.flush()
    const { outcome } = this
    if (outcome !== undefined) send.settled?.({ outcome, wanted: 1, received: 1, applied: 1, faulty: [] })
    return { key: delta.key, dot: delta.stamp, stamp: delta.stamp, bytes: sizeOf(delta) }
  }

  #apply(delta: Delta, cause: 'local' | 'remote'): void {
    this.#applied.add(dotName(delta.stamp))
    this.#merge(delta, cause)
    const here = this.#waiting.filter(({ dot }) => this.seen(dot.origin, dot.seq))
    this.#waiting = this.#waiting.filter(one => !here.includes(one))
    for (const { done } of here) done(true)
  }

  #merge(delta: Delta, cause: 'local' | 'remote'): void {
    const { key, kind } = delta
    if (this.#tombstones.has(key)) return
    if (kind === 'invalidated' || kind === 'expired') {
      const before = new Map(this.attributes(key))
      for (const [name, bytes] of delta.writes) if (bytes !== undefined) before.set(name, bytes)
      this.#tombstones.add(key)
      this.#cells.delete(key)
      this.#used.delete(key)
      return this.#tell({ kind: 'removed', key, cause, names: [...before.keys()], reason: kind, before })
    }
    const cells = this.#cells.get(key) ?? new Map<string, Cell>()
    const isNew = !this.#cells.has(key)
    this.#cells.set(key, cells)
    this.#used.set(key, this.#clock.monotonic())
    const names: string[] = []
    for (const [name, bytes] of delta.writes) {
      const before = cells.get(name)
      if (before !== undefined && !later(delta.stamp, before.stamp)) continue
      cells.set(name, { stamp: delta.stamp, bytes })
      names.push(name)
    }
    this.#tell({ kind: isNew ? 'created' : 'changed', key, cause, names })
  }

  #tell(change: RecordChange): void {
    for (const listener of this.#listeners) listener(change)
  }
}

function dotName({ origin, seq }: Dot): string {
  return `${origin}#${seq}`
}

function sizeOf({ writes }: Delta): number {
  let size = 0
  for (const [name, bytes] of writes) size += name.length + (bytes?.length ?? 0)
  return size
}

function later(a: Stamp, b: Stamp): boolean {
  if (a.wallMs !== b.wallMs) return a.wallMs > b.wallMs
  if (a.counter !== b.counter) return a.counter > b.counter
  return a.origin === b.origin ? a.seq > b.seq : a.origin > b.origin
}
