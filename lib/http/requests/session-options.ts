import type { IncomingMessage } from 'node:http'
import { checkNames, custom, flag, pick } from '../../options.js'
import type { AttributeScopeOptions } from '../../session/attribute-scope.js'
import type { CommitOptions } from '../../session/session-manager.js'
import { isCookieName } from '../cookies/cookie-header.js'
import type { CookieRouting } from '../cookies/cookie-value.js'
import type { SessionCookieOptions } from '../cookies/session-cookie.js'
import type { SessionHost } from '../session-host.js'
import { REQUEST_TEST, type RequestTest } from './request-test.js'
import { SessionHttpStats } from './session-http-stats.js'
import type { SignOnOptions } from './sign-on.js'

const CATCH_UP_MS_MAX = 60_000

/** A client came from another member: its own one is gone, or the balancer sends it elsewhere. */
export interface SessionMove {
  /** The session's id: a secret, not to be logged. */
  readonly id: string
  /** The member it was bound to, as the client says: a hint, unsigned. */
  readonly from: string
  /** This member. */
  readonly to: string
}

/**
 * What every adapter of the library takes; `R` is what it calls a request. `ack`, `copies`, `ackTimeoutMs`, `detect`,
 * `merge`, `application` and `shared` override the manager's.
 */
export interface SessionOptions<R> extends Omit<CommitOptions, 'storeEmpty'>, AttributeScopeOptions {
  /** Whose sessions, and whose name goes into the route cookie. */
  readonly cluster: SessionHost
  /** Signs the cookie. A list: the first signs, all verify. */
  readonly secret: string | readonly string[]
  /** The cookie's name. Default `tribeline.sid`. */
  readonly name?: string
  /** Attributes of the cookie; unset ones have their defaults. */
  readonly cookie?: SessionCookieOptions
  /**
   * How a balancer learns which member a client is bound to (a hint, unsigned, and never more: every member has the
   * session). Default `cookie`: a cookie of its own, {@link routeCookie}, whose value is the member's name. `suffix`: the
   * session cookie ends in `~node1` (Apache: `stickysession=tribeline.sid stickysessionsep=~`). `jvmRoute`: it is
   * `<id>~<signature>.node1`, for balancers that take what follows the first dot (Apache by default, mod_jk, JEUS). All
   * formats are read whichever is set, so it can be changed without logging anybody out. The first response of another
   * member binds the client to that one.
   */
  readonly routing?: CookieRouting
  /** Name of the route cookie; false: none. Not with another {@link routing}. Default `tribeline_route`. */
  readonly routeCookie?: string | false
  /**
   * Told once of a client that comes from another member (Tomcat: JvmRouteBinderValve), when its session is found;
   * more than once if it sent several requests before it had the first response. What it throws goes to `onError`.
   */
  readonly onMoved?: (move: SessionMove, req: R) => void
  /**
   * Name of the signed cookie that names the client's last write; false: none. It goes out with each response that wrote,
   * a logout included. A request waits, before its handler runs, until this member has that write, so that clients
   * need not stay with one member ("read your writes"). A request whose member is up to date pays about a microsecond.
   * Applications on one host that share cookies but not sessions need different names. Default `tribeline_seen`.
   *
   * Members have cookies of their own, by their place in the group: `tribeline_seen`, `tribeline_seen.1` to `.3`; from the
   * fifth on they share. So what several members write for parallel requests of one client is all waited for.
   *
   * Not covered: what is written after the headers went out, what is written without `req.session`, and, of two answers of
   * one member (or of two with one cookie) that overtake each other, the write of the one that came first.
   */
  readonly seenCookie?: string | false
  /**
   * Milliseconds, 0 to 60,000, that a request waits for that write, and for a sign-on that is on its way, to the precision
   * of a tenth of a second; then it is served with `req.session.stale`. 0: it never waits. Default 250.
   *
   * It waits again with every request as long as the writer is a member. If that member is gone, and nobody else has what
   * it wrote, the write may be lost: then one request waits and is `stale`, and its response ends it for the next ones. (If
   * the writer was only cut off, its write comes when it is back.)
   */
  readonly catchUpMs?: number
  /** Counts what requests cost. Default: nobody sees it. */
  readonly stats?: SessionHttpStats
  /**
   * Whether a login here is one for all applications of the cluster that have this option, and a logout too, each with its
   * own cookie and session (Tomcat: ClusterSingleSignOn). Default false.
   */
  readonly signOn?: boolean | SignOnOptions
  /** Whether every response that used the session renews its cookie. Default false. */
  readonly rolling?: boolean
  /** Whether a session nobody wrote to is stored too. Default false. */
  readonly saveUninitialized?: boolean
  /**
   * Whether the proxy in front is to be believed when `X-Forwarded-Proto` says that the client came over TLS, for
   * `cookie.secure: 'auto'`. Default false: as the framework says, where it has such a setting of its own.
   */
  readonly trustProxy?: boolean
  /**
   * Seconds after which a session that begins here ends however much it is used; 0: never. Default: the manager's. A
   * cookie with `maxAge` ends with it at the latest. `regenerate` begins a new session and so a new life, with `keep: true`
   * it is the same session and the same life.
   */
  readonly maxLifetime?: number
  /**
   * Requests that only look at their session: all, those whose path matches, or those a test names. What would change
   * it, logging out included, throws a {@link SessionReadOnlyError} at once; what a handler changes in place is not
   * written. Such a request is a use of the session all the same, but joins no sign-on. A function is asked once for each
   * request, when its session is first looked for. Default: none.
   */
  readonly readOnly?: RequestTest<R>
  /** Requests without a session, static content for instance: a pattern for the path, or a test. */
  readonly filter?: RegExp | ((req: R) => boolean)
  /**
   * Hears of changes that could not be stored when the response went out: a value the codec cannot carry, a session
   * begun after the headers were sent, or a {@link SessionOvertakenError}. Default: a process warning.
   */
  readonly onError?: (error: unknown, req: R) => void
}

/** Options of the adapters whose requests are those of `node:http`. */
export interface ClusterSessionOptions extends SessionOptions<IncomingMessage> {}

const isFunction = (value: unknown): boolean => typeof value === 'function'
const isTest = (value: unknown): boolean => value instanceof RegExp || isFunction(value)
const isWait = (value: unknown): boolean => typeof value === 'number' && value >= 0 && value <= CATCH_UP_MS_MAX
const isNameOrOff = (value: unknown): boolean => value === false || isCookieName(value)

/** What is read here, and by no part that checks it. */
const RULES = {
  name: custom<unknown>(undefined, 'a name that a cookie may have', isCookieName),
  routeCookie: custom<unknown>(undefined, 'a name that a cookie may have, or false', isNameOrOff),
  seenCookie: custom<unknown>(undefined, 'a name that a cookie may have, or false', isNameOrOff),
  catchUpMs: custom<unknown>(undefined, `0 to ${CATCH_UP_MS_MAX} milliseconds`, isWait),
  stats: custom<unknown>(undefined, 'a SessionHttpStats', value => value instanceof SessionHttpStats),
  rolling: flag(false),
  saveUninitialized: flag(false),
  trustProxy: flag(false),
  filter: custom<unknown>(undefined, 'a pattern or a function', isTest),
  readOnly: REQUEST_TEST,
  onMoved: custom<unknown>(undefined, 'a function', isFunction),
  onError: custom<unknown>(undefined, 'a function', isFunction),
}

/** Those that other parts check. */
const OTHERS: Readonly<Record<Exclude<keyof SessionOptions<never>, keyof typeof RULES>, true>> = {
  cluster: true,
  secret: true,
  cookie: true,
  routing: true,
  signOn: true,
  ack: true,
  copies: true,
  ackTimeoutMs: true,
  detect: true,
  merge: true,
  maxLifetime: true,
  application: true,
  shared: true,
}

const NAMES: readonly string[] = [...Object.keys(OTHERS), ...Object.keys(RULES)]

/**
 * Checks what no other part checks, and that there is nothing that nobody knows.
 *
 * @throws {InvalidOptionError} which option, what is allowed, what came
 */
export function checkSessionOptions(options: SessionOptions<never>): void {
  checkNames(options, NAMES)
  pick(RULES, options)
}
