import type { MemberId } from '../membership/member.js'
import type { Delta } from './delta.js'
import type { Known, ReplicationMessage } from './messages.js'
import type { OriginRetirement } from './origin-retirement.js'
import { type Peer, type Peers, rememberDigest } from './peers.js'
import type { RecordKey } from './replica-contract.js'
import type { ReplicaState } from './replica-state.js'
import { type Digest, digestHash } from './seen-set.js'

/** Deltas sent in answer to one pull. */
const PULL_DELTAS_MAX = 4_096
const FETCH_RETRY_MS = 1_000
/** A difference in transit is gone after this; one that stays is reported. */
const DIVERGENCE_AFTER_MS = 1_000
const READY_FLAG = 1
const ADVERT_BYTES = 21

/**
 * The digest is the truth, the stream a hint: hashes of the seen-set travel in heartbeats; where they differ the full
 * digest is asked for, and whoever is behind pulls what it lacks.
 */
export class AntiEntropy {
  readonly #state: ReplicaState
  readonly #peers: Peers
  readonly #retirement: OriginRetirement
  readonly #reconcile: (from: MemberId) => void
  #fetches = new Map<RecordKey, number>()
  #pulling: { readonly from: MemberId; readonly untilMs: number } | undefined
  #suspected = new Map<MemberId, { readonly hash: string; readonly sinceMs: number }>()
  #hashed: { readonly digest: Digest; readonly hash: string } | undefined

  constructor(state: ReplicaState, peers: Peers, retirement: OriginRetirement, reconcile: (from: MemberId) => void) {
    this.#state = state
    this.#peers = peers
    this.#retirement = retirement
    this.#reconcile = reconcile
  }

  get fetching(): number {
    return this.#fetches.size
  }

  /**
   * Amid its first state transfer a member has tens of thousands of ranges, which nobody pulls by and which would take
   * longer to list with every heartbeat than all else it does: it tells of less than it has seen.
   */
  digest(): Digest {
    return this.#state.seen.digest(this.#state.ready && this.#state.options.rules.digestRanges)
  }

  hash(): string {
    const digest = this.digest()
    if (this.#hashed?.digest !== digest) this.#hashed = { digest, hash: digestHash(digest) }
    return this.#hashed.hash
  }

  digestMessage(): Extract<ReplicationMessage, { kind: 'digest' }> {
    return {
      kind: 'digest',
      digest: this.digest(),
      members: this.#peers.known(this.#state.now()),
      ready: this.#state.ready,
      origin: this.#state.origin,
    }
  }

  /** What goes with a copy of the records. */
  known(): Known {
    const { digest, members } = this.digestMessage()
    return { digest, members, ended: this.#retirement.ended(), open: this.#state.seen.unwritten() }
  }

  /** 21 bytes: whether ready, hash of the digest, of the records, of the members known. */
  advertise(): Uint8Array {
    const bytes = new Uint8Array(ADVERT_BYTES)
    const view = new DataView(bytes.buffer)
    bytes[0] = this.#state.ready ? READY_FLAG : 0
    const hash = this.hash()
    view.setUint32(1, Number.parseInt(hash.slice(0, 8), 16))
    view.setUint32(5, Number.parseInt(hash.slice(8), 16))
    const content = this.#state.contentHash
    view.setUint32(9, content.high)
    view.setUint32(13, content.low)
    view.setUint32(17, this.#peers.hash)
    return bytes
  }

  /** A peer's heartbeat. */
  advertised(bytes: Uint8Array, peer: Peer): void {
    if (bytes.length < ADVERT_BYTES) return
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    peer.ready = (bytes[0]! & READY_FLAG) !== 0
    peer.heard = true
    this.#compareMembers(peer, view.getUint32(17))
    const hash = hex(view.getUint32(1)) + hex(view.getUint32(5))
    if (hash !== this.hash()) {
      // From one that is not ready nothing is pulled, and amid a state transfer digests are the longest there are.
      if (peer.ready) this.ask(peer)
      return
    }
    if (peer.ready) rememberDigest(peer, this.digest())
    const content = this.#state.contentHash
    const same = view.getUint32(9) === content.high && view.getUint32(13) === content.low
    if (same) this.#suspected.delete(peer.id)
    else if (peer.ready && this.#state.ready) this.#divergence(peer, hash)
  }

  /** A member of whom only one of us has heard makes us exchange whom we know; news on its way needs no asking. */
  #compareMembers(peer: Peer, hash: number): void {
    const persists = peer.membersHash === hash && hash !== this.#peers.hash
    peer.membersHash = hash
    if (persists) this.ask(peer)
  }

  /** Asks for the full digest, unless that was done just now. */
  ask(peer: Peer): void {
    const now = this.#state.now()
    if (now - peer.askedAtMs < this.#state.options.digestIntervalMs) return
    peer.askedAtMs = now
    this.#state.env.send([peer.id], { kind: 'askDigest' })
  }

  /** A peer's full digest: pull what it has and we lack. */
  received(message: Extract<ReplicationMessage, { kind: 'digest' }>, peer: Peer): void {
    const state = this.#state
    // One that is not ready may have seen more than it tells, and what it lacks is no agreement.
    if (message.ready) rememberDigest(peer, message.digest)
    peer.ready = message.ready
    peer.heard = true
    peer.origin = message.origin
    const couldFollow = this.#retirement.met(message.digest)
    if (!state.ready || !message.ready) return
    if (!couldFollow) {
      this.#reconcile(peer.id)
      return
    }
    const now = state.now()
    const missing = state.seen.missing(message.digest)
    if (missing.length === 0) {
      if (this.#pulling?.from === peer.id) this.#pulling = undefined
      return
    }
    if (state.incomplete) {
      this.#reconcile(peer.id)
      return
    }
    const busy = this.#pulling !== undefined && this.#pulling.from !== peer.id && this.#pulling.untilMs > now
    if (busy) return
    this.#pulling = { from: peer.id, untilMs: now + state.options.digestIntervalMs }
    state.counters.pulls++
    state.env.send([peer.id], { kind: 'pull', missing })
  }

  /** A peer lacks these: send what the ring has, in the order it was applied here. */
  pulled(message: Extract<ReplicationMessage, { kind: 'pull' }>, from: MemberId): void {
    const { ring, env } = this.#state
    const { deltas, count, complete } = ring.find(message.missing, PULL_DELTAS_MAX)
    let ended = false
    for (const delta of deltas) {
      if (this.#hasEnded(delta)) ended = true
      else env.send([from], { kind: 'delta', delta })
    }
    if (message.hint === true) return
    if (!complete || ended) env.send([from], { kind: 'notKept' })
    else if (count > deltas.length) env.send([from], this.digestMessage())
  }

  /** Its record is gone for good and nothing else tells of that: only a comparison does, and this would revive it. */
  #hasEnded({ kind, key }: Delta): boolean {
    const { records, tombstones, seen } = this.#state
    const isGone = kind !== 'invalidate' && !records.has(key) && !tombstones.has(key)
    return isGone && this.#state.provesRemoval(seen, key)
  }

  notKept(from: MemberId): void {
    this.#state.counters.notKept++
    if (this.#state.ready) this.#reconcile(from)
  }

  /** Asks a member for one whole record; what does not fit is left to the digests. */
  fetch(key: RecordKey, from: MemberId): void {
    const { counters, options, env } = this.#state
    if (this.#fetches.has(key)) return
    if (this.#fetches.size >= options.fetchesMax) {
      counters.fetchesRefused++
      return
    }
    this.#fetches.set(key, this.#state.now())
    counters.fetches++
    env.send([from], { kind: 'fetch', key })
  }

  /** A peer asks for a record. */
  fetched(key: RecordKey, from: MemberId): void {
    const { env, records, tombstones } = this.#state
    const record = records.peek(key)
    const dot = tombstones.get(key)
    if (record !== undefined) env.send([from], { kind: 'record', record: record.snapshot(this.#state.now()) })
    else if (dot !== undefined) env.send([from], { kind: 'tombstone', key, dot })
    else if (this.#state.ready) env.send([from], { kind: 'notKept' })
  }

  /** The answer to a fetch is here. */
  arrived(key: RecordKey): void {
    this.#fetches.delete(key)
  }

  tick(): void {
    const now = this.#state.now()
    for (const [key, sinceMs] of this.#fetches) if (now - sinceMs > FETCH_RETRY_MS) this.#fetches.delete(key)
  }

  /** The process stood still: whoever was asked before may not answer any more. */
  stalled(): void {
    this.#pulling = undefined
  }

  memberDisappeared(id: MemberId): void {
    this.#suspected.delete(id)
    if (this.#pulling?.from === id) this.#pulling = undefined
  }

  /** Equal seen-sets and unequal records: a bug somewhere, repaired and reported. */
  #divergence(peer: Peer, hash: string): void {
    const now = this.#state.now()
    const suspected = this.#suspected.get(peer.id)
    if (suspected?.hash !== hash) {
      this.#suspected.set(peer.id, { hash, sinceMs: now })
      return
    }
    if (now - suspected.sinceMs < DIVERGENCE_AFTER_MS) return
    this.#suspected.delete(peer.id)
    this.#state.counters.divergences++
    this.#reconcile(peer.id)
  }
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0')
}
