import { SessionEndedError } from '../errors.js'
import type { RecordChange, RecordKey } from '../replication/replica-contract.js'
import { whyOf } from './session-ending.js'

/**
 * Abort signals of sessions, for code that outlives the request that loaded one. Watches the store only while somebody
 * has a signal of a session that is there.
 */
export class SessionSignals {
  readonly #watch: (listener: (change: RecordChange) => void) => () => void
  readonly #controllers = new Map<RecordKey, AbortController>()
  #unwatch: (() => void) | undefined

  /** `watch`: see `DeltaManagerParts.onChange`. */
  constructor(watch: (listener: (change: RecordChange) => void) => () => void) {
    this.#watch = watch
  }

  /** The signal of a record that is there; all who ask get the same. */
  of(key: RecordKey): AbortSignal {
    return (this.#controllers.get(key) ?? this.adopt(key, new AbortController())).signal
  }

  /** A session whose signal was made before it was stored. */
  adopt(key: RecordKey, controller: AbortController): AbortController {
    this.#controllers.set(key, controller)
    this.#unwatch ??= this.#watch(change => {
      if (change.kind === 'removed') this.#ended(change)
    })
    return controller
  }

  #ended(change: RecordChange): void {
    const controller = this.#controllers.get(change.key)
    if (controller === undefined) return
    this.#controllers.delete(change.key)
    if (this.#controllers.size === 0) {
      this.#unwatch?.()
      this.#unwatch = undefined
    }
    controller.abort(new SessionEndedError(whyOf(change)))
  }
}
