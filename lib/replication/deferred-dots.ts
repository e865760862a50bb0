import { type Context, lastOf } from './delta.js'
import type { Dot, RecordKey } from './replica-contract.js'

/** Remembered at most. What is not is asked for when the state transfer is over, like anything that was lost. */
const DOTS_MAX = 65_536

/**
 * Deltas a joining member had to leave out since their record was not here, or not as far as they build on it. When the
 * record comes it contains most of them: a write says what it builds on (`deps`), so where one of an origin is applied to
 * a record, those before it are.
 */
export class DeferredDots {
  readonly #byKey = new Map<RecordKey, Dot[]>()
  #size = 0

  add(key: RecordKey, { origin, seq }: Dot): void {
    if (this.#size >= DOTS_MAX) return
    this.#size++
    const dots = this.#byKey.get(key)
    if (dots === undefined) this.#byKey.set(key, [{ origin, seq }])
    else dots.push({ origin, seq })
  }

  /** Forgets those of a record that is here now; the ones that are part of it by its context. */
  take(key: RecordKey, context: Context): readonly Dot[] {
    const dots = this.#byKey.get(key)
    if (dots === undefined) return []
    this.#byKey.delete(key)
    this.#size -= dots.length
    return dots.filter(({ origin, seq }) => seq <= lastOf(context, origin))
  }

  clear(): void {
    this.#byKey.clear()
    this.#size = 0
  }
}
