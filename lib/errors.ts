import type { FaultyMember } from './channel/topic.js'

/** Base of every error the library throws, rejects with or emits. Match on `code`, never on the message. */
export class TribelineError extends Error {
  /** Stable, in capitals. */
  readonly code: string
  /** Whether the same call may succeed later without a change by the caller. */
  readonly retriable: boolean

  constructor(code: string, message: string, options: { retriable?: boolean; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.retriable = options.retriable ?? false
  }
}

/** An option is unknown, out of range, or contradicts another. Thrown at once. */
export class InvalidOptionError extends TribelineError {
  /** Its full name, such as `membership.dropTime`. */
  readonly option: string
  constructor(option: string, expected: string, got: unknown) {
    super('INVALID_OPTION', `Option ${option} must be ${expected}; got ${describe(got)}`)
    this.option = option
  }
}

/** The call does not fit the object's state, for instance sending on a channel that has left. */
export class InvalidStateError extends TribelineError {
  constructor(expected: string, actual: string) {
    super('INVALID_STATE', `Expected ${expected}, but it is ${actual}`)
  }
}

/** No port of the range is free, the address is not ours, or the multicast interface does not exist. */
export class ListenError extends TribelineError {
  constructor(what: string, cause?: unknown) {
    super('LISTEN_FAILED', what, { cause, retriable: true })
  }
}

/** A send that was asked to fail did not reach its members; each is named with its reason. */
export class SendError extends TribelineError {
  /** As in the receipt; empty when nobody was there to send to. */
  readonly faultyMembers: readonly FaultyMember[]
  constructor(faultyMembers: readonly FaultyMember[]) {
    const list = faultyMembers.map(f => `${f.member.name} (${f.reason})`).join(', ')
    super('SEND_FAILED', `Not acknowledged by ${list || 'any member'}`, { retriable: true })
    this.faultyMembers = faultyMembers
  }
}

/** A message is larger than the limit allows; nothing was sent or changed. */
export class MessageTooLargeError extends TribelineError {
  constructor(what: string, size: number, limit: number, unit = 'bytes') {
    super('MESSAGE_TOO_LARGE', `${what} has ${size} ${unit}; the limit is ${limit}`)
  }
}

/**
 * Bytes are not what the protocol or the encoding of values allows. A message from the network is counted and dropped;
 * the application meets this in `Session.get`, and in the event `listenerError` of a ReplicatedMap.
 */
export class ProtocolError extends TribelineError {
  constructor(reason: string) {
    super('PROTOCOL', reason)
  }
}

/** The session was invalidated or has expired. */
export class SessionInvalidError extends TribelineError {
  constructor(id: string) {
    super('SESSION_INVALID', `Session ${id.slice(0, 6)}… is no longer valid`)
  }
}

/** The reason of {@link Session.signal}: the session is over. Nothing throws it. */
export class SessionEndedError extends TribelineError {
  /** See {@link SessionWhy}. */
  readonly why: string
  constructor(why: string) {
    super('SESSION_ENDED', `The session has ended (${why})`)
    this.why = why
  }
}

/** A principal has as many sessions as it may, and the policy is to refuse one more. The session is as it was. */
export class LoginRefusedError extends TribelineError {
  /** How many it may have. */
  readonly maxSessions: number
  constructor(maxSessions: number) {
    super('LOGIN_REFUSED', `The principal has ${maxSessions} sessions already, which is as many as it may`, {
      retriable: true,
    })
    this.maxSessions = maxSessions
  }
}

/** A view that was opened to be read was told to change its session. Nothing was changed. */
export class SessionReadOnlyError extends TribelineError {
  constructor(id: string) {
    super('SESSION_READ_ONLY', `Session ${id.slice(0, 6)}… is open for reading only`)
  }
}

/** A session attribute has a value that the codec cannot carry; why is in `cause`. Nothing of that commit was written. */
export class SessionValueError extends TribelineError {
  /** The attribute. */
  readonly attribute: string
  constructor(attribute: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause)
    super('SESSION_VALUE', `The session attribute ${JSON.stringify(attribute)} cannot be stored: ${why}`, { cause })
    this.attribute = attribute
  }
}

/**
 * The process stood still between reading and writing a session, and meanwhile other members changed what was to be
 * written. Nothing of that commit was written; begin again with what is there now.
 */
export class SessionOvertakenError extends TribelineError {
  /** The attributes others changed. */
  readonly names: readonly string[]
  constructor(id: string, names: readonly string[]) {
    super('SESSION_OVERTAKEN', `Session ${id.slice(0, 6)}… was changed elsewhere while this process stood still`, {
      retriable: true,
    })
    this.names = names
  }
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return String(value)
}
