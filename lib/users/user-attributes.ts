/** Reserved attribute of a session: the record of the sign-on it belongs to. */
export const SIGN_ON = '\u0000signOn'
/** Reserved attribute of a sign-on: the secret in the client's cookie. A sign-on has no public id, so it is no session. */
export const SIGN_ON_ID = '\u0000signOnId'
/** Reserved attribute of a sign-on: whose it is. */
export const SUBJECT = '\u0000subject'
/** Reserved attribute of a revocation, which is no session either: whose logins before it are over. */
export const REVOKED = '\u0000revoked'
/** Reserved attribute of a revocation: the record of the session that may stay. */
export const EXCEPT = '\u0000except'
