import type { AckMode } from '../channel/topic.js'
import { InvalidOptionError } from '../errors.js'
import { writeInterval } from './session.js'
import type { ChangeDetection } from './session-delta.js'

/** Options of a DeltaManager; the first three are Tomcat's. */
export interface DeltaManagerOptions {
  /** Seconds without use after which a session expires; 0 or less: never. Default 1800. */
  readonly maxInactiveInterval?: number
  /** Whether stopping this member ends its sessions on every member. Default false. */
  readonly expireSessionsOnShutdown?: boolean
  /** Whether listeners hear of what other members did. Default true. */
  readonly notifyListenersOnReplication?: boolean
  /** What a receipt waits for. Default `applied`. */
  readonly ack?: AckMode
  /** How many other members must acknowledge. Default 1. */
  readonly copies?: number | 'all'
  /** Milliseconds until a receipt says `unknown`. Default 1,000. */
  readonly ackTimeoutMs?: number
  /** Whether the promise of a commit rejects when too few members acknowledged. Default `report`: it resolves. */
  readonly onShortfall?: 'report' | 'throw'
  /** Default `modified`. */
  readonly detect?: ChangeDetection
}

/** Fills in the defaults. @throws {InvalidOptionError} when an option is out of range. */
export function resolveDeltaManagerOptions(options: DeltaManagerOptions): Required<DeltaManagerOptions> {
  const resolved: Required<DeltaManagerOptions> = {
    maxInactiveInterval: options.maxInactiveInterval ?? 1800,
    expireSessionsOnShutdown: options.expireSessionsOnShutdown ?? false,
    notifyListenersOnReplication: options.notifyListenersOnReplication ?? true,
    ack: options.ack ?? 'applied',
    copies: options.copies ?? 1,
    ackTimeoutMs: options.ackTimeoutMs ?? 1000,
    onShortfall: options.onShortfall ?? 'report',
    detect: options.detect ?? 'modified',
  }
  writeInterval(resolved.maxInactiveInterval)
  oneOf('ack', resolved.ack, ['none', 'received', 'applied'])
  oneOf('onShortfall', resolved.onShortfall, ['report', 'throw'])
  oneOf('detect', resolved.detect, ['set', 'modified', 'get', 'all'])
  const { copies, ackTimeoutMs } = resolved
  if (copies !== 'all' && !(Number.isSafeInteger(copies) && copies >= 0)) {
    throw new InvalidOptionError('copies', "a whole number or 'all'", copies)
  }
  if (!(ackTimeoutMs > 0 && ackTimeoutMs < 2 ** 31)) {
    throw new InvalidOptionError('ackTimeoutMs', 'a positive number of milliseconds', ackTimeoutMs)
  }
  return resolved
}

function oneOf(option: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) throw new InvalidOptionError(option, `one of ${allowed.join(', ')}`, value)
}
