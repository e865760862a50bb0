import type { SendReceipt } from '../../channel/topic.js'
import { InvalidStateError, SendError, SessionOvertakenError } from '../../errors.js'
import { isAtOnce } from '../../session/receipts.js'
import type { Session } from '../../session/session.js'
import type { ViewOptions } from '../../session/session-manager.js'
import type { LoginOptions, Users } from '../../users/users.js'
import { afterFresh, freshened } from '../after-fresh.js'
import type { ClientConnection, SentCookies } from '../cookies/session-cookie.js'
import { ALL_SEEN, type Unseen } from './read-your-writes.js'
import type { FacadeOwner, RegenerateOptions, RequestSession } from './request-session.js'
import { facadeOf } from './request-session.js'
import { NONE, type SessionGate } from './session-gate.js'
import { SignOnVisit } from './sign-on.js'

/**
 * One request and its session, whatever the framework: reads the cookie and loads the session when first asked for it,
 * commits what the request changed, and says which cookies the reply needs. A subclass knows the framework's request.
 */
export abstract class SessionExchange<R> implements FacadeOwner, ClientConnection {
  protected readonly gate: SessionGate<R>
  readonly #header: string | undefined
  #sent: SentCookies | undefined
  #session: Session | undefined
  #facade: RequestSession | undefined
  /** How the request sees its session, once that was asked. */
  #viewed: { readonly view: ViewOptions | undefined } | undefined
  /** What was written and is not acknowledged at once. */
  #receipts: Promise<unknown>[] | undefined
  #wrote = false
  /** What the client has seen, if some of it is not here. */
  #unseen: Unseen = ALL_SEEN
  /** Tokens of views that have been replaced. */
  #written: readonly string[] = NONE
  #countedBytes = 0
  readonly #signOn: SignOnVisit | undefined
  #headed = false
  #overtaken = false
  #closed = false

  /** `header`: the client's `Cookie` header. */
  constructor(gate: SessionGate<R>, header: string | undefined) {
    this.gate = gate
    this.#header = header
    this.#signOn = gate.signOn === undefined ? undefined : new SignOnVisit(gate.signOn, header)
  }

  /** Whom errors are reported with. */
  protected abstract get request(): R
  /** The request's path, with or without the query, as the client said it. */
  protected abstract get url(): string
  abstract get isSecure(): boolean
  /** Whether the reply's headers are out, so that no cookie can be added. */
  protected abstract get isHeaded(): boolean

  /**
   * To be waited for before anything else; see {@link SessionGate.whenReady}. Undefined: nothing to wait for. Never
   * rejected.
   */
  whenReady(): Promise<void> | undefined {
    this.gate.stats.requests++
    const ready = this.gate.whenReady(this.#header)?.then(unseen => {
      this.#unseen = unseen
    })
    const signOn = this.#signOn
    const known = signOn?.whenKnown()
    if (signOn === undefined || (known === undefined && !signOn.asks)) return ready
    return this.#approved(signOn, Promise.all([ready, known]))
  }

  /** See {@link RequestSession.stale}. */
  get stale(): boolean {
    return this.#unseen.lacking.length > 0 || this.#signOn?.isLate === true
  }

  /** What the application sees; loads the session. */
  get facade(): RequestSession {
    if (this.#facade === undefined) this.#facade = facadeOf(this.#load(), this)
    return this.#facade
  }

  /**
   * Whether the reply must now become a refusal, because others wrote the same attributes while this process stood
   * still. True once.
   */
  takeRefusal(): boolean {
    const refused = this.#overtaken
    this.#overtaken = false
    if (refused) this.#closed = true
    return refused
  }

  /** Nothing will be written any more. */
  get isClosed(): boolean {
    return this.#closed
  }

  /** The application is done with the session; only what {@link commit} has written so far counts. */
  close(): void {
    this.#closed = true
  }

  /** Ends the session, if there is one. */
  invalidate(): void {
    const session = this.#load()
    if (session.isValid) this.endSession(session)
  }

  /** The headers are about to go out: commits, and gives the cookies to be added to them. Nothing the second time. */
  takeCookies(): readonly string[] {
    if (this.#headed) return NONE
    this.#headed = true
    this.commit()
    const { gate } = this
    // A client is bound to who serves it now, also when nobody looked at the session.
    if (this.#session === undefined && gate.isBoundElsewhere(this.#header)) this.#session = this.#find()
    const session = this.#session
    if (session?.key !== undefined && !this.#wrote) gate.stats.reads++
    const known = session === undefined ? NONE : gate.answer(session, this.#sentCookies(), this)
    const shared = session === undefined ? undefined : this.#signOn?.answer(session, this)
    const cookies = shared === undefined ? known : [...known, ...shared]
    const token = session?.writeToken
    const written = token === undefined ? this.#written : [...this.#written, token]
    const seen = gate.tellSeen(this.#unseen, written, this)
    return seen.length === 0 ? cookies : [...cookies, ...seen]
  }

  /** Writes what changed. What cannot be stored is reported and not thrown. */
  commit(): void {
    if (this.#closed) return
    const { gate } = this
    try {
      // Where something is not here, an empty session would take the place of the client's.
      const send = this.stale ? { ...gate.send, storeEmpty: false } : gate.send
      if (send.storeEmpty === true && !this.isHeaded) this.#load()
      const session = this.#session
      if (session === undefined || session.isInvalidated) return
      const late = session.key === undefined && this.isHeaded
      if (late && session.names().length === 0) return
      if (late) throw new Error('A session was begun after the headers were sent; its client cannot get the cookie')
      // The end of the reply waits and then writes.
      if (session.key !== undefined && !gate.sessions.fresh) return
      this.#keep(gate.sessions.commit(session, send))
    } catch (error) {
      if (error instanceof SessionOvertakenError) this.#overtaken = true
      gate.report(error, this.request)
    }
  }

  /** Whether the local copy may be relied on. A new session undoes nothing and never waits. */
  get isFresh(): boolean {
    return this.#session?.key === undefined || this.gate.sessions.fresh
  }

  // What waits has methods of its own: the memory of a closure is made where its function begins, for every request.

  /** Runs `run` when {@link isFresh} may be true again. */
  protected whenFresh(run: () => void): void {
    afterFresh(this.gate.sessions, run)
  }

  /** Whether something was written that the reply waits for; see {@link whenAcknowledged}. */
  get isAwaitingReceipts(): boolean {
    return this.#receipts !== undefined
  }

  /** Fulfilled, never rejected, when all that was written so far is acknowledged as asked. */
  async whenAcknowledged(): Promise<void> {
    const receipts = this.#receipts ?? []
    await (receipts.length === 1 ? receipts[0] : Promise.all(receipts))
  }

  /**
   * For frameworks that ask before a reply leaves: commits, and calls back with the cookies once everything is
   * acknowledged; at once if nothing was written. Then see {@link takeRefusal}.
   */
  conclude(done: (cookies: readonly string[]) => void): void {
    if (!this.isFresh) return this.#concludeLater(done)
    const cookies = this.takeCookies()
    if (this.#receipts === undefined) done(cookies)
    else this.afterReceipts(done, cookies)
  }

  #concludeLater(done: (cookies: readonly string[]) => void): void {
    this.whenFresh(() => this.conclude(done))
  }

  /**
   * Calls `run` when all that was written so far is acknowledged as asked; outside the promise, where what it throws
   * would be an unhandled rejection.
   */
  protected afterReceipts<T extends unknown[]>(run: (...args: T) => void, ...args: T): void {
    void this.whenAcknowledged().then(() => process.nextTick(run, ...args))
  }

  /** See {@link RequestSession.regenerate}. */
  regenerate(old: Session, options: RegenerateOptions): RequestSession {
    if (options.keep === true) {
      this.changeId(old)
      return this.facade
    }
    const names = typeof options.keep === 'object' ? options.keep : []
    const kept = old.isValid ? names.filter(name => old.has(name)).map(name => [name, old.get(name)] as const) : []
    if (old.isValid) this.endSession(old)
    if (old.writeToken !== undefined) this.#written = [...this.#written, old.writeToken]
    this.#countedBytes = 0
    this.#session = this.gate.create(this.#view, kept)
    this.#facade = undefined
    return this.facade
  }

  /** Writes at once, so that what changes afterwards is not in it; unless the copy is old after a stall. */
  save(session: Session): Promise<SendReceipt | undefined> {
    const { gate } = this
    const isLate = this.#headed
    const saved = this.#write(() => gate.sessions.commit(session, { ...gate.send, storeEmpty: true }))
    // What cannot be stored is tried, and reported, again when the reply goes out; unless it has gone.
    saved.catch(error => {
      if (isLate && !(error instanceof SendError)) gate.report(error, this.request)
    })
    return saved
  }

  /** See {@link RequestSession.login}. */
  login(session: Session, principal: string, options: LoginOptions): Promise<SendReceipt | undefined> {
    const signOn = this.#signOn !== undefined
    return this.#write(() => {
      const receipt = this.#users().login(session, principal, { ...this.gate.send, signOn, ...options })
      this.#signOn?.loggedIn()
      return receipt
    })
  }

  /** See {@link RequestSession.logout}. */
  logout(session: Session): Promise<SendReceipt | undefined> {
    return this.#write(() => this.#users().logout(session, this.gate.send))
  }

  endSession(session: Session): Promise<SendReceipt> | undefined {
    const { users, send } = this.gate
    // Also of a session that has just joined a sign-on, which its record does not say yet.
    const isLogin = users !== undefined && session.principal !== undefined
    return this.#keep(isLogin ? users.logout(session, send) : session.invalidate(send))
  }

  changeId(session: Session): Promise<SendReceipt> | undefined {
    return this.#keep(session.changeId(this.gate.send))
  }

  /** Writes as soon as the copy may be relied on. */
  #write(write: () => Promise<SendReceipt> | undefined): Promise<SendReceipt | undefined> {
    const written: Promise<SendReceipt | undefined> = freshened(this.gate.sessions).then(() => {
      const receipt = this.#keep(write())
      // It was written. Too few receipts are told by the manager, also to those who do not wait for them.
      written.catch(() => {})
      return receipt
    })
    return written
  }

  /** The reply waits for this receipt. */
  #keep(receipt: Promise<SendReceipt> | undefined): Promise<SendReceipt> | undefined {
    if (receipt === undefined) return undefined
    const { stats } = this.gate
    if (!this.#wrote) stats.writes++
    this.#wrote = true
    stats.deltas++
    const bytes = this.#session?.writtenBytes ?? 0
    stats.bytes += bytes - this.#countedBytes
    this.#countedBytes = bytes
    if (isAtOnce(receipt)) return receipt
    this.#receipts ??= []
    this.#receipts.push(receipt.catch(() => {}))
    return receipt
  }

  #load(): Session {
    if (this.#session === undefined) {
      this.#session = this.#find() ?? this.gate.create(this.#view)
      // Its new id could not be told any more; and where something is not here, it may be that of its login.
      if (!this.#headed && !this.isHeaded && !this.stale) this.#signOn?.join(this.#session)
    }
    return this.#session
  }

  /** The application may take its time; the copy may have become old meanwhile. */
  async #approved(signOn: SignOnVisit, ready: Promise<unknown>): Promise<void> {
    await ready
    const { id } = this.#sentCookies()
    const { gate } = this
    if (signOn.isLate && this.#unseen.lacking.length === 0) gate.stats.stale++
    try {
      const joins = !this.stale && this.#view?.readOnly !== true
      if (joins) await signOn.approve(() => (id === undefined ? undefined : gate.sessions.find(id)))
    } catch (error) {
      gate.report(error, this.request)
    }
    await freshened(gate.sessions)
  }

  #users(): Users {
    const { users } = this.gate
    if (users === undefined) throw new InvalidStateError('a cluster with users', 'one without')
    return users
  }

  #find(): Session | undefined {
    return this.gate.find(this.#sentCookies(), this.request, this.#view)
  }

  get #view(): ViewOptions | undefined {
    // The application's test is asked once: its answer counts for the whole request.
    this.#viewed ??= { view: this.gate.view(this.url, this.request) }
    return this.#viewed.view
  }

  #sentCookies(): SentCookies {
    this.#sent ??= this.gate.read(this.#header)
    return this.#sent
  }
}
