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
/**
 * A piece is as large as the work it makes: beyond this a record's bytes are only copied, and count for an eighth where
 * the piece may travel whole.
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
      bytes = 0
      chunks++
    }
    for (const [index, bucket] of message.buckets.entries()) {
      let after = index === 0 ? message.after : undefined
      const keys = this.#keys(bucket)
      do {
        const { part, size } = this.#part(bucket, keys, after, have, chunkBytes - bytes, isWhole)
        parts.push(part)
        bytes += size
        after = part.upTo
        if (bytes >= chunkBytes || after !== undefined) {
          const isEnough = chunks + 1 === chunksMax || state.now() >= until
          const last = isEnough || (after === undefined && index === message.buckets.length - 1)
          flush(last)
          if (last) return
        }
      } while (after !== undefined)
    }
    flush(true)
  }

  finished(from: MemberId): void {
    this.#serving.delete(from)
  }

  /** Records and tombstones of a bucket, ascending; a record may have both. */
  #keys(bucket: number): RecordKey[] {
    const { tombstones } = this.#state
    const keys = this.#state.keys(bucket)
    return (tombstones.sizeOf(bucket) === 0 ? keys : [...keys, ...tombstones.keys(bucket)]).sort()
  }

  /** What a bucket has after a key, up to about `limitBytes`, but at least one entry. */
  #part(
    bucket: number,
    keys: readonly RecordKey[],
    after: RecordKey | undefined,
    have: ReadonlyMap<RecordKey, Hash64>,
    limitBytes: number,
    isWhole: boolean,
  ): { part: Part; size: number } {
    const state = this.#state
    const part: Part = { bucket, after, upTo: undefined, keys: [], tombstones: [], records: [] }
    const now = state.now()
    const hasTombstones = state.tombstones.sizeOf(bucket) > 0
    let size = PART_BYTES
    let previous: RecordKey | undefined
    for (const key of keys) {
      if ((after !== undefined && key <= after) || key === previous) continue
      if (size > limitBytes && previous !== undefined) {
        part.upTo = previous
        break
      }
      previous = key
      size += KEY_BYTES
      const tombstone = hasTombstones ? state.tombstones.get(key) : undefined
      if (tombstone !== undefined) part.tombstones.push([key, tombstone])
      const known = have.size === 0 ? undefined : have.get(key)
      const hash = known === undefined ? undefined : state.hash(key)
      if (known !== undefined && hash !== undefined && sameHash(known, hash)) {
        part.keys.push(key)
        continue
      }
      const record = state.records.outgoing(key, now)
      if (record === undefined) continue
      part.records.push(record)
      size += isWhole ? workOf(record.length) : record.length
    }
    return { part, size }
  }

  #clean(): void {
    const now = this.#state.now()
    for (const [id, { atMs }] of this.#serving) if (now - atMs > DONATION_IDLE_MS) this.#serving.delete(id)
  }
}

function workOf(bytes: number): number {
  return bytes <= LIGHT_BYTES ? bytes : LIGHT_BYTES + (bytes - LIGHT_BYTES) / 8
}
