import { Buffer } from 'node:buffer'
import type { SendReceipt } from '../channel/topic.js'
import { InvalidStateError, LoginRefusedError, SessionInvalidError } from '../errors.js'
import { decodeText, encodeText } from '../replication/attribute-text.js'
import {
  type AttributeWrites,
  MAX_INACTIVE,
  type RecordChange,
  type RecordKey,
  type RecordStore,
} from '../replication/replica-contract.js'
import { creationDot } from '../replication/stamp.js'
import type { Random } from '../runtime/runtime.js'
import { checkPrincipal, LOGIN, PRINCIPAL } from '../session/principal.js'
import type { ReceiptOptions } from '../session/receipts.js'
import { Receipts } from '../session/receipts.js'
import { SafeEmitter } from '../session/safe-emitter.js'
import { ENDS_AT, PUBLIC_ID, readNumber, type Session, writeNumber } from '../session/session.js'
import { clusterTimeOf, type SessionClocks } from '../session/session-clocks.js'
import { type InvalidateOptions, type SessionWhy, whyOf } from '../session/session-ending.js'
import type { CommitOptions, SessionCause, SessionManager } from '../session/session-manager.js'
import { writeToken } from '../session/write-token.js'
import { encodeLogin, type LoginPolicy, resolveLoginPolicy, type UsersOptions, type WhenFull } from './login-policy.js'
import { EXCEPT, REVOKED, SIGN_ON, SIGN_ON_ID, SUBJECT } from './user-attributes.js'
import { type UserLogin, UserRecords } from './user-records.js'
import { ORPHAN_MS, UserReviews } from './user-reviews.js'

/** How long a revocation finds sessions on members that were cut off when it was made. */
const REVOCATION_SECONDS = 86_400
/** Random bytes in what the cookie of a sign-on says. */
const SIGN_ON_ID_BYTES = 24

/** A session with a principal is gone; told once on each member that had it. */
export interface UserSessionEndedEvent {
  readonly principal: string
  /** Its public id, nobody's any more. */
  readonly id: string
  readonly why: SessionWhy
  /** Whether this member ended it, or heard of it. */
  readonly cause: SessionCause
}

/** Events of {@link Users}. */
export interface UsersEvents {
  /** A session of somebody is over, on whatever member that was decided. */
  ended: [event: UserSessionEndedEvent]
  /** A listener threw, or its promise rejected. */
  listenerError: [error: unknown, event: string]
}

/** How one login is made; unset fields: the option `users` of the cluster, or the manager's. */
export interface LoginOptions extends Omit<CommitOptions, 'storeEmpty'> {
  /** Logins the principal may have with this one, 1 to 1,000,000; 0: as many as it likes. */
  readonly maxSessions?: number
  /** What happens to one too many. */
  readonly whenFull?: WhenFull
  /** Whether the session keeps its id. Default false: whoever knew it before the login (session fixation) has nothing. */
  readonly keepId?: boolean
  /** Whether it is a sign-on, which other applications' sessions can share. Default false. */
  readonly signOn?: boolean
}

/** Who is ended by {@link Users.endAll}. */
export interface EndAllOptions extends Omit<CommitOptions, 'storeEmpty' | 'detect'> {
  /** The session that may stay, with what shares its sign-on. */
  readonly except?: Session
}

/** What Users works with. */
export interface UsersParts extends SessionClocks {
  readonly store: RecordStore
  readonly sessions: SessionManager
  readonly random: Random
  /** Calls back for every change of the store, synchronously, local ones included. Returns how to end that. */
  readonly onChange: (listener: (change: RecordChange) => void) => () => void
  /** What receipts of {@link Users.endAll} wait for: the session manager's options. */
  readonly receipts: ReceiptOptions
}

/**
 * Who is logged in, on whatever member: finds the sessions of a principal, limits how many there may be (KHAN's
 * duplicate-login prevention), ends them everywhere, and keeps sign-ons that several applications share (Tomcat's
 * ClusterSingleSignOn).
 *
 * Reads are local, and say what has arrived here. What must end is decided by the records alone and by the order of
 * their stamps, so that members that heard of logins in different orders, or were cut off from each other, come to the
 * same: the surplus of two logins at the same moment ends within a second of their meeting, that of a partition within
 * a second of its end.
 */
export class Users {
  readonly #parts: UsersParts
  readonly #policy: LoginPolicy
  readonly #records: UserRecords
  readonly #reviews: UserReviews
  readonly #receipts: Receipts<undefined>
  readonly #emitter: SafeEmitter<UsersEvents>
  #unsubscribe: (() => void) | undefined

  /** @throws {InvalidOptionError} when an option is out of range. `Cluster` makes it. */
  constructor(parts: UsersParts, options?: UsersOptions) {
    this.#parts = parts
    this.#policy = resolveLoginPolicy(options, 'users.')
    this.#records = new UserRecords(parts.store)
    this.#reviews = new UserReviews({ ...parts, records: this.#records })
    this.#receipts = new Receipts(parts.receipts, () => {})
    this.#emitter = new SafeEmitter((error, event) => {
      if (event !== 'listenerError') this.#emitter.emit('listenerError', error, event)
    })
  }

  /** Views of the principal's sessions that have not expired, in no order. */
  sessions(principal: string): Session[] {
    const found: Session[] = []
    for (const key of this.#records.sessions.keys(principal)) {
      const session = this.#view(key)
      if (session !== undefined) found.push(session)
    }
    return found
  }

  /** How many sessions it has here, expired ones included until they are removed. */
  count(principal: string): number {
    return this.#records.sessions.count(principal)
  }

  /** Principals that have a session, each once, in no order. */
  principals(): IterableIterator<string> {
    return this.#records.sessions.texts()
  }

  /**
   * Makes the session the principal's and commits it, with what else the view has changed. It gets a new id, unless
   * `keepId`. If the principal has as many logins as it may, the oldest of them end (`endOldest`), or this one is refused.
   * A session that was somebody's changes hands with all its attributes; end it first if they are not to be seen. The
   * receipt is as of a commit, and says nothing of the sessions that end for it.
   *
   * With express-session, pass what `sessionOf` of `tribeline/express` gives, and `keepId`: see there.
   *
   * Two members that log in one principal at the same time both say yes; then the surplus ends, see {@link Users}. A
   * session nobody uses any more keeps its place until it is removed.
   *
   * @throws {LoginRefusedError} with `whenFull: 'refuse'`; the session is as it was
   * @throws {InvalidOptionError} for a principal that is no text of 1 to 256 bytes, and options out of range
   * @throws {SessionInvalidError} when the session has ended
   * @throws what `SessionManager.commit` throws; the session is as it was
   */
  login(session: Session, principal: string, options: LoginOptions = {}): Promise<SendReceipt> | undefined {
    checkPrincipal(principal)
    const {
      maxSessions = this.#policy.maxSessions,
      whenFull = this.#policy.whenFull,
      keepId,
      signOn,
      ...send
    } = options
    const policy = resolveLoginPolicy({ maxSessions, whenFull }, '')
    if (!session.isValid) throw new SessionInvalidError(session.id)
    this.#checkRoom(session, principal, policy)
    const note = encodeLogin({ atMs: this.#parts.clock.wall(), policy })
    const before = [PUBLIC_ID, PRINCIPAL, LOGIN, SIGN_ON].map(name => [name, session.reserved(name)] as const)
    const { id } = session
    const link = this.#linkOf(session)
    const isSame = link !== undefined && this.#records.signOns.text(link) === principal
    session.principal = principal
    const endsAt = session.reserved(ENDS_AT)
    const begun = signOn === true && !isSame ? this.#beginSignOn(principal, note, endsAt) : undefined
    session.setReserved(LOGIN, note)
    if (!isSame) session.setReserved(SIGN_ON, begun === undefined ? undefined : encodeText(begun))
    // In the same delta, so that the old id is nowhere that of a login.
    if (keepId !== true) session.renewId()
    let receipt: Promise<SendReceipt> | undefined
    try {
      receipt = this.#parts.sessions.commit(session, { ...send, storeEmpty: true })
    } catch (error) {
      for (const [name, bytes] of before) session.setReserved(name, bytes)
      session.renamed(id)
      if (begun !== undefined) this.#parts.store.invalidate(begun)
      throw error
    }
    if (isSame) this.#parts.store.write(link, new Map([[LOGIN, note]]))
    else if (link !== undefined) this.#reviews.unlinked(link, 'local', 'logout')
    this.#reviews.flush()
    return receipt
  }

  /**
   * Logs out: ends the session, and with it the sign-on it belongs to and that one's other sessions, on every member.
   * Undefined, as of `SessionManager.invalidate`: there was nothing to end.
   *
   * @throws {SessionInvalidError} when this view was invalidated before
   */
  logout(session: Session, options: CommitOptions = {}): Promise<SendReceipt> | undefined {
    return this.#end(session, { ...options, why: 'logout' })
  }

  /**
   * Ends the session with this id on every member, as an administrator does; with it its sign-on. Undefined: there is
   * none, or it has expired.
   */
  end(id: string, options: CommitOptions = {}): Promise<SendReceipt> | undefined {
    const session = this.#parts.sessions.find(id)
    return session === undefined ? undefined : this.#end(session, { ...options, why: 'forced' })
  }

  /**
   * Ends every session of the principal whose login lies before this call, on every member: also those not known here,
   * on members that were cut off for up to a day. Later logins are not concerned. The receipt says who knows; whoever
   * does ends what it has. A shortfall is told by the receipt alone.
   *
   * @throws {InvalidOptionError} for a principal that is no text of 1 to 256 bytes
   * @throws {InvalidStateError} after this member has left
   */
  endAll(principal: string, options: EndAllOptions = {}): Promise<SendReceipt> {
    checkPrincipal(principal)
    this.#checkStarted()
    const { store } = this.#parts
    const except = options.except?.key
    const writes: AttributeWrites = new Map([
      [REVOKED, encodeText(principal)],
      [EXCEPT, except === undefined ? undefined : encodeText(except)],
      [MAX_INACTIVE, writeNumber(REVOCATION_SECONDS)],
    ])
    const [known] = this.#records.revocations.keys(principal)
    const send = this.#receipts.of(undefined, options)
    if (known === undefined || store.write(known, writes, send) === undefined) store.create(writes, send)
    this.#reviews.flush()
    return send.promise()
  }

  /** The principal of a sign-on whose cookie says this; undefined: it is over, or not known here. */
  signedOn(signOnId: string): string | undefined {
    const key = this.#standing(signOnId)
    return key === undefined ? undefined : this.#records.signOns.text(key)
  }

  /** What the cookie of the session's sign-on says, a secret; undefined: it belongs to none. */
  signOnOf(session: Session): string | undefined {
    const link = this.#linkOf(session)
    return link === undefined ? undefined : this.#records.signOnIds.text(link)
  }

  /** Names the beginning of the session's sign-on as `Session.writeToken` names a write; undefined: it belongs to none. */
  signOnToken(session: Session): string | undefined {
    const link = this.#linkOf(session)
    return link === undefined ? undefined : writeToken(creationDot(link))
  }

  /**
   * Makes the session that of a sign-on's principal, with the next commit; a stored one gets a new id at once. It ends
   * with the sign-on from then on, and comes to its absolute end no later than the session whose login it was, so that
   * nobody signs on past a `maxLifetime`. Returns that principal; undefined: the sign-on is over, or not known here.
   *
   * @throws {SessionInvalidError} when the session has ended
   */
  join(session: Session, signOnId: string): string | undefined {
    const key = this.#standing(signOnId)
    const principal = key === undefined ? undefined : this.#records.signOns.text(key)
    if (key === undefined || principal === undefined) return undefined
    if (!session.isValid) throw new SessionInvalidError(session.id)
    session.principal = principal
    session.setReserved(SIGN_ON, encodeText(key))
    session.endBy(this.#parts.store.attribute(key, ENDS_AT))
    session.changeId()
    return principal
  }

  /** `listener` is called with every such event, within the call that made the change. */
  on<K extends keyof UsersEvents>(event: K, listener: (...args: UsersEvents[K]) => void): this {
    this.#emitter.on(event, listener)
    return this
  }

  /** The same for one event. */
  once<K extends keyof UsersEvents>(event: K, listener: (...args: UsersEvents[K]) => void): this {
    this.#emitter.once(event, listener)
    return this
  }

  /** Ends what `on` or `once` began with the same function. */
  off<K extends keyof UsersEvents>(event: K, listener: (...args: UsersEvents[K]) => void): this {
    this.#emitter.off(event, listener)
    return this
  }

  /** Ends now what follows from this turn's changes, and not at its end. For the library's own layers. */
  settle(): void {
    this.#reviews.flush()
  }

  /** Finds what the store holds, and follows its changes. `Cluster` calls it, before it starts the manager. */
  start(): void {
    if (this.#unsubscribe !== undefined) return
    this.#records.fill()
    this.#unsubscribe = this.#parts.onChange(change => this.#changed(change))
  }

  /** Ends nothing any more, and finds nobody. `Cluster.leave` calls it. */
  stop(): void {
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
    this.#reviews.stop()
    this.#records.clear()
  }

  #checkStarted(): void {
    if (this.#unsubscribe === undefined) throw new InvalidStateError('a member', 'no longer one')
  }

  #checkRoom(session: Session, principal: string, { maxSessions, whenFull }: LoginPolicy): void {
    if (maxSessions === 0 || whenFull !== 'refuse') return
    const isOther = ({ sessions }: UserLogin): boolean => sessions.length > 0 && !sessions.includes(session.key ?? '')
    if (this.#records.logins(principal).filter(isOther).length >= maxSessions) throw new LoginRefusedError(maxSessions)
  }

  #linkOf(session: Session): RecordKey | undefined {
    const link = session.reserved(SIGN_ON)
    return link === undefined ? undefined : decodeText(link)
  }

  /** The record of a sign-on that is not over. */
  #standing(signOnId: string): RecordKey | undefined {
    const { store } = this.#parts
    const [key] = this.#records.signOnIds.keys(signOnId)
    if (key === undefined) return undefined
    const endsAt = readNumber(store.attribute(key, ENDS_AT))
    if (endsAt !== undefined && endsAt <= clusterTimeOf(this.#parts)()) return undefined
    // That all its sessions have expired is so before they are removed, and it with them.
    const linked = this.#records.linked.keys(key)
    const isUsed = linked.length === 0 ? (store.idleMs(key) ?? 0) < ORPHAN_MS : linked.some(one => this.#view(one))
    return isUsed ? key : undefined
  }

  #beginSignOn(principal: string, note: Uint8Array, endsAt: Uint8Array | undefined): RecordKey {
    const id = Buffer.from(this.#parts.random.bytes(SIGN_ON_ID_BYTES)).toString('base64url')
    const { store } = this.#parts
    const writes = new Map([
      [SIGN_ON_ID, encodeText(id)],
      [SUBJECT, encodeText(principal)],
      [LOGIN, note],
      ...(endsAt === undefined ? [] : ([[ENDS_AT, endsAt]] as const)),
    ])
    return store.create(writes).key
  }

  #end(session: Session, options: InvalidateOptions): Promise<SendReceipt> | undefined {
    const link = this.#linkOf(session)
    // Before the session itself: who knows that it has ended, nearly always knows this by then.
    if (link !== undefined && !session.isInvalidated && !session.isReadOnly) this.#reviews.signOff(link, session.key)
    const receipt = session.invalidate(options)
    this.#reviews.flush()
    return receipt
  }

  #view(key: RecordKey): Session | undefined {
    const id = this.#parts.store.attribute(key, PUBLIC_ID)
    const session = id === undefined ? undefined : this.#parts.sessions.find(decodeText(id))
    return session?.key === key ? session : undefined
  }

  #changed(change: RecordChange): void {
    const { key, kind, cause } = change
    const records = this.#records
    const signOnBefore = records.linked.size === 0 ? undefined : records.linked.text(key)
    if (kind === 'removed') {
      if (records.isEmpty) return
      const principal = records.sessions.text(key)
      const wasSignOn = records.signOns.text(key) !== undefined
      records.forget(key)
      const why = whyOf(change)
      if (signOnBefore !== undefined) this.#reviews.unlinked(signOnBefore, cause, why)
      if (wasSignOn) this.#reviews.signedOff(key, cause)
      if (principal !== undefined) this.#tellEnd(principal, why, change)
      return
    }
    if (!records.changed(change)) return
    const link = records.linked.text(key)
    if (signOnBefore !== undefined && signOnBefore !== link) this.#reviews.unlinked(signOnBefore, cause)
    if (link !== undefined) this.#reviews.linked(link, cause)
    const subject = records.signOns.text(key)
    if (subject !== undefined) this.#reviews.signOn(key)
    const principal = subject ?? records.sessions.text(key) ?? records.revocations.text(key)
    if (principal !== undefined) this.#reviews.principal(principal, cause)
  }

  #tellEnd(principal: string, why: SessionWhy, { cause, before }: RecordChange): void {
    if (!this.#emitter.hears('ended')) return
    const id = before?.get(PUBLIC_ID)
    this.#emitter.emit('ended', { principal, id: id === undefined ? '' : decodeText(id), why, cause })
  }
}
