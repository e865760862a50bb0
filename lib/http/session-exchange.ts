import type { SendReceipt } from '../channel/topic.js'
import { SessionOvertakenError } from '../errors.js'
import type { Session } from '../session/session.js'
import { afterFresh } from './after-fresh.js'
import type { FacadeOwner, RegenerateOptions, RequestSession } from './request-session.js'
import { facadeOf } from './request-session.js'
import type { SentCookies } from './session-cookie.js'
import { NONE, type SessionGate } from './session-gate.js'

/**
 * One request and its session, whatever the framework: reads the cookie and loads the session when first asked for it,
 * commits what the request changed, and says which cookies the reply needs. A subclass knows the framework's request.
 */
export abstract class SessionExchange<R> implements FacadeOwner {
  protected readonly gate: SessionGate<R>
  readonly #header: string | undefined
  #sent: SentCookies | undefined
  #session: Session | undefined
  #facade: RequestSession | undefined
  #receipts: Promise<unknown>[] | undefined
  #headed = false
  #overtaken = false
  #closed = false

  /** `header`: the client's `Cookie` header. */
  constructor(gate: SessionGate<R>, header: string | undefined) {
    this.gate = gate
    this.#header = header
  }

  /** Whom errors are reported with. */
  protected abstract get request(): R
  /** Whether the client's connection is secure. */
  protected abstract get isSecure(): boolean
  /** Whether the reply's headers are out, so that no cookie can be added. */
  protected abstract get isHeaded(): boolean

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
    if (session.isValid) this.keep(session.invalidate())
  }

  /** The headers are about to go out: commits, and gives the cookies to be added to them. Nothing the second time. */
  takeCookies(): readonly string[] {
    if (this.#headed) return NONE
    this.#headed = true
    this.commit()
    if (this.#session === undefined) return NONE
    return this.gate.answer(this.#session, this.#sentCookies(), () => this.isSecure)
  }

  /** Writes what changed. What cannot be stored is reported and not thrown. */
  commit(): void {
    if (this.#closed) return
    const { gate } = this
    try {
      if (gate.savesUninitialized && !this.isHeaded) this.#load()
      const session = this.#session
      if (session === undefined || session.isInvalidated) return
      const late = session.key === undefined && this.isHeaded
      if (late && session.names().length === 0) return
      if (late) throw new Error('A session was begun after the headers were sent; its client cannot get the cookie')
      // The end of the reply waits and then writes.
      if (session.key !== undefined && !gate.sessions.fresh) return
      this.keep(gate.sessions.commit(session, gate.send))
    } catch (error) {
      if (error instanceof SessionOvertakenError) this.#overtaken = true
      gate.report(error, this.request)
    }
  }

  /** Runs `run` at once, or when the local copy may be relied on again. A new session undoes nothing and never waits. */
  whenFresh(run: () => void): void {
    const { sessions } = this.gate
    if (this.#session?.key === undefined || sessions.fresh) return run()
    afterFresh(sessions, run)
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
    this.whenFresh(() => {
      const cookies = this.takeCookies()
      if (this.#receipts === undefined) return done(cookies)
      // Outside the promise, where what it throws would be an unhandled rejection.
      void this.whenAcknowledged().then(() => process.nextTick(done, cookies))
    })
  }

  /** See {@link RequestSession.regenerate}. */
  regenerate(old: Session, options: RegenerateOptions): RequestSession {
    if (options.keep === true) {
      this.keep(old.changeId())
      return this.facade
    }
    const names = typeof options.keep === 'object' ? options.keep : []
    const kept = old.isValid ? names.filter(name => old.has(name)).map(name => [name, old.get(name)] as const) : []
    if (old.isValid) this.keep(old.invalidate())
    this.#session = this.gate.create(kept)
    this.#facade = undefined
    return this.facade
  }

  /** Writes at once, so that what changes afterwards is not in it; unless the copy is old after a stall. */
  async save(session: Session): Promise<SendReceipt | undefined> {
    const { sessions, send } = this.gate
    for (let wait = sessions.whenFresh(); wait !== undefined; wait = sessions.whenFresh()) await wait
    return this.keep(sessions.commit(session, { ...send, storeEmpty: true }))
  }

  keep(receipt: Promise<SendReceipt> | undefined): Promise<SendReceipt> | undefined {
    if (receipt === undefined) return undefined
    this.#receipts ??= []
    this.#receipts.push(receipt.catch(() => {}))
    return receipt
  }

  #load(): Session {
    this.#session ??= this.gate.load(this.#sentCookies().id)
    return this.#session
  }

  #sentCookies(): SentCookies {
    this.#sent ??= this.gate.read(this.#header)
    return this.#sent
  }
}
