import type { RecordKey, RecordStore } from '../replication/replica-contract.js'
import { creationDot } from '../replication/stamp.js'
import type { Clock, Random } from '../runtime/runtime.js'
import { endingOf, type SessionWhy, type ToldWhy } from '../session/session-ending.js'
import type { SessionCause } from '../session/session-manager.js'
import { Agenda } from './agenda.js'
import { surplusOf } from './login-policy.js'
import type { UserLogin, UserRecords } from './user-records.js'

/**
 * What another member brought about, it also sees to: the rest only look, after a time each of them draws for itself,
 * whether that was done. Most often it was, and if not then one of them does it and not all at once.
 */
const CHECK_LEAST_MS = 200
const CHECK_MOST_MS = 1_000
/** How long a sign-on may be without a session: as long as deltas of one login may lie apart, and more. */
export const ORPHAN_MS = 30_000
const ORPHAN_MOST_MS = 40_000

const PRINCIPAL_TASK = 'p'
const SIGN_ON_TASK = 's'
const ORPHAN_TASK = 'o'

/** What reviews work with. */
export interface ReviewParts {
  readonly store: RecordStore
  readonly clock: Clock
  readonly random: Random
  readonly records: UserRecords
}

/**
 * Sees to it that what the records say of users is so: no more logins than their policies allow, none from before a
 * revocation, no session whose sign-on is over, no sign-on without a session. Each of these is a matter of the records
 * alone, so all members come to the same; whoever notices first ends what must end, and that is final.
 */
export class UserReviews {
  readonly #store: RecordStore
  readonly #records: UserRecords
  readonly #agenda: Agenda
  /** Sign-ons of which a session was logged out. */
  readonly #signedOff = new Set<RecordKey>()

  constructor({ store, clock, random, records }: ReviewParts) {
    this.#store = store
    this.#records = records
    this.#agenda = new Agenda(clock, random, task => this.#run(task))
  }

  /** A session or sign-on of this principal is new or changed, or its logins were revoked. */
  principal(principal: string, cause: SessionCause): void {
    const { sessions, signOns, limited, revocations } = this.#records
    const isCrowded = limited.count(principal) > 0 && sessions.count(principal) > 1
    const isRevoked = revocations.size > 0 && revocations.count(principal) > 0
    if ((isCrowded || isRevoked) && sessions.count(principal) + signOns.count(principal) > 0) {
      this.#plan(PRINCIPAL_TASK + principal, cause)
    }
  }

  /** A session that belongs to this sign-on is here. */
  linked(signOn: RecordKey, cause: SessionCause): void {
    this.#agenda.drop(ORPHAN_TASK + signOn)
    if (!this.#store.has(signOn)) this.#plan(SIGN_ON_TASK + signOn, cause)
  }

  /** A session that belonged to this sign-on is gone, or another's now. */
  unlinked(signOn: RecordKey, cause: SessionCause, why?: SessionWhy): void {
    if (!this.#store.has(signOn)) return
    if (why !== undefined && why !== 'expired' && why !== 'unknown') {
      this.#signedOff.add(signOn)
      this.#plan(SIGN_ON_TASK + signOn, cause)
    } else this.signOn(signOn)
  }

  /** This sign-on is here. */
  signOn(signOn: RecordKey): void {
    if (this.#records.linked.count(signOn) === 0) this.#wait(ORPHAN_TASK + signOn)
  }

  /** This sign-on is over. */
  signedOff(signOn: RecordKey, cause: SessionCause): void {
    this.#signedOff.delete(signOn)
    this.#agenda.drop(ORPHAN_TASK + signOn)
    if (this.#records.linked.count(signOn) > 0) this.#plan(SIGN_ON_TASK + signOn, cause)
  }

  /** Ends a sign-on and its sessions, save one. */
  signOff(signOn: RecordKey, except: RecordKey | undefined): void {
    this.#end(signOn, 'signOff')
    for (const key of this.#records.linked.keys(signOn)) if (key !== except) this.#end(key, 'signOff')
  }

  /** Does at once what this member brought about in this turn. */
  flush(): void {
    this.#agenda.flush()
  }

  stop(): void {
    this.#agenda.stop()
    this.#signedOff.clear()
  }

  /** Ends a login on every member. */
  end({ signOn, sessions }: UserLogin, why: ToldWhy): void {
    for (const key of sessions) this.#end(key, why)
    if (signOn !== undefined) this.#end(signOn, why)
  }

  #plan(task: string, cause: SessionCause): void {
    if (cause === 'local') this.#agenda.soon(task)
    else this.#agenda.later(task, CHECK_LEAST_MS, CHECK_MOST_MS)
  }

  #wait(task: string): void {
    this.#agenda.later(task, ORPHAN_MS, ORPHAN_MOST_MS)
  }

  #run(task: string): void {
    const name = task.slice(1)
    if (task.startsWith(PRINCIPAL_TASK)) this.#reviewPrincipal(name)
    else if (task.startsWith(SIGN_ON_TASK)) this.#reviewSignOn(name)
    else this.#reviewOrphan(name)
  }

  #reviewPrincipal(principal: string): void {
    const standing: UserLogin[] = []
    for (const login of this.#records.logins(principal)) {
      if (this.#records.isRevoked(principal, login)) this.end(login, 'forced')
      else if (login.sessions.length > 0) standing.push(login)
    }
    for (const login of surplusOf(standing)) this.end(login, 'limit')
  }

  #reviewSignOn(key: RecordKey): void {
    if (this.#signedOff.delete(key)) this.#end(key, 'signOff')
    if (this.#store.has(key)) return
    if (this.#isGone(key)) {
      for (const session of this.#records.linked.keys(key)) this.#end(session, 'signOff')
    } else if (this.#records.linked.count(key) > 0) this.#wait(SIGN_ON_TASK + key)
  }

  #reviewOrphan(key: RecordKey): void {
    if (!this.#store.has(key) || this.#records.linked.count(key) > 0) return
    if (this.#store.ready) this.#end(key, 'signOff')
    else this.#wait(ORPHAN_TASK + key)
  }

  /** What is not here was here: other than what is not here yet. */
  #isGone(key: RecordKey): boolean {
    const { origin, seq } = creationDot(key)
    return this.#store.ready && Number.isSafeInteger(seq) && this.#store.seen(origin, seq)
  }

  #end(key: RecordKey, why: ToldWhy): void {
    this.#store.invalidate(key, undefined, endingOf(why))
  }
}
