import type { IncomingMessage, ServerResponse } from 'node:http'
import { addCookies, isSecureRequest } from '../requests/node-exchange.js'
import { ALL_SEEN, type Unseen } from '../requests/read-your-writes.js'
import { NONE, SessionGate } from '../requests/session-gate.js'
import type { SessionHandler } from '../requests/session-handler.js'
import type { ClusterSessionOptions } from '../requests/session-options.js'
import { hasAttributes } from './stored-sessions.js'
import { viewOf } from './stored-view.js'

/** Options of {@link routeCookie}: those of `clusterSession` that do not concern the session itself. */
export interface RouteCookieOptions
  extends Pick<
    ClusterSessionOptions,
    | 'cluster'
    | 'secret'
    | 'cookie'
    | 'routeCookie'
    | 'seenCookie'
    | 'catchUpMs'
    | 'trustProxy'
    | 'filter'
    | 'stats'
    | 'onMoved'
    | 'onError'
  > {
  /** The name of express-session's cookie. Default `connect.sid`. */
  readonly name?: string
}

/** What express-session adds to a request. */
interface ExpressSessionRequest extends IncomingMessage {
  originalUrl?: string
  session?: (object & { save?(callback: (error?: unknown) => void): unknown }) | null
  sessionID?: string
  sessionStore?: { endOf?: (sid: string) => string | undefined }
}

const staleRequests = new WeakSet<IncomingMessage>()

/**
 * Whether a request that came through {@link routeCookie} is served by a member without what its client wrote elsewhere,
 * although it waited.
 */
export function isStale(req: IncomingMessage): boolean {
  return staleRequests.has(req)
}

/**
 * What `clusterSession` does beside the session, for applications that keep express-session with a `TribelineStore`; to
 * be used before `session(...)`. `secret` is the session's own.
 *
 * - Every response of a member that the client is not bound to binds it there, by the route cookie.
 * - A request waits, before its session is loaded, for what its client is known to have written elsewhere; what did not
 *   come in time is told by {@link isStale}.
 * - The response's cookie names what the session's store has written until the headers go out. For an answer in one piece
 *   (`res.send`, `res.json`, `res.end`) express-session has saved by then; where the headers go out before, because the
 *   answer streams or calls `res.writeHead`, the session is saved here, as it is at that moment, and what fails is told to
 *   `onError`. What a stream changes afterwards is saved when it ends, as ever, and not named; nor is what the first
 *   answers after a stall of the process write, or the end of a session that is set to null: the client's next request may
 *   then find, elsewhere, what was before. Call `save` or `destroy` before such answers, or be sticky.
 * - Of two sessions in one request, as after `req.session.regenerate`, the new one is named.
 *
 * The routing formats that change the session cookie are not to be had, for that cookie is express-session's.
 *
 * @throws {InvalidOptionError} when an option is out of range.
 */
export function routeCookie(options: RouteCookieOptions): SessionHandler {
  const gate = new SessionGate<IncomingMessage>({ name: 'connect.sid', ...options })
  return function handleRoute(req: ExpressSessionRequest, res, next) {
    if (!gate.admits(req.originalUrl ?? req.url ?? '/', req)) return next()
    gate.stats.requests++
    const begin = (unseen: Unseen): void => {
      if (unseen.lacking.length > 0) staleRequests.add(req)
      const sent = gate.read(req.headers.cookie)
      gate.tellMove(sent, req)
      const ending = watchEnd(req, res)
      beforeHeaders(res, () => {
        if (!ending.hasBegun) saveNow(req, error => gate.report(error, req))
        const isSecure = isSecureRequest(req, gate)
        return [...gate.bind(sent, isSecure), ...gate.tellSeen(unseen, writtenBy(req), { isSecure })]
      })
      next()
    }
    const wait = gate.whenReady(req.headers.cookie)
    if (wait === undefined) return begin(ALL_SEEN)
    void wait.then(unseen => process.nextTick(() => void (res.destroyed || begin(unseen))))
  }
}

const ENDING: unique symbol = Symbol('tribeline.ending')

interface WatchedResponse extends ServerResponse {
  [ENDING]?: Ending
}

/** The `end` of a response, and whether express-session's has been called: it saves, and then lets the headers go. */
class Ending {
  readonly #req: ExpressSessionRequest
  #end: ServerResponse['end']
  #isKnown = false
  /** From now on it is express-session that saves. */
  hasBegun = false

  constructor(req: ExpressSessionRequest, end: ServerResponse['end']) {
    this.#req = req
    this.#end = end
  }

  get end(): ServerResponse['end'] {
    return this.#end
  }

  /** Express-session puts its own there right after its store on the request, maybe long after our `next`. */
  set end(end: ServerResponse['end']) {
    this.#end = end
    if (this.#isKnown || this.#req.sessionStore === undefined) return
    this.#isKnown = true
    const begin = (): void => {
      this.hasBegun = true
    }
    this.#end = function endWithSave(this: ServerResponse, ...args: unknown[]): ServerResponse {
      begin()
      return Reflect.apply(end, this, args) as ServerResponse
    } as ServerResponse['end']
  }
}

/** One for all responses, which V8 then gives one hidden class. */
const END: PropertyDescriptor & ThisType<Required<WatchedResponse>> = {
  configurable: true,
  enumerable: true,
  get() {
    return this[ENDING].end
  },
  set(end: ServerResponse['end']) {
    this[ENDING].end = end
  },
}

function watchEnd(req: ExpressSessionRequest, res: WatchedResponse): Ending {
  const { [ENDING]: known, end } = res
  if (known !== undefined) return known
  const ending = new Ending(req, end)
  res[ENDING] = ending
  Object.defineProperty(res, 'end', END)
  return ending
}

function beforeHeaders(res: ServerResponse, cookies: () => readonly string[]): void {
  const { writeHead } = res
  let isDone = false
  res.writeHead = function writeHeadWithRoute(this: ServerResponse, ...args: unknown[]): ServerResponse {
    if (!isDone) addCookies(this, args, cookies())
    isDone = true
    return Reflect.apply(writeHead, this, args) as ServerResponse
  } as ServerResponse['writeHead']
}

/** Saves what there is to be saved, if the session is in a store of ours. */
function saveNow({ session, sessionStore }: ExpressSessionRequest, report: (error: unknown) => void): void {
  if (session === undefined || session === null || sessionStore?.endOf === undefined) return
  // A new one that nobody wrote to is not stored.
  if (viewOf(session) === undefined && !hasAttributes(session)) return
  try {
    session.save?.(error => {
      if (error !== undefined && error !== null) report(error)
    })
  } catch (error) {
    report(error)
  }
}

/** What a store of ours has written for this request so far. */
function writtenBy({ session, sessionID, sessionStore }: ExpressSessionRequest): readonly string[] {
  const isEnded = session === undefined || session === null
  const ended = isEnded && sessionID !== undefined ? sessionStore?.endOf?.(sessionID) : undefined
  const token = isEnded ? ended : viewOf(session)?.writeToken
  return token === undefined ? NONE : [token]
}
