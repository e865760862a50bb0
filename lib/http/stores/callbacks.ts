import { isAtOnce } from '../../session/receipts.js'
import type { SessionManager } from '../../session/session-manager.js'
import { afterFresh } from '../after-fresh.js'

/** As stores are called: it may be left out. */
export type Callback<T extends unknown[]> = (error?: unknown, ...values: T) => void

/**
 * Calls back with the work's result, or with its error, once the copy is fresh. What the callback itself throws is the
 * caller's.
 */
export function answer<T>(sessions: SessionManager, callback: Callback<[T?]> | undefined, work: () => T): void {
  afterFresh(sessions, () => {
    let result: T
    try {
      result = work()
    } catch (error) {
      if (callback === undefined) throw error
      return callback(error)
    }
    if (callback === undefined) return
    if (result === undefined) callback(null)
    else callback(null, result)
  })
}

/** Calls back once the receipt is in; an error of the work itself goes to the callback too. */
export function settle(
  sessions: SessionManager,
  callback: Callback<[]> | undefined,
  work: () => Promise<unknown> | undefined,
): void {
  afterFresh(sessions, () => {
    let receipt: Promise<unknown> | undefined
    try {
      receipt = work()
    } catch (error) {
      if (callback === undefined) throw error
      return callback(error)
    }
    if (callback === undefined) return
    if (receipt === undefined || isAtOnce(receipt)) return callback(null)
    // Outside the promise, so that what the callback throws is its own and not an unhandled rejection.
    receipt.then(
      () => process.nextTick(callback, null),
      error => process.nextTick(callback, error),
    )
  })
}
