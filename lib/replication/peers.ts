import type { Member, MemberId } from '../membership/member.js'
import type { AbsentMember } from './messages.js'
import { type Digest, SeenSet } from './seen-set.js'

/** Another member of the scope, present or remembered. */
export interface Peer {
  readonly id: MemberId
  readonly name: string
  present: boolean
  ready: boolean
  /** Whether anything was heard from it in this life, so that `ready` means something. */
  heard: boolean
  /** Its last full digest. */
  digest: Digest | undefined
  seen: SeenSet | undefined
  absentSinceMs: number
  askedAtMs: number
}

/** Absent members remembered at most. */
const ABSENT_MAX = 4_096

/** Who shares the scope, including those who are away and may come back with an opinion. */
export class Peers {
  readonly #self: { readonly id: MemberId; readonly name: string }
  #peers = new Map<MemberId, Peer>()

  constructor(self: { readonly id: MemberId; readonly name: string }) {
    this.#self = self
  }

  get(id: MemberId): Peer | undefined {
    return this.#peers.get(id)
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

  absent(): AbsentMember[] {
    return [...this.#peers.values()].filter(peer => !peer.present).map(({ id, name }) => ({ id, name }))
  }

  /** A member is there; an earlier life of the same name is over and has no opinion any more. */
  added(member: Member): Peer {
    for (const peer of this.#peers.values()) {
      if (peer.name === member.name && peer.id !== member.id) this.#peers.delete(peer.id)
    }
    const known = this.#peers.get(member.id)
    if (known !== undefined) {
      known.present = true
      known.askedAtMs = -Infinity
      return known
    }
    return this.#insert(member, true, 0)
  }

  disappeared(id: MemberId, nowMs: number): void {
    const peer = this.#peers.get(id)
    if (peer === undefined) return
    peer.present = false
    peer.ready = false
    peer.heard = false
    peer.absentSinceMs = nowMs
  }

  /** Takes over another member's list of the absent. */
  inherit(absent: readonly AbsentMember[], nowMs: number): void {
    const present = new Set(this.present().map(peer => peer.name))
    for (const member of absent) {
      if (member.name === this.#self.name || member.id === this.#self.id || present.has(member.name)) continue
      if (this.#peers.has(member.id) || this.#peers.size >= ABSENT_MAX) continue
      this.#insert(member, false, nowMs)
    }
  }

  forget(nowMs: number, afterMs: number): void {
    for (const peer of this.#peers.values()) {
      if (!peer.present && nowMs - peer.absentSinceMs > afterMs) this.#peers.delete(peer.id)
    }
  }

  #insert({ id, name }: { readonly id: MemberId; readonly name: string }, present: boolean, nowMs: number): Peer {
    const peer: Peer = {
      id,
      name,
      present,
      ready: false,
      heard: false,
      digest: undefined,
      seen: undefined,
      absentSinceMs: nowMs,
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
