import type { SessionManager } from '../../session/session-manager.js'
import { CATCH_UP_MS } from '../../session/write-token.js'
import { SEATS, type SeenCookie } from '../cookies/seen-cookie.js'
import type { SessionHost } from '../session-host.js'
import type { SessionHttpStats } from './session-http-stats.js'

/** What the guarantee is made of. */
export interface ReadYourWritesParts {
  readonly cluster: SessionHost
  readonly cookie: SeenCookie
  /** Milliseconds, 0 to 60,000; 0: nobody waits. Default 250. */
  readonly catchUpMs: number | undefined
  readonly stats: SessionHttpStats
}

/** A write that a cookie of the client names, and the seat of that cookie. */
export interface SeenWrite {
  readonly token: string
  readonly seat: number
}

/** Another value for one of the cookies; `''`: it is to be forgotten. */
export interface SeenChange {
  readonly name: string
  readonly value: string
}

/** What the cookies of a client ask for that this copy does not give. */
export interface Unseen {
  /** The writes that are not here. */
  readonly lacking: readonly SeenWrite[]
  /** The seats of cookies that name nothing we have signed, and nothing that is still to come. */
  readonly refused: readonly number[]
}

/** The client lacks nothing here. */
export const ALL_SEEN: Unseen = { lacking: [], refused: [] }
const NO_CHANGES: readonly SeenChange[] = []

/**
 * Clients that go from member to member see what they wrote, or are told that they do not: "read your writes" of Terry et
 * al., Session Guarantees for Weakly Consistent Replicated Data (1994), with the writes in the client's cookie.
 *
 * A write of a record is applied only after the writes its writer had seen of it, so the last one stands for all. Only a
 * request that wrote on a copy without an earlier write has more than one to name.
 */
export class ReadYourWrites {
  readonly cookie: SeenCookie
  readonly #cluster: SessionHost
  readonly #sessions: SessionManager
  readonly #catchUpMs: number
  readonly #stats: SessionHttpStats

  constructor({ cluster, cookie, catchUpMs = CATCH_UP_MS, stats }: ReadYourWritesParts) {
    this.cookie = cookie
    this.#cluster = cluster
    this.#sessions = cluster.sessions
    this.#catchUpMs = catchUpMs
    this.#stats = stats
  }

  /** What a `Cookie` header names and this copy lacks, and what to refuse; undefined: nothing of either. */
  unseen(header: string | undefined): Unseen | undefined {
    if (header === undefined) return undefined
    let unseen: Unseen | undefined
    for (const { seat, value } of this.cookie.find(header)) {
      const tokens = this.cookie.tokens(value)
      if (tokens !== undefined && this.#areHere(tokens)) continue
      // Signatures are computed for these alone: what is here needs no waiting, whoever named it.
      const { lacking, refused } = unseen ?? ALL_SEEN
      if (tokens !== undefined && this.cookie.isOurs(value)) {
        unseen = { lacking: [...lacking, ...tokens.map(token => ({ token, seat }))], refused }
        continue
      }
      this.#stats.refusedTokens++
      // Another application of this cluster may have signed it, under the same name: its client has to wait there.
      const isForOthers = tokens?.some(token => this.#sessions.whereabouts(token) === 'coming') === true
      if (!isForOthers) unseen = { lacking, refused: [...refused, seat] }
    }
    return unseen
  }

  /** Waits for these writes; whether all of them are here. */
  async catchUp(lacking: readonly SeenWrite[]): Promise<boolean> {
    if (this.#catchUpMs > 0) {
      this.#stats.waits++
      await Promise.all(lacking.map(({ token }) => this.#sessions.whenCaughtUp(token, this.#catchUpMs)))
    }
    return lacking.every(({ token }) => this.#isHere(token))
  }

  /**
   * What becomes of the cookies after a request that wrote `written` while the copy lacked some of `lacking`. Those
   * refused are forgotten, not to be looked at again with each request.
   *
   * What lacks stays named as long as its writer is a member, from whom it will come. With the writer gone it may be lost
   * for ever: its client has been told so, by the very request that this is the answer to, and does not wait for it again.
   */
  after({ lacking, refused }: Unseen, written: readonly string[]): readonly SeenChange[] {
    if (lacking.length === 0 && refused.length === 0 && written.length === 0) return NO_CHANGES
    const own = written.length > 0 ? this.#seat() : undefined
    if (own !== undefined && lacking.length === 0 && refused.length === 0) {
      return [{ name: this.cookie.names[own] as string, value: this.cookie.value(written) }]
    }
    return this.#changes({ lacking, refused }, own, written)
  }

  #changes({ lacking, refused }: Unseen, own: number | undefined, written: readonly string[]): readonly SeenChange[] {
    const changes: SeenChange[] = []
    this.cookie.names.forEach((name, seat) => {
      const named = lacking.filter(write => write.seat === seat).map(({ token }) => token)
      const left = named.filter(token => this.#sessions.whereabouts(token) !== 'missing')
      if (seat === own) {
        const missed = left.filter(token => !this.#isHere(token))
        changes.push({ name, value: this.cookie.value([...missed, ...written]) })
      } else if (left.length < named.length || refused.includes(seat)) {
        changes.push({ name, value: left.length === 0 ? '' : this.cookie.value(left) })
      }
    })
    return changes
  }

  #areHere(tokens: readonly string[]): boolean {
    for (const token of tokens) if (!this.#isHere(token)) return false
    return true
  }

  #isHere(token: string): boolean {
    return this.#sessions.whereabouts(token) === 'here'
  }

  /** This member's: its place in the group, by name. So the first four have one each; then some share theirs. */
  #seat(): number {
    const { name, members = [] } = this.#cluster
    return members.filter(other => other.name < name).length % SEATS
  }
}
