import { Buffer } from 'node:buffer'
import { type InspectOptions, inspect } from 'node:util'
import type { SendReceipt } from '../channel/topic.js'
import {
  InvalidOptionError,
  InvalidStateError,
  SessionEndedError,
  SessionInvalidError,
  SessionReadOnlyError,
} from '../errors.js'
import { decodeNumber, decodeText, encodeText } from '../replication/attribute-text.js'
import type { Dot, RecordKey } from '../replication/replica-contract.js'
import { MAX_INACTIVE } from '../replication/replica-contract.js'
import { checkPrincipal, LOGIN, PRINCIPAL } from './principal.js'
import type { SessionCodec } from './session-codec.js'
import type { DeltaTerms } from './session-delta.js'
import { SessionDelta } from './session-delta.js'
import type { InvalidateOptions } from './session-ending.js'
import type { CommitOptions } from './session-manager.js'
import type { SessionSignals } from './session-signals.js'
import { writeToken } from './write-token.js'

/** Reserved attribute: the id that travels in the cookie. */
export const PUBLIC_ID = '\u0000id'
/** Reserved attribute: when the session was created, milliseconds since the epoch as decimal text. */
export const CREATED = '\u0000created'
/** Reserved attribute: when the session ends however much it is used, milliseconds of cluster time as decimal text. */
export const ENDS_AT = '\u0000endsAt'

/** What a session asks of its manager. */
export interface SessionBacking {
  readonly codec: SessionCodec
  /** Milliseconds of cluster time, which no step of one host's clock moves. */
  clusterMs(): number
  idleMs(key: RecordKey): number | undefined
  holds(key: RecordKey): boolean
  idOf(key: RecordKey): string | undefined
  touch(key: RecordKey): void
  invalidate(session: Session, options?: InvalidateOptions): Promise<SendReceipt> | undefined
  changeId(session: Session, options?: CommitOptions): Promise<SendReceipt> | undefined
  newId(): string
  readonly signals: SessionSignals
}

/** How a session begins: loaded from a record, or new. */
export interface SessionStart {
  readonly id: string
  readonly key?: RecordKey | undefined
  readonly base: Iterable<readonly [string, Uint8Array]>
  /** When it was loaded, as `Freshness.epoch` counts. Default 0. */
  readonly epoch?: number
  readonly terms?: DeltaTerms
}

/**
 * One request's view of a session (Tomcat: DeltaSession, which all requests share). Reads are local and synchronous;
 * values are decoded when first read. Changes stay in the view until `SessionManager.commit`, which writes all of them
 * as one delta. Two requests that hold the same session hold two views; what they changed is merged by attribute (of
 * two writes to one attribute the later wins).
 * It may be used after its commit, and goes on from what it wrote. One exception: a Buffer above 2 KiB that it has written
 * and others have overwritten since counts as unchanged at its next commit, even if it was changed in place.
 * After {@link Session.invalidate} the view throws SessionInvalidError. When somebody else ends the session, the view
 * stays what it was, so that a request under way is not torn; its commit is dropped and reported, and
 * {@link Session.isValid} is false at once.
 */
export class Session {
  readonly #backing: SessionBacking
  readonly #delta: SessionDelta
  readonly #epoch: number
  #id: string
  #key: RecordKey | undefined
  #isNew: boolean
  #valid = true
  #readOnly = false
  #written: Dot | undefined
  #writtenBytes = 0
  /** Of a signal asked for before the session was stored. */
  #ending: AbortController | undefined

  /** Sessions are made by a SessionManager. */
  constructor(backing: SessionBacking, start: SessionStart) {
    this.#backing = backing
    this.#delta = new SessionDelta(backing.codec, start.base, start.terms)
    this.#epoch = start.epoch ?? 0
    this.#id = start.id
    this.#key = start.key
    this.#isNew = start.key === undefined
  }

  /** The id the client holds; another one after {@link changeId}. A secret: never log it. */
  get id(): string {
    return this.#id
  }

  /** Whether the session was created by this request. */
  get isNew(): boolean {
    return this.#isNew
  }

  /** Whether it can still be used: not invalidated, not expired, as far as this member knows. */
  get isValid(): boolean {
    if (!this.#valid || (this.#key !== undefined && !this.#backing.holds(this.#key))) return false
    return this.endsInMs !== 0
  }

  /** Whether this view invalidated it. */
  get isInvalidated(): boolean {
    return !this.#valid
  }

  /** Whether this view is for reading only: what would change its session throws a SessionReadOnlyError. */
  get isReadOnly(): boolean {
    return this.#readOnly
  }

  /** Whether another request gave it another id since: {@link id} is dead then, and the new one not ours to tell. */
  get isRenamed(): boolean {
    return this.#key !== undefined && this.#backing.idOf(this.#key) !== this.#id
  }

  /** When it was created: milliseconds since the epoch by the clock of the member that created it. */
  get createdAt(): number {
    return readNumber(this.#delta.reserved(CREATED)) ?? 0
  }

  /** Milliseconds since its last use on any member, as far as this one knows; 0 for a session not yet stored. */
  get idleMs(): number {
    return this.#key === undefined ? 0 : (this.#backing.idleMs(this.#key) ?? 0)
  }

  /**
   * Milliseconds until its absolute end, which no use puts off (`maxLifetime`), on the clock all members share; 0 at
   * last. Undefined: it has none.
   */
  get endsInMs(): number | undefined {
    const endsAt = readNumber(this.#delta.reserved(ENDS_AT))
    return endsAt === undefined ? undefined : Math.max(0, endsAt - this.#backing.clusterMs())
  }

  /**
   * Names the last write made through this view, for `whenCaughtUp` on another member: 24 to 34 letters, digits, `-`, `_`
   * and a `.`. Undefined when nothing was written.
   */
  get writeToken(): string | undefined {
    return this.#written === undefined ? undefined : writeToken(this.#written)
  }

  /** Seconds without use after which it expires; -1: never. */
  get maxInactiveInterval(): number {
    return readNumber(this.#delta.reserved(MAX_INACTIVE)) ?? -1
  }

  /**
   * Seconds, rounded up, to 3,153,600,000 at most; 0 or less: never expires. Written with the next commit. For a session
   * with an absolute end, what is left until then if that is less.
   *
   * @throws {InvalidOptionError} for anything else
   * @throws {SessionInvalidError} after `invalidate`, as most methods do
   * @throws {SessionReadOnlyError} when the view is for reading only, as everything does that changes the session
   */
  set maxInactiveInterval(seconds: number) {
    this.#checkWritable()
    const { endsInMs } = this
    const interval = writeInterval(seconds)
    // So that the expiry of unused sessions finds those that nobody looks at any more.
    const left = endsInMs === undefined ? undefined : Math.max(1, Math.ceil(endsInMs / 1000))
    const never = interval === undefined
    this.#delta.setReserved(
      MAX_INACTIVE,
      left !== undefined && (never || left < seconds) ? writeNumber(left) : interval,
    )
  }

  /**
   * The attribute, or undefined; the same object each time. Objects may be changed in place if the change detection is
   * `modified` or wider.
   *
   * @throws {SessionInvalidError} after `invalidate`
   * @throws {ProtocolError} when the bytes do not decode (with a codec of your own: what that throws)
   */
  get<T = unknown>(name: string): T | undefined {
    this.#check()
    return this.#delta.get(name) as T | undefined
  }

  /**
   * Sets an attribute; the value is encoded at commit. With the default codec Dates, Maps, Sets, BigInts, typed arrays and
   * references come back as they were; an instance of a class comes back as plain data, a function as undefined, -0 as 0.
   *
   * @throws {InvalidOptionError} when `name` begins with NUL, which is reserved
   * @throws {SessionInvalidError} after `invalidate`
   * @throws {SessionReadOnlyError} when the view is for reading only
   */
  set(name: string, value: unknown): this {
    this.#checkWritable()
    this.#delta.set(name, value)
    return this
  }

  /** Removes an attribute; returns whether there was one. */
  delete(name: string): boolean {
    this.#checkWritable()
    return this.#delta.delete(name)
  }

  /** Whether there is such an attribute; does not decode it. */
  has(name: string): boolean {
    this.#check()
    return this.#delta.has(name)
  }

  /** Names of the attributes. */
  names(): string[] {
    this.#check()
    return this.#delta.names()
  }

  /** Names and values. Decodes all of them. */
  *entries(): IterableIterator<[string, unknown]> {
    for (const name of this.names()) yield [name, this.get(name)]
  }

  /** Marks the session as used now, without a write; announced to the others in batches. */
  touch(): void {
    if (this.#key !== undefined && this.isValid) this.#backing.touch(this.#key)
  }

  /**
   * Whose session it is (Servlet: getUserPrincipal), 1 to 256 bytes; undefined: nobody's. Written with the next commit,
   * which stores the session also without attributes. `cluster.users` finds sessions by it. Setting it is no login: that
   * is `Users.login`, which keeps to the number of logins allowed and gives the session a new id.
   *
   * @throws {InvalidOptionError} when set to anything else
   * @throws {SessionInvalidError} when set after `invalidate`
   */
  get principal(): string | undefined {
    const bytes = this.#delta.reserved(PRINCIPAL)
    return bytes === undefined ? undefined : decodeText(bytes)
  }

  set principal(principal: string | undefined) {
    if (principal !== undefined) checkPrincipal(principal)
    this.setReserved(PRINCIPAL, principal === undefined ? undefined : encodeText(principal))
    this.setReserved(LOGIN, undefined)
  }

  /**
   * Aborts when the session ends, on whatever member that is decided, as soon as this one hears of it; the `reason` is a
   * {@link SessionEndedError} that says why. For WebSockets, event streams and all that outlives the request. It costs
   * nothing unless asked for; all views of a session here share one. A new id is no end.
   */
  get signal(): AbortSignal {
    if (!this.#valid || (this.#key !== undefined && !this.#backing.holds(this.#key))) {
      return this.#ending?.signal ?? AbortSignal.abort(new SessionEndedError('unknown'))
    }
    if (this.#key !== undefined) return this.#backing.signals.of(this.#key)
    this.#ending ??= new AbortController()
    return this.#ending.signal
  }

  /**
   * Ends the session on every member, at once here and wherever the removal arrives; nothing brings it back.
   * Returns the receipt, or undefined when there was nothing to send; see `SessionManager.invalidate`.
   *
   * @throws {SessionInvalidError} when this view has invalidated it before
   */
  invalidate(options?: InvalidateOptions): Promise<SendReceipt> | undefined {
    this.#checkWritable()
    const receipt = this.#backing.invalidate(this, options)
    this.#valid = false
    if (this.#key === undefined) this.#ending?.abort(new SessionEndedError(options?.why ?? 'unknown'))
    return receipt
  }

  /**
   * Gives the session a new random id (against session fixation: call it at login). Attributes stay where they are;
   * the old id is dead at once here and on each member as the change arrives. Undefined: it is not stored yet, or has
   * ended; otherwise the receipt, as of a commit.
   *
   * @throws as `invalidate`
   */
  changeId(options?: CommitOptions): Promise<SendReceipt> | undefined {
    this.#checkWritable()
    return this.#backing.changeId(this, options)
  }

  /** So that a session put into a text is no error. Without the id, which is a secret. */
  [Symbol.toPrimitive](): string {
    return '[object Session]'
  }

  /** Gives it a new id with the next commit, in the same delta. For the library's own layers. */
  renewId(): void {
    this.#id = this.#backing.newId()
    if (this.#key !== undefined) this.setReserved(PUBLIC_ID, encodeText(this.#id))
  }

  /** The record that holds it; undefined before it is stored. For managers. */
  get key(): RecordKey | undefined {
    return this.#key
  }

  /** The `Freshness.epoch` in which it was loaded. For managers. */
  get epoch(): number {
    return this.#epoch
  }

  /** A reserved attribute's bytes. For the library's own layers. */
  reserved(name: string): Uint8Array | undefined {
    return this.#delta.reserved(name)
  }

  /** Changes a reserved attribute with the next commit. For the library's own layers. */
  setReserved(name: string, bytes: Uint8Array | undefined): void {
    this.#checkWritable()
    this.#delta.setReserved(name, bytes)
  }

  /** It comes to its absolute end by then, if not before; `bytes`: as another's {@link ENDS_AT}. For the library's own layers. */
  endBy(bytes: Uint8Array | undefined): void {
    const [endsAt, own] = [readNumber(bytes), readNumber(this.#delta.reserved(ENDS_AT))]
    if (endsAt === undefined || (own !== undefined && own <= endsAt)) return
    this.setReserved(ENDS_AT, bytes)
    // Shortened to what is left.
    const { maxInactiveInterval } = this
    this.maxInactiveInterval = maxInactiveInterval
  }

  /** What this request changed. For managers. */
  get pendingDelta(): SessionDelta {
    return this.#delta
  }

  /** Refuses changes from now on. For managers. */
  freeze(): void {
    this.#readOnly = true
  }

  /** The session is in the store under `key`. For managers. */
  stored(key: RecordKey): void {
    if (this.#key === undefined && this.#ending !== undefined) this.#backing.signals.adopt(key, this.#ending)
    this.#key = key
  }

  /** A delta of this view went out. `bytes`: its length. For managers. */
  wrote(dot: Dot, bytes: number): void {
    this.#written = dot
    this.#writtenBytes += bytes
  }

  /** Bytes of the deltas written through this view. For the library's own layers. */
  get writtenBytes(): number {
    return this.#writtenBytes
  }

  /** The id is now another one. For managers. */
  renamed(id: string): void {
    this.#id = id
  }

  #checkWritable(): void {
    this.#check()
    if (this.#readOnly) throw new SessionReadOnlyError(this.#id)
  }

  #check(): void {
    if (!this.#valid) throw new SessionInvalidError(this.#id)
  }
}

// What `console.log` shows: the attributes, and not the id, which is a secret. `this` may be a request's proxy.
Object.defineProperty(Session.prototype, inspect.custom, {
  value(this: Session, _depth: number, options: InspectOptions): string {
    if (this.isInvalidated) return 'Session (invalidated)'
    return `Session ${inspect(Object.fromEntries(this.names().map(name => [name, shown(this, name)])), options)}`
  },
})

function shown(session: Session, name: string): unknown {
  try {
    return session.get(name)
  } catch (error) {
    return error
  }
}

/** The reserved bytes of an interval in whole seconds; undefined: never. */
export function writeInterval(seconds: number): Uint8Array | undefined {
  if (typeof seconds !== 'number' || Number.isNaN(seconds) || seconds > MAX_INTERVAL_SECONDS) {
    throw new InvalidOptionError('maxInactiveInterval', `seconds up to ${MAX_INTERVAL_SECONDS}`, seconds)
  }
  return seconds <= 0 ? undefined : writeNumber(Math.ceil(seconds))
}

/** A hundred years: beyond it a date overflows before the session does. */
export const MAX_INTERVAL_SECONDS = 3_153_600_000

/** What an absolute lifetime may be, in words. */
export const LIFETIME_EXPECTED: string = `whole seconds from 0 to ${MAX_INTERVAL_SECONDS}`

/** Whether a number is an absolute lifetime in seconds. */
export function isLifetime(seconds: number): boolean {
  return Number.isInteger(seconds) && seconds >= 0 && seconds <= MAX_INTERVAL_SECONDS
}

/** Decimal text of a whole number. */
export function writeNumber(value: number): Uint8Array {
  if (!Number.isSafeInteger(value)) throw new InvalidStateError('a whole number', String(value))
  return Buffer.from(String(value), 'latin1')
}

/** The number in `bytes`, or undefined when there is none: bytes from the network may be anything. */
export function readNumber(bytes: Uint8Array | undefined): number | undefined {
  const value = bytes === undefined ? Number.NaN : decodeNumber(bytes)
  return Number.isSafeInteger(value) ? value : undefined
}
