import type { Member, MemberId } from '../membership/member.js'
import type { KnownMember } from './messages.js'
import { hashText } from './mix.js'
import { type Digest, SeenSet } from './seen-set.js'

/** Another member of the scope, present or remembered. */
export interface Peer {
  readonly id: MemberId
  readonly name: string
  present: boolean
  /** It left, or is away and its name has gone over to another life: it does not come back and has no opinion. */
  gone: boolean
  /** As it last said, in whichever presence: a life that is ready stays so. */
  ready: boolean
  /** Whether it ever said anything, so that `ready` means something. */
  heard: boolean
  /** When this presence began. */
  presentSinceMs: number
  /** The origin of its writes, as it last said; its id, unless that was closed. Undefined: nothing in this presence. */
  origin: MemberId | undefined
  /** Its last full digest. */
  digest: Digest | undefined
  seen: SeenSet | undefined
  /** What it last said the hash of those it knows is. */
  membersHash: number | undefined
  awaySinceMs: number
  askedAtMs: number
}

/** Who has said nothing of this scope after so long (three heartbeats) does not take part in it: a map opened here only. */
export const HEARD_WITHIN_MS = 1_500
/** Members remembered at most, those who are present aside. */
const KNOWN_MAX = 4_096
/** Lives that are over and remembered at most: each is part of every digest. */
const GONE_MAX = 256

/** Who shares the scope, including those who are away and may come back with an opinion. */
export class Peers {
  readonly #self: { readonly id: MemberId; readonly name: string }
  #peers = new Map<MemberId, Peer>()
  #hash: number | undefined

  constructor(self: { readonly id: MemberId; readonly name: string }) {
    this.#self = self
  }

  /** Hash of the ids of all who are not gone, this member included: equal where members know the same others. */
  get hash(): number {
    if (this.#hash === undefined) {
      let hash = hashText(this.#self.id, 0)
      for (const { id, gone } of this.#peers.values()) if (!gone) hash ^= hashText(id, 0)
      this.#hash = hash >>> 0
    }
    return this.#hash
  }

  get(id: MemberId): Peer | undefined {
    return this.#peers.get(id)
  }

  /** Who is present and writes under an origin, or did before that was closed. */
  writer(origin: MemberId): Peer | undefined {
    const peer = this.#peers.get(origin)
    if (peer?.present === true) return peer
    for (const each of this.#peers.values()) if (each.present && each.origin === origin) return each
    return undefined
  }

  all(): IterableIterator<Peer> {
    return this.#peers.values()
  }

  present(): Peer[] {
    return [...this.#peers.values()].filter(peer => peer.present).sort(byName)
  }

  ready(): Peer[] {
    return this.present().filter(peer => peer.ready)
  }

  /** Who is present and may hold the scope, if only in part. */
  holders(nowMs: number): Peer[] {
    return this.present().filter(peer => peer.heard || nowMs - peer.presentSinceMs < HEARD_WITHIN_MS)
  }

  /** All that are remembered, as others are told of them. */
  known(nowMs: number): KnownMember[] {
    return [...this.#peers.values()].map(({ id, name, present, gone, awaySinceMs }) => ({
      id,
      name,
      awayMs: present ? 0 : Math.max(1, Math.round(nowMs - awaySinceMs)),
      gone,
    }))
  }

  /** A member is there; a life of the same name that is away is over. One that is there may still have to hand over. */
  added(member: Member, nowMs: number): Peer {
    for (const peer of this.#peers.values()) {
      if (peer.name === member.name && peer.id !== member.id && !peer.present) peer.gone = true
    }
    this.#hash = undefined
    const peer = this.#peers.get(member.id) ?? this.#insert(member, nowMs)
    peer.present = true
    peer.presentSinceMs = nowMs
    peer.gone = false
    peer.origin = undefined
    peer.askedAtMs = -Infinity
    return peer
  }

  disappeared(id: MemberId, gone: boolean, nowMs: number): void {
    const peer = this.#peers.get(id)
    if (peer === undefined) return
    peer.present = false
    peer.gone ||= gone || this.#isReplaced(peer, this.present())
    peer.membersHash = undefined
    peer.awaySinceMs = nowMs
    this.#hash = undefined
  }

  /**
   * Takes over whom another member knows: somebody it meets and this member does not is away as seen from here, and may
   * know better than all of us.
   */
  inherit(members: readonly KnownMember[], nowMs: number, forgetAfterMs: number): void {
    const here = this.present()
    for (const { id, name, awayMs, gone } of members) {
      if (id === this.#self.id || awayMs > forgetAfterMs) continue
      const known = this.#peers.get(id)
      if (known === undefined && this.#peers.size >= KNOWN_MAX) continue
      const peer = known ?? this.#insert({ id, name }, nowMs - awayMs)
      if (!peer.present) peer.gone ||= gone || (known === undefined && this.#isReplaced(peer, here))
      this.#hash = undefined
    }
  }

  /** Forgets who has been away for too long, and the lives that ended first where too many have. */
  forget(nowMs: number, afterMs: number): void {
    let gone = 0
    for (const peer of this.#peers.values()) {
      if (peer.gone) gone++
      if (peer.present || nowMs - peer.awaySinceMs <= afterMs) continue
      if (peer.gone) gone--
      this.#delete(peer)
    }
    if (gone > GONE_MAX) this.#oldest(peer => peer.gone, gone - GONE_MAX)
    const away = this.#peers.size - KNOWN_MAX
    if (away > 0) this.#oldest(peer => !peer.present, away)
  }

  /**
   * Whether a later life of its name is among those here. An earlier one says nothing: two that are cut off together do not
   * disappear at once, and the one that goes on may be the first to.
   */
  #isReplaced({ id, name }: Peer, here: readonly Peer[]): boolean {
    return [this.#self, ...here].some(other => other.name === name && other.id > id)
  }

  #oldest(wanted: (peer: Peer) => boolean, count: number): void {
    const found = [...this.#peers.values()].filter(wanted).sort((a, b) => a.awaySinceMs - b.awaySinceMs)
    for (const peer of found.slice(0, count)) this.#delete(peer)
  }

  #delete(peer: Peer): void {
    this.#peers.delete(peer.id)
    this.#hash = undefined
  }

  #insert({ id, name }: { readonly id: MemberId; readonly name: string }, awaySinceMs: number): Peer {
    const peer: Peer = {
      id,
      name,
      present: false,
      gone: false,
      ready: false,
      heard: false,
      presentSinceMs: -Infinity,
      origin: undefined,
      digest: undefined,
      seen: undefined,
      membersHash: undefined,
      awaySinceMs,
      askedAtMs: -Infinity,
    }
    this.#peers.set(id, peer)
    return peer
  }
}

/** A peer's digest as it is now known. */
export function rememberDigest(peer: Peer, digest: Digest): void {
  if (peer.digest === digest) return
  peer.digest = digest
  peer.seen = SeenSet.from(digest)
}

function byName(a: Peer, b: Peer): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1
  return a.id < b.id ? -1 : 1
}
