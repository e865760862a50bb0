import type { MemberId } from '../membership/member.js'
import { BUCKETS } from './bucket-index.js'
import { WHOLE_BYTES_MAX } from './fragments.js'
import type { BucketPart, Known, ReplicationMessage } from './messages.js'
import { type Hash64, sameHash } from './mix.js'
import type { PackedRecord } from './packed-record.js'
import type { Dot, RecordKey } from './replica-contract.js'
import type { ReplicaState } from './replica-state.js'

type Request = Extract<ReplicationMessage, { kind: 'reconcileRequest' }>

/**
 * Pieces sent in answer to one request. Made in one go, they are what live deltas may have to wait for, on both sides;
 * the joiner keeps several requests under way, so that neither side waits for the other.
 */
const CHUNKS_MAX = 4
/** After so long there is not another one: packing what lies there as objects takes several times as long. */
const ANSWER_MS = 0.5
/** Longer than a joiner waits before it repeats a request. */
const DONATION_IDLE_MS = 5_000
/** A key, or a part, beside what a record takes. */
const KEY_BYTES = 24
const PART_BYTES = 64
/** A piece, beside its parts. */
const HEAD_BYTES = 128
/**
 * A piece is as large as the work it makes. What a record has beyond this is sent from where it lies and counts for an
 * eighth, where the piece may travel whole; there it never has more than may.
 */
const LIGHT_BYTES = 4_096

interface Serving {
  readonly id: number
  atMs: number
  /** As of the header: when removals have become untold since, the transfer starts anew. */
  readonly closures: number
}

interface Part {
  bucket: number
  after: RecordKey | undefined
  upTo: RecordKey | undefined
  keys: RecordKey[]
  tombstones: [RecordKey, Dot][]
  records: PackedRecord[]
}

interface Stretch {
  readonly part: Part
  readonly work: number
  readonly bytes: number
}

/**
 * The serving side of a state comparison. It keeps nothing per transfer but the time of the last request: every piece
 * says which stretch of keys it covers, so a piece stands for itself.
 */
export class Donor {
  readonly #state: ReplicaState
  readonly #known: () => Known
  #serving = new Map<MemberId, Serving>()

  constructor(state: ReplicaState, known: () => Known) {
    this.#state = state
    this.#known = known
  }

  /** Whether a transfer is going on; tombstones and expired records are kept meanwhile. */
  get donating(): boolean {
    this.#clean()
    return this.#serving.size > 0
  }

  start(id: number, from: MemberId): void {
    const state = this.#state
    this.#clean()
    const full = this.#serving.size >= state.options.donationsMax && !this.#serving.has(from)
    if (!state.ready || full) {
      state.env.send([from], { kind: 'reconcileBusy', id })
      return
    }
    // The other side goes by the first header of several it asked for.
    const known = this.#serving.get(from)
    const closures = known?.id === id ? known.closures : state.closures
    this.#serving.set(from, { id, atMs: state.now(), closures })
    const buried: number[] = []
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      if (state.tombstones.sizeOf(bucket) + state.expired.sizeOf(bucket) > 0) buried.push(bucket)
    }
    state.env.send(
      [from],
      {
        kind: 'reconcileHeader',
        id,
        ...this.#known(),
        hashes: [...state.buckets.hashes],
        buried,
      },
      { bulk: true },
    )
  }

  request(message: Request, from: MemberId): void {
    const state = this.#state
    const serving = this.#serving.get(from)
    if (serving?.id !== message.id || serving.closures !== state.closures) {
      state.env.send([from], { kind: 'reconcileBusy', id: message.id })
      return
    }
    serving.atMs = state.now()
    const have = new Map(message.have.map(({ key, hash }) => [key, hash]))
    const { chunkBytes } = state.options
    const isWhole = (message.wholeBytes ?? 0) >= WHOLE_BYTES_MAX
    // Fewer at first: this may be the first transfer of this process, and its code is slow as yet.
    const chunksMax = Math.min(CHUNKS_MAX, Math.max(1, message.number))
    let parts: BucketPart[] = []
    let work = 0
    let bytes = 0
    let chunks = 0
    const until = state.now() + ANSWER_MS
    const flush = (last: boolean): void => {
      state.env.send(
        [from],
        { kind: 'reconcileChunk', id: message.id, parts, last, number: message.number },
        { bulk: true, wholeBytes: message.wholeBytes },
      )
      parts = []
      work = 0
      bytes = 0
      chunks++
    }
    for (const [index, bucket] of message.buckets.entries()) {
      let after = index === 0 ? message.after : undefined
      const keys = this.#keys(bucket)
      for (let isOver = false; !isOver; ) {
        const bytesMax = isWhole ? WHOLE_BYTES_MAX - HEAD_BYTES - bytes : Infinity
        const isBegun = bytes > parts.length * PART_BYTES
        const stretch = this.#stretch(bucket, keys, after, have, chunkBytes - work, bytesMax, isBegun)
        if (stretch !== undefined) {
          parts.push(stretch.part)
          work += isWhole ? stretch.work : stretch.bytes
          bytes += stretch.bytes
          after = stretch.part.upTo
          isOver = after === undefined
        }
        if (work < chunkBytes && isOver) continue
        const isEnough = chunks + 1 === chunksMax || state.now() >= until
        const last = isEnough || (isOver && index === message.buckets.length - 1)
        flush(last)
        if (last) return
      }
    }
    flush(true)
  }

  finished(from: MemberId): void {
    this.#serving.delete(from)
  }

  /** Records and tombstones of a bucket, ascending; a record may have both. */
  #keys(bucket: number): readonly RecordKey[] {
    const { buckets, expired, tombstones } = this.#state
    if (tombstones.sizeOf(bucket) + expired.sizeOf(bucket) === 0) return buckets.sortedKeys(bucket)
    return [...this.#state.keys(bucket), ...tombstones.keys(bucket)].sort()
  }

  /**
   * What a bucket has after a key, up to about so much work and at most so many bytes, but at least one entry; undefined
   * when that does not fit in with the entries the piece has already.
   */
  #stretch(
    bucket: number,
    keys: readonly RecordKey[],
    after: RecordKey | undefined,
    have: ReadonlyMap<RecordKey, Hash64>,
    workMax: number,
    bytesMax: number,
    isBegun: boolean,
  ): Stretch | undefined {
    const state = this.#state
    const part: Part = { bucket, after, upTo: undefined, keys: [], tombstones: [], records: [] }
    const now = state.now()
    const hasTombstones = state.tombstones.sizeOf(bucket) > 0
    const isWhole = bytesMax < Infinity
    let work = PART_BYTES
    let bytes = PART_BYTES
    let previous: RecordKey | undefined
    for (const key of keys) {
      if ((after !== undefined && key <= after) || key === previous) continue
      const known = have.size === 0 ? undefined : have.get(key)
      const hash = known === undefined ? undefined : state.hash(key)
      const isKnown = known !== undefined && hash !== undefined && sameHash(known, hash)
      const isEnough = (isWhole ? work : bytes) > workMax
      const record = isKnown || (isEnough && previous !== undefined) ? undefined : state.records.outgoing(key, now)
      const length = record?.length ?? 0
      const isTooMuch = bytes + KEY_BYTES + length > bytesMax
      if (previous === undefined ? isTooMuch && isBegun : isTooMuch || isEnough) {
        if (previous === undefined) return undefined
        part.upTo = previous
        break
      }
      previous = key
      work += KEY_BYTES + workOf(length)
      bytes += KEY_BYTES + length
      const tombstone = hasTombstones ? state.tombstones.get(key) : undefined
      if (tombstone !== undefined) part.tombstones.push([key, tombstone])
      if (isKnown) part.keys.push(key)
      else if (record !== undefined) part.records.push(record)
    }
    return { part, work, bytes }
  }

  #clean(): void {
    const now = this.#state.now()
    for (const [id, { atMs }] of this.#serving) if (now - atMs > DONATION_IDLE_MS) this.#serving.delete(id)
  }
}

function workOf(bytes: number): number {
  return bytes <= LIGHT_BYTES ? bytes : LIGHT_BYTES + (bytes - LIGHT_BYTES) / 8
}
