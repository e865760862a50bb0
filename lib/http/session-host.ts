import type { SessionManager } from '../session/session-manager.js'
import type { Users } from '../users/users.js'

/** What the HTTP layer needs of a cluster. `name` goes into the route cookie. */
export interface SessionHost {
  /** 1 to 64 letters, digits, `-` or `_`, stable over restarts. */
  readonly name: string
  /** The other members, for each to have a cookie of its own that names its writes. Default: all share one. */
  readonly members?: readonly { readonly name: string }[]
  /** What reads and writes the sessions. */
  readonly sessions: SessionManager
  /** Who is logged in; `login`, `logout` and sign-on need it. */
  readonly users?: Users
}
