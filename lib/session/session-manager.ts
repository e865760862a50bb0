import type { AckMode, SendReceipt } from '../channel/topic.js'
import type { Session } from './session.js'
import type { ChangeDetection } from './session-delta.js'

/** Why a session ended. `replaced`: another record has its id, after two members created one id during a partition. */
export type SessionEnd = 'invalidated' | 'expired' | 'replaced'

/** Whether this member or another caused an event. */
export type SessionCause = 'local' | 'remote'

/** A session ended. */
export interface SessionDestroyedEvent {
  readonly id: string
  readonly reason: SessionEnd
  readonly cause: SessionCause
  /** Its attributes as they last were; decoded when first asked for. A value that cannot be decoded is left out. */
  readonly attributes: ReadonlyMap<string, unknown>
}

/** Events of a SessionManager, told after the change is in the local copy. */
export interface SessionEvents {
  created: [event: { readonly id: string; readonly cause: SessionCause }]
  /** Attributes have other values now; reserved ones are not named. */
  changed: [event: { readonly id: string; readonly names: readonly string[]; readonly cause: SessionCause }]
  idChanged: [event: { readonly id: string; readonly previousId: string; readonly cause: SessionCause }]
  destroyed: [event: SessionDestroyedEvent]
  /** A write was not acknowledged by as many members as asked. It may still arrive. */
  shortfall: [event: { readonly id: string; readonly receipt: SendReceipt }]
  /** A commit was dropped because the session had ended meanwhile. */
  discarded: [event: { readonly id: string; readonly names: readonly string[] }]
  /** A listener of one of these events threw. */
  listenerError: [error: unknown, event: string]
}

/** How a new session begins. */
export interface CreateSessionOptions {
  /** The public id. Default: 24 random bytes, base64url. Throws when the id is in use. */
  readonly id?: string
  /** Seconds; default: the manager's. 0 or less: never expires. */
  readonly maxInactiveInterval?: number
  readonly attributes?: Iterable<readonly [string, unknown]>
  /** Store it with the first commit only (then as one delta with its attributes) instead of at once. Default false. */
  readonly deferred?: boolean
}

/** How one commit is sent; unset fields: the manager's options. */
export interface CommitOptions {
  readonly ack?: AckMode
  readonly copies?: number | 'all'
  readonly ackTimeoutMs?: number
  /** Default `modified`. */
  readonly detect?: ChangeDetection
  /** Store a deferred session even though it has no attributes. Default false. */
  readonly storeEmpty?: boolean
}

/** Counters since the start, and the size now. */
export interface SessionStats {
  readonly sessions: number
  readonly created: number
  readonly invalidated: number
  readonly expired: number
  readonly replaced: number
  /** Commits that wrote a delta, that found nothing to write, and that came after the session's end. */
  readonly committed: number
  readonly unchanged: number
  readonly discarded: number
  /** Commits refused because others had changed the same attributes while this process stood still. */
  readonly overtaken: number
  readonly shortfalls: number
  readonly listenerErrors: number
  /** Attributes whose bytes could not be decoded. */
  readonly undecodable: number
}

/**
 * Keeps sessions for one application. Reads and writes work on the local copy and never wait; only receipts are
 * promises. Iterating gives a view of every session that has not expired.
 *
 * A process that stood still (SIGSTOP, a suspended machine, an event loop blocked for more than a second) has an old
 * copy when it goes on, and never knows it before its first call. The middleware and the express-session store wait
 * then until the copy has caught up. Whoever calls `find` and `commit` directly should do the same, before both:
 *
 * ```ts
 * await sessions.whenFresh()
 * const session = sessions.find(id)
 * ```
 *
 * `commit` refuses to undo what it knows others wrote during a stall that lies between `find` and itself.
 */
export interface SessionManager extends Iterable<Session> {
  /** Number of sessions on this member, expired ones included until they are removed. */
  readonly size: number
  /** Whether this member has caught up with the group; before that, sessions may be missing. */
  readonly ready: boolean
  /** Whether the local copy may be relied on: false after a stall of the process, until it has caught up. */
  readonly fresh: boolean
  /**
   * Undefined when `fresh`, at the cost of one look at the clock. Otherwise fulfilled once this member has caught up with
   * another one, nobody else is there, or `replication.stallFenceTimeoutMs` are over; never rejected.
   */
  whenFresh(): Promise<void> | undefined
  create(options?: CreateSessionOptions): Session
  /** A fresh view, or undefined when there is none or it has been idle too long. Does not count as a use. */
  find(id: string): Session | undefined
  /** The session, or a new one under a *new* id: an id the client made up is never adopted. */
  getOrCreate(id: string | undefined, options?: CreateSessionOptions): Session
  /** Ids of sessions that have not expired. */
  ids(): IterableIterator<string>
  /**
   * Writes what the view changed, as one delta. Undefined: nothing was written, because nothing changed or the session
   * has ended (then event `discarded`).
   *
   * @throws {SessionOvertakenError} when the process stood still since the view was loaded, and other members changed an
   *   attribute that the view changed too; nothing was written
   * @throws what the codec throws for a value that it cannot carry
   */
  commit(session: Session, options?: CommitOptions): Promise<SendReceipt> | undefined
  /** Ends a session for good, everywhere. */
  invalidate(session: Session, options?: CommitOptions): Promise<SendReceipt> | undefined
  /** Milliseconds since the epoch on this host, the clock that cookie dates are made by. */
  wallMs(): number
  stats(): SessionStats
  start(): void
  stop(): Promise<void>
  on<K extends keyof SessionEvents>(event: K, listener: (...args: SessionEvents[K]) => void): this
  once<K extends keyof SessionEvents>(event: K, listener: (...args: SessionEvents[K]) => void): this
  off<K extends keyof SessionEvents>(event: K, listener: (...args: SessionEvents[K]) => void): this
}

/** What the HTTP layer needs of a cluster. `name` goes into the route cookie. */
export interface SessionHost {
  readonly name: string
  readonly sessions: SessionManager
}
