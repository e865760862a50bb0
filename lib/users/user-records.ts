import { AttributeIndex } from '../replication/attribute-index.js'
import { decodeText } from '../replication/attribute-text.js'
import type { RecordChange, RecordKey, RecordStore, Stamp } from '../replication/replica-contract.js'
import { compareStamps } from '../replication/stamp.js'
import { LOGIN, PRINCIPAL, PRINCIPAL_BYTES_MAX } from '../session/principal.js'
import { decodeLogin, type Login } from './login-policy.js'
import { EXCEPT, REVOKED, SIGN_ON, SIGN_ON_ID, SUBJECT } from './user-attributes.js'

const OURS: ReadonlySet<string> = new Set([PRINCIPAL, LOGIN, SIGN_ON, SIGN_ON_ID, SUBJECT, REVOKED, EXCEPT])

/** A session of a principal, or all that belong to one sign-on. */
export interface UserLogin extends Login {
  readonly signOn: RecordKey | undefined
  readonly sessions: RecordKey[]
}

/** The records of the store that speak of users, found by what they say. Kept by its changes. */
export class UserRecords {
  /** Sessions by principal. */
  readonly sessions: AttributeIndex = new AttributeIndex()
  /** Sessions by the record of their sign-on, whether that is here or not. */
  readonly linked: AttributeIndex = new AttributeIndex()
  /** Sign-ons by principal. */
  readonly signOns: AttributeIndex = new AttributeIndex()
  /** Sign-ons by what the client's cookie says. */
  readonly signOnIds: AttributeIndex = new AttributeIndex()
  /** Sessions and sign-ons whose login has a limit, by principal. */
  readonly limited: AttributeIndex = new AttributeIndex()
  /** Revocations by principal. */
  readonly revocations: AttributeIndex = new AttributeIndex()
  readonly #store: RecordStore
  readonly #all = [this.sessions, this.linked, this.signOns, this.signOnIds, this.limited, this.revocations]

  constructor(store: RecordStore) {
    this.#store = store
  }

  /** Takes in what the store holds. */
  fill(): void {
    for (const key of this.#store.keys()) this.#file(key)
  }

  clear(): void {
    for (const index of this.#all) index.clear()
  }

  /** Whether there is no such record. */
  get isEmpty(): boolean {
    return this.sessions.size + this.signOns.size + this.revocations.size === 0
  }

  /** Takes in that a record is new or changed; whether that says anything of users. */
  changed({ key, names, record }: RecordChange): boolean {
    if (!names.some(isOurs)) return false
    this.#file(key, record)
    return true
  }

  /** A record is gone. */
  forget(key: RecordKey): void {
    for (const index of this.#all) index.file(key, undefined)
  }

  /** The principal's logins in no order, those without a session included. Sessions whose sign-on is gone stand alone. */
  logins(principal: string): UserLogin[] {
    const logins: UserLogin[] = []
    const bySignOn = new Map<RecordKey, UserLogin>()
    for (const key of this.signOns.keys(principal)) {
      const login = this.#login(key, SUBJECT, key)
      bySignOn.set(key, login)
      logins.push(login)
    }
    for (const key of this.sessions.keys(principal)) {
      const signOn = this.linked.text(key)
      const shared = signOn === undefined ? undefined : bySignOn.get(signOn)
      const login = shared ?? this.#login(key, PRINCIPAL, undefined)
      login.sessions.push(key)
      if (shared === undefined) logins.push(login)
    }
    return logins
  }

  /** Whether a revocation ends this login. */
  isRevoked(principal: string, { stamp, sessions }: UserLogin): boolean {
    return this.revocations.keys(principal).some(key => {
      const revoked = this.#store.stamp(key, REVOKED)
      if (revoked === undefined || compareStamps(stamp, revoked) > 0) return false
      const except = this.#text(key, EXCEPT)
      return except === undefined || !sessions.includes(except)
    })
  }

  #login(key: RecordKey, name: string, signOn: RecordKey | undefined): UserLogin {
    const { stamp: made, policy } = this.#note(key, name)
    return { stamp: made, policy, signOn, sessions: [] }
  }

  #note(key: RecordKey, name: string): Login {
    const stamp = this.#store.stamp(key, LOGIN) ?? this.#store.stamp(key, name) ?? FIRST
    return { stamp, policy: decodeLogin(this.#store.attribute(key, LOGIN))?.policy }
  }

  #file(key: RecordKey, record?: RecordChange['record']): void {
    const principal = this.#text(key, PRINCIPAL, record)
    const subject = this.#text(key, SUBJECT, record)
    this.sessions.file(key, principal)
    this.linked.file(key, principal === undefined ? undefined : this.#text(key, SIGN_ON, record))
    this.signOns.file(key, subject)
    this.signOnIds.file(key, subject === undefined ? undefined : this.#text(key, SIGN_ON_ID, record))
    this.revocations.file(key, this.#text(key, REVOKED, record))
    const owner = principal ?? subject
    const note = owner === undefined ? undefined : decodeLogin(this.#bytes(key, LOGIN, record))
    this.limited.file(key, note !== undefined && note.policy.maxSessions > 0 ? owner : undefined)
  }

  #text(key: RecordKey, name: string, record?: RecordChange['record']): string | undefined {
    const bytes = this.#bytes(key, name, record)
    return bytes === undefined || bytes.length === 0 || bytes.length > PRINCIPAL_BYTES_MAX
      ? undefined
      : decodeText(bytes)
  }

  #bytes(key: RecordKey, name: string, record?: RecordChange['record']): Uint8Array | undefined {
    return record === undefined ? this.#store.attribute(key, name) : record.value(name)
  }
}

/** Before every login: of a record that has gone meanwhile. */
const FIRST: Stamp = { wallMs: 0, counter: 0, origin: '', seq: 0 }

function isOurs(name: string): boolean {
  return name.charCodeAt(0) === 0 && OURS.has(name)
}
