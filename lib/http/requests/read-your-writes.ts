import type { SessionManager } from '../../session/session-manager.js'
import { CATCH_UP_MS } from '../../session/write-token.js'
import type { SeenCookie } from '../cookies/seen-cookie.js'
import type { SessionHttpStats } from './session-http-stats.js'

/** What the guarantee is made of. */
export interface ReadYourWritesParts {
  readonly sessions: SessionManager
  readonly cookie: SeenCookie
  /** Milliseconds, 0 to 60,000; 0: nobody waits. Default 250. */
  readonly catchUpMs: number | undefined
  readonly stats: SessionHttpStats
}

/**
 * Clients that go from member to member see what they wrote, or are told that they do not: "read your writes" of Terry et
 * al., Session Guarantees for Weakly Consistent Replicated Data (1994), with the writes in the client's cookie.
 *
 * A write of a record is applied only after the writes its writer had seen of it, so the last one stands for all. Only a
 * request that wrote on a copy without an earlier write has more than one to name.
 */
export class ReadYourWrites {
  readonly cookie: SeenCookie
  readonly #sessions: SessionManager
  readonly #catchUpMs: number
  readonly #stats: SessionHttpStats

  constructor({ sessions, cookie, catchUpMs = CATCH_UP_MS, stats }: ReadYourWritesParts) {
    this.cookie = cookie
    this.#sessions = sessions
    this.#catchUpMs = catchUpMs
    this.#stats = stats
  }

  /** The writes a `Cookie` header names, if this copy lacks any of them; undefined: none, or nothing we have signed. */
  unseen(header: string | undefined): readonly string[] | undefined {
    const value = header === undefined ? undefined : this.cookie.find(header)
    if (value === undefined) return undefined
    const tokens = this.cookie.tokens(value)
    if (tokens?.every(token => this.#sessions.whereabouts(token) === 'here')) return undefined
    // Signatures are computed for these alone: what is here needs no waiting, whoever named it.
    if (tokens !== undefined && this.cookie.isOurs(value)) return tokens
    this.#stats.refusedTokens++
    return undefined
  }

  /** Waits for these writes; whether all of them are here. */
  async catchUp(tokens: readonly string[]): Promise<boolean> {
    if (this.#catchUpMs > 0) {
      this.#stats.waits++
      await Promise.all(tokens.map(token => this.#sessions.whenCaughtUp(token, this.#catchUpMs)))
    }
    return tokens.every(token => this.#sessions.whereabouts(token) === 'here')
  }

  /**
   * The cookie's next value, after a request that wrote `written` while the copy lacked some of `tokens` (none: it lacked
   * nothing): a text, `''` to have it forgotten, undefined to leave it.
   *
   * What lacks stays named as long as its writer is a member, from whom it will come. With the writer gone it may be lost
   * for ever: its client has been told so, by the very request that this is the answer to, and does not wait for it again.
   */
  after(tokens: readonly string[], written: readonly string[]): string | undefined {
    const awaited = (token: string): boolean => this.#sessions.whereabouts(token) === 'coming'
    const isLost = (token: string): boolean => this.#sessions.whereabouts(token) === 'missing'
    if (written.length > 0) return this.cookie.value([...tokens.filter(awaited), ...written])
    if (!tokens.some(isLost)) return undefined
    const left = tokens.filter(token => !isLost(token))
    return left.length === 0 ? '' : this.cookie.value(left)
  }
}
