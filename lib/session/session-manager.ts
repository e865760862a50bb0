import type { AckMode, SendReceipt } from '../channel/topic.js'
import type { AttributeScope } from './attribute-scope.js'
import type { LargeAttributeEvent } from './large-attributes.js'
import type { MergeStrategy } from './merge.js'
import type { Session } from './session.js'
import type { ChangeDetection } from './session-delta.js'
import type { InvalidateOptions } from './session-ending.js'

/** Why a session ended. `replaced`: another record has its id, after two members created one id during a partition. */
export type SessionEnd = 'invalidated' | 'expired' | 'replaced'

/** Whether this member or another caused an event. */
export type SessionCause = 'local' | 'remote'

/** A session ended. */
export interface SessionDestroyedEvent {
  /** A secret until now; nobody is served under it any more. */
  readonly id: string
  /** What ended it. */
  readonly reason: SessionEnd
  /** `remote`: another member ended it, and this one heard of it. */
  readonly cause: SessionCause
  /** Its attributes as they last were; decoded when first asked for. A value that cannot be decoded is left out. */
  readonly attributes: ReadonlyMap<string, unknown>
}

/** Events of a SessionManager, told after the change is in the local copy. */
export interface SessionEvents {
  /** A session is here: a new one, one that came with a state transfer, or one whose expiry was objected to. */
  created: [event: { readonly id: string; readonly cause: SessionCause }]
  /** Attributes have other values now. Named are those that the manager's application has, by the names it knows. */
  changed: [event: { readonly id: string; readonly names: readonly string[]; readonly cause: SessionCause }]
  /** The session has another id; the previous one is dead. */
  idChanged: [event: { readonly id: string; readonly previousId: string; readonly cause: SessionCause }]
  /** A session is gone; told once for each end. */
  destroyed: [event: SessionDestroyedEvent]
  /** A write was not acknowledged by as many members as asked. It may still arrive. */
  shortfall: [event: { readonly id: string; readonly receipt: SendReceipt }]
  /** A commit was dropped because the session had ended meanwhile. */
  discarded: [event: { readonly id: string; readonly names: readonly string[] }]
  /** A value above `warnAttributeBytes` is being written; once for each name. */
  largeAttribute: [event: LargeAttributeEvent]
  /** A listener of one of these events threw. */
  listenerError: [error: unknown, event: string]
}

/**
 * Where a write is: `here`, part of this copy; `coming`, not yet here, but whoever wrote it is a member and keeps it until
 * it is; `missing`, its writer is no member (any more): another member may have it, or nobody.
 */
export type WriteWhereabouts = 'here' | 'coming' | 'missing'

/** How one view shows its session. */
export interface ViewOptions {
  /** Whether what would change the session throws a {@link SessionReadOnlyError}; it is never written. Default false. */
  readonly readOnly?: boolean
  /** Which attributes it has, by which names. Default: as the manager's `application` and `shared` say. */
  readonly scope?: AttributeScope
}

/** How a new session begins. */
export interface CreateSessionOptions extends ViewOptions {
  /** The public id, 1 to 512 bytes, not in use, or `create` throws. Default: 24 random bytes, base64url. */
  readonly id?: string
  /** Whole seconds up to 3,153,600,000 (a hundred years); 0 or less: never expires. Default: the manager's. */
  readonly maxInactiveInterval?: number
  /**
   * Seconds after which it ends however much it is used, up to 3,153,600,000; 0: never. Counted on cluster time, so that
   * members agree and no step of a clock matters. Default: the manager's.
   */
  readonly maxLifetime?: number
  /** Names and values it begins with. Default: none. */
  readonly attributes?: Iterable<readonly [string, unknown]>
  /** Store it with the first commit only (then as one delta with its attributes) instead of at once. Default false. */
  readonly deferred?: boolean
}

/** How one commit is sent; unset fields: the manager's options. */
export interface CommitOptions {
  /** What the receipt waits for. Default: the manager's, `applied` unless it was told otherwise. */
  readonly ack?: AckMode
  /** How many other members must acknowledge. Default: the manager's, else 1. */
  readonly copies?: number | 'all'
  /** Milliseconds until the receipt says `unknown`. Default: the manager's, else 1,000. */
  readonly ackTimeoutMs?: number
  /** What counts as a change. Default: the manager's, else `modified`. */
  readonly detect?: ChangeDetection
  /** What becomes of attributes that others wrote meanwhile. Default: the manager's, else `attribute`. */
  readonly merge?: MergeStrategy
  /** Store a deferred session even though it has no attributes. Default false. */
  readonly storeEmpty?: boolean
}

/** The size now, and what this member has counted since its start; a copy. */
export interface SessionStats {
  /** Sessions on this member, expired ones included until they are removed. */
  readonly sessions: number
  /** Those of them with values that are kept on this member alone (`exclude`, `maxAttributeBytes`). */
  readonly local: number
  /** Sessions that appeared here, whoever made them, with those of the state transfer. */
  readonly created: number
  /** Sessions that ended here by `invalidate`, whoever called it. */
  readonly invalidated: number
  /** Sessions that ended here for want of use or by their absolute end, whoever found that. */
  readonly expired: number
  /** Sessions that gave way to another with their id. */
  readonly replaced: number
  /** Deltas this member wrote: commits, creations, changed ids and invalidations. */
  readonly committed: number
  /** Commits that found nothing to write. */
  readonly unchanged: number
  /** Commits dropped because the session had ended. */
  readonly discarded: number
  /** Commits refused because others had changed the same attributes while this process stood still. */
  readonly overtaken: number
  /** Attributes for which a merge function was asked. */
  readonly merged: number
  /** Receipts that were not `met`. */
  readonly shortfalls: number
  /** Errors that listeners of this manager threw. */
  readonly listenerErrors: number
  /** Attributes whose bytes could not be decoded. */
  readonly undecodable: number
  /** Names of attributes above `warnAttributeBytes`. */
  readonly largeAttributes: number
  /** Sessions whose values kept on this member alone gave way, because more than 100,000 sessions had some. */
  readonly localDropped: number
}

/**
 * Keeps sessions for one application (Tomcat: Manager). Reads and writes work on the local copy and never wait; only
 * receipts are promises. Iterating gives a view of every session that has not expired.
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
  /**
   * For clients that go from member to member: waits until this copy has the write that another member named by
   * {@link Session.writeToken}, and asks for it. Undefined: nothing to wait for, because it is here or the text is no
   * token. Otherwise fulfilled, never rejected, with whether it came within `timeoutMs` (milliseconds, default 250, to
   * the precision of a tenth of a second): with `false`, what `find` shows may be older than what the client has seen.
   *
   * Sign a token that goes through clients: whoever makes them up has requests wait and members ask each other.
   * The guarantee is "read your writes" of Terry et al., Session Guarantees (1994).
   */
  whenCaughtUp(token: string, timeoutMs?: number): Promise<boolean> | undefined
  /** Where the write is that a {@link Session.writeToken} names; `here` also for a text that is no token. */
  whereabouts(token: string): WriteWhereabouts
  /**
   * A new session, stored here and sent to the others at once unless `deferred`. Its receipt is not waited for; one
   * that is not met is told as `shortfall`.
   *
   * @throws {InvalidStateError} when the manager is not started, or the id given is in use
   * @throws {InvalidOptionError} when the id, the interval or the name of an attribute is not allowed
   * @throws {MessageTooLargeError} when the attributes are over the limits that `commit` names; nothing was stored
   * @throws {SessionValueError} as `commit` (the last two: with `deferred` from `commit` only)
   */
  create(options?: CreateSessionOptions): Session
  /**
   * A fresh view, or undefined when there is none, it has been idle too long, or has come to its absolute end (which is
   * then told to all members). Does not count as a use.
   */
  find(id: string, options?: ViewOptions): Session | undefined
  /** The session, or a new one under a *new* id: an id the client made up is never adopted. Throws as `create` does. */
  getOrCreate(id: string | undefined, options?: CreateSessionOptions): Session
  /** Ids of sessions that have not expired. */
  ids(): IterableIterator<string>
  /**
   * Writes what the view changed, as one delta: here at once, elsewhere as the receipt tells. Undefined: nothing was
   * written, because nothing changed, the view was invalidated, or somebody else ended the session (event `discarded`).
   * With `onShortfall: 'throw'` the promise rejects with a {@link SendError} if too few acknowledged; the write stands.
   *
   * @throws {MessageTooLargeError} beyond 256 bytes for a name, 1 MiB for a value, 1,024 attributes (a few of them the
   *   library's own), 16,384 names with those once removed, or 4 MiB for all of a session; nothing was written
   * @throws {SessionOvertakenError} when the process stood still since the view was loaded, and other members changed an
   *   attribute that the view changed too; nothing was written. Not with a merge function, which is asked instead
   * @throws what a merge function throws; nothing was written
   * @throws {SessionValueError} for a value that the codec cannot carry; nothing was written
   * @throws {InvalidOptionError} which option, what is allowed, what came; nothing was written
   * @throws {InvalidStateError} after this member has left: nobody would get it
   */
  commit(session: Session, options?: CommitOptions): Promise<SendReceipt> | undefined
  /**
   * Ends a session for good: here at once, elsewhere as the receipt tells. Undefined: it was not stored, or has ended
   * already. With `onShortfall: 'throw'` the promise rejects with a {@link SendError} if too few acknowledged; the
   * session has ended nevertheless.
   *
   * @throws {InvalidOptionError} which option, what is allowed, what came; nothing has happened then
   * @throws {InvalidStateError} after this member has left
   */
  invalidate(session: Session, options?: InvalidateOptions): Promise<SendReceipt> | undefined
  /** Milliseconds since the epoch on this host, the clock that cookie dates are made by. */
  wallMs(): number
  /** A copy of the figures as they are now. */
  stats(): SessionStats
  /** Finds what the store holds, and tells events from now on (none for what is found). `Cluster` calls it. */
  start(): void
  /** Ends the events and `create`, and with `expireSessionsOnShutdown` the sessions. `Cluster.leave` calls it. */
  stop(): Promise<void>
  /**
   * Has `listener` called with every such event, within the call that made the change, in the order of the listeners.
   * One that throws, or whose promise rejects, stops neither the others nor the change: it is counted, and told as
   * `listenerError`.
   */
  on<K extends keyof SessionEvents>(event: K, listener: (...args: SessionEvents[K]) => void): this
  /** The same for one event. */
  once<K extends keyof SessionEvents>(event: K, listener: (...args: SessionEvents[K]) => void): this
  /** Ends what `on` or `once` began with the same function. */
  off<K extends keyof SessionEvents>(event: K, listener: (...args: SessionEvents[K]) => void): this
}
